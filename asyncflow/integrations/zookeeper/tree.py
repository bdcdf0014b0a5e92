"""Names and values of the nodes: ElasticJob's, as far as there is such a thing here, and one kind of our own."""

from __future__ import annotations

import json
from urllib.parse import quote, unquote

HOST_AND_REST = "@-@"  # what ElasticJob puts between them in the id of an instance
_OURS = b"description: asyncflow\n"


class Tree:
    """Name the nodes of one namespace. Names that ZooKeeper could not hold are percent-encoded."""

    def __init__(self, namespace: str) -> None:
        self._root = f"/{namespace}"

    def config(self, job: str) -> str:
        """Return where the job is described."""
        return self._of(job, "config")

    def servers(self, job: str, host: str) -> str:
        """Return where the host of an instance is listed."""
        return self._of(job, "servers", host)

    def instances(self, job: str, *instance: str) -> str:
        """Return where the living are, or one of them."""
        return self._of(job, "instances", *instance)

    def owner(self, job: str, item: int) -> str:
        """Return where the owner of an item is told."""
        return self._of(job, "sharding", str(item), "instance")

    def known(self, job: str, *instance: str) -> str:
        """Return where those are that came by ZooKeeper, living or not, or one of them: not ElasticJob's.

        Who is in here, and not among the instances, is dead. Who is in neither came by the database alone.
        """
        return self._of(job, "asyncflow", *instance)

    def _of(self, *names: str) -> str:
        return "/".join([self._root, *map(_node, names)])


def host_of(instance: str) -> str:
    """Return the host, in an instance's name."""
    return instance.partition(HOST_AND_REST)[0]


def name_of(node: str) -> str:
    """Return the name for which ``node`` stands."""
    return unquote(node)


def config_text(job: str, item_count: int) -> bytes:
    """Return the description of a job, as ElasticJob's YAML; JSON texts are YAML texts."""
    return f"jobName: {json.dumps(job)}\nshardingTotalCount: {item_count}\n".encode() + _OURS


def is_our_config(text: bytes) -> bool:
    """Tell whether a job is described as ours, be it by another number of items."""
    return text.endswith(_OURS)


def instance_text(instance: str) -> bytes:
    """Return the description of an instance, as ElasticJob's YAML."""
    return f"jobInstanceId: {json.dumps(instance)}\nserverIp: {json.dumps(host_of(instance))}\n".encode()


def _node(name: str) -> str:
    encoded = quote(name, safe="@:+,=~ ")
    return encoded.replace(".", "%2E") if encoded in (".", "..") else encoded
