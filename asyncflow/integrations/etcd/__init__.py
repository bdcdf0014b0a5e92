"""Instances hear of each other by etcd: who dies is missed within a session, and the database still fences.

The client library is imported when an EtcdRegistry is made, not when this package is.
"""

from asyncflow.integrations.etcd.registry import EtcdRegistry

__all__ = ["EtcdRegistry"]
