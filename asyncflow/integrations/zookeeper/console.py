"""What only ElasticJob's console reads: nothing here depends on it."""

from __future__ import annotations

from collections.abc import Collection

from asyncflow.integrations.zookeeper import questions
from asyncflow.integrations.zookeeper.session import EnsembleSession
from asyncflow.integrations.zookeeper.tree import Tree, config_text, host_of, is_our_config

_NODES_A_LOOK = 128  # of owners, written with one look: the others follow with the next ones


class Console:
    """Write for the console what one instance is and owns. Each function raises RegistryAwayError."""

    def __init__(self, session: EnsembleSession, tree: Tree, instance: str) -> None:
        self._session = session
        self._tree = tree
        self._instance = instance
        self._shown: dict[str, set[int]] = {}  # by job: the items whose node names this instance

    def describe(self, job: str, item_count: int) -> None:
        """Write what the job is; a description that is somebody else's stays."""
        path, text = self._tree.config(job), config_text(job, item_count)
        (known,) = self._session.answers([questions.getting(path)])
        if isinstance(known, Exception):
            self._session.answers([questions.creating(path, text)])
        elif known[0] != text and is_our_config(known[0]):
            self._session.answers([questions.setting(path, text)])

    def begin(self, job: str) -> None:
        """Write where the instance runs; whatever it had written of the job may be gone."""
        self._shown.pop(job, None)
        host = self._tree.servers(job, host_of(self._instance))
        self._session.answers([questions.creating(host, b"ENABLED")])

    def show(self, job: str, items: Collection[int]) -> None:
        """Name this instance as the owner of these; what another one owns, that one writes."""
        shown = self._shown.setdefault(job, set())
        shown.intersection_update(items)
        if new := sorted(set(items) - shown)[:_NODES_A_LOOK]:
            self._write(job, new)
            shown.update(new)

    def clear(self, job: str) -> None:
        """Delete what names this instance, unless another one has written there meanwhile."""
        paths = [self._tree.owner(job, item) for item in sorted(self._shown.pop(job, ()))]
        answers = self._session.answers([questions.getting(path) for path in paths])
        found = [(path, one) for path, one in zip(paths, answers, strict=True) if not isinstance(one, Exception)]
        mine = [(path, state.version) for path, (text, state) in found if text == self._instance.encode()]
        self._session.answers([questions.deleting(path, version) for path, version in mine])

    def drop_hosts(self, job: str, names: Collection[str]) -> None:
        """Delete the hosts of these, who are gone, unless others are there."""
        (living,) = self._session.answers([questions.listing(self._tree.instances(job))])
        hosts = set(map(host_of, names)) - set(map(host_of, questions.names_in(living)))
        self._session.answers([questions.deleting(self._tree.servers(job, host)) for host in sorted(hosts)])

    def _write(self, job: str, items: list[int]) -> None:
        text, paths = self._instance.encode(), [self._tree.owner(job, item) for item in items]
        answers = self._session.answers([questions.setting(path, text) for path in paths])
        absent = [path for path, answer in zip(paths, answers, strict=True) if isinstance(answer, Exception)]
        self._session.answers([questions.creating(path, text) for path in absent])
