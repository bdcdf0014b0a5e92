"""Instances hear of each other by ZooKeeper: who dies is missed within its session, and the database still fences.

The client library is imported when a scheduler is made, not when this package is.
"""

from asyncflow.integrations.zookeeper.zookeeper import ZooKeeper

__all__ = ["ZooKeeper"]
