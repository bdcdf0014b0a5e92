"""The board in etcd: two keys for each job and instance, one of which ends with the instance's lease."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

from asyncflow.integrations.etcd import questions
from asyncflow.integrations.etcd.extras import etcd3gw
from asyncflow.integrations.etcd.members import Members
from asyncflow.integrations.etcd.questions import EtcdQuestion
from asyncflow.scheduler.cluster.signs.board import HeldItems, Sign, held_of, held_text

# Of a job, so that no transaction has more operations than etcd allows (128).
_JOBS_AT_ONCE = 40
_GONE = "gone"


class _Put(NamedTuple):
    """Hold what stands there of an instance's own: by which lease it lives, and what it holds."""

    lease: int
    held: str


class EtcdBoard:
    """Keep signs in one etcd; one thread at a time asks.

    To write a sign with each heartbeat would fill etcd's history. So a sign is a key of a lease, and the lease is
    renewed, which leaves no trace there: while the key is there its text is another one with each look, and then the
    same for ever.
    """

    def __init__(self, members: Members, namespace: str, lease_seconds: int) -> None:
        self._members = members
        self._namespace = namespace
        self._lease_seconds = lease_seconds
        self._lease: int | None = None
        self._numbers = itertools.count()
        self._put: dict[str, _Put] = {}  # by job
        self._held: dict[str, dict[str, str]] = {}  # by job: what was read last, by instance

    def leave_to_parent(self) -> None:
        """Let go of the parent's connection, and of its lease."""
        self._members.leave_to_parent()
        self._lease = None

    def exchange(self, instance: str, signs: Mapping[str, Sign]) -> dict[str, dict[str, str]]:
        """Renew the lease, write what has changed or has been lost, and read all of the jobs, some at a time."""
        lease = self._members.ask(self._renewed)
        texts = self._told(instance, signs, lease)
        lost = {job: sign for job, sign in signs.items() if job not in self._put}
        return texts | self._told(instance, lost, lease)

    def held_by(self, job: str, signs: Mapping[str, str]) -> dict[str, HeldItems]:
        """Return what the last look has read, together with the signs."""
        read = self._held.get(job, {})
        return {name: held_of(read[name]) for name in signs if name in read}

    def take_down(self, job: str, instances: Collection[str]) -> None:
        """Delete the keys of these."""
        keys = [key for name in instances for key in (self._key(job, "signs", name), self._key(job, "held", name))]
        self._put.pop(job, None)
        for first in range(0, len(keys), _JOBS_AT_ONCE):
            asked = [questions.deleting(key) for key in keys[first : first + _JOBS_AT_ONCE]]
            self._members.ask(partial(questions.asked, questions=asked))

    def close(self) -> None:
        """Disconnect."""
        self._members.close()

    def _told(self, instance: str, signs: Mapping[str, Sign], lease: int) -> dict[str, dict[str, str]]:
        jobs = list(signs)
        texts: dict[str, dict[str, str]] = {}
        for first in range(0, len(jobs), _JOBS_AT_ONCE):
            some = jobs[first : first + _JOBS_AT_ONCE]
            wanted = {job: _Put(lease, held_text(signs[job].held)) for job in some}
            asked = [one for job in some for one in self._questions(job, instance, wanted[job])]
            answers = self._members.ask(partial(questions.asked, questions=asked))
            for job, answer in zip(some, answers, strict=True):
                texts[job] = self._taken_in(job, answer)
                if texts[job].get(instance, _GONE) != _GONE and self._held[job].get(instance) == wanted[job].held:
                    self._put[job] = wanted[job]
                else:  # somebody has deleted it, or an older text came late
                    self._put.pop(job, None)
        return texts

    def _renewed(self, client: Any) -> int:
        """Renew the lease, or begin another one where it has ended; return its number."""
        if self._lease is None or etcd3gw().Lease(self._lease, client).refresh() <= 0:
            self._lease = client.lease(ttl=self._lease_seconds).id
        return self._lease

    def _questions(self, job: str, instance: str, wanted: _Put) -> Iterator[EtcdQuestion]:
        if self._put.get(job) != wanted:
            yield questions.putting(self._key(job, "held", instance), wanted.held)
            yield questions.putting(self._key(job, "signs", instance), "", wanted.lease)
        yield questions.reading_below(self._below(job))

    def _taken_in(self, job: str, answer: Mapping[str, str]) -> dict[str, str]:
        """Remember what is held; return the texts of the signs."""
        signs: set[str] = set()
        held: dict[str, str] = {}
        for key, text in answer.items():
            kind, _, name = key.removeprefix(self._below(job)).partition("/")
            if kind == "signs":
                signs.add(unquote(name))
            elif kind == "held":
                held[unquote(name)] = text
        self._held[job] = held
        number = str(next(self._numbers))
        return {name: number if name in signs else _GONE for name in signs | held.keys()}

    def _below(self, job: str) -> str:
        return f"/{self._namespace}/{quote(job, safe='')}/"

    def _key(self, job: str, kind: str, instance: str) -> str:
        return f"{self._below(job)}{kind}/{quote(instance, safe='')}"
