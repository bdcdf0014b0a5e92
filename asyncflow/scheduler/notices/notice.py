"""A notice: the findings that appeared, are still there or cleared, told together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, NamedTuple

from asyncflow.scheduler.diagnosis.finding import RUNBOOK, Finding
from asyncflow.text import on_one_line

_MOST_LINES = 20  # findings of a notice for people
_LONGEST_KEY = 200
# Kinds whose names are lists, which change from look to look while the trouble is the same.
_LISTS = frozenset({"tasks", "shards", "instances", "task types"})


class Cleared(NamedTuple):
    """Name a finding that is there no more."""

    code: str
    concerns: str

    @property
    def runbook(self) -> str:
        """Return where the runbook tells more."""
        return f"{RUNBOOK}#{self.code}"


@dataclass(frozen=True, kw_only=True)
class Notice:
    """Tell of one outbox, ``source``; ``still_there`` was told before, and nobody has mended it for hours."""

    source: str
    at: datetime
    appeared: tuple[Finding, ...] = ()
    still_there: tuple[Finding, ...] = ()
    cleared: tuple[Cleared, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.appeared or self.still_there or self.cleared)

    @property
    def title(self) -> str:
        """Return it in one line: ``asyncflow shop: type-off task type mail, and 2 more``."""
        told = [f"{one.code.value} {one.concerns}" for one in (*self.appeared, *self.still_there)]
        told += [f"cleared: {one.code} {one.concerns}" for one in self.cleared]
        more = f", and {len(told) - 1} more" if len(told) > 1 else ""
        return on_one_line(f"asyncflow {self.source}: {told[0]}{more}")

    def lines(self) -> list[str]:
        """Return it for people, a line for each fact; the first of many findings."""
        parts = [
            *(_lines_of("", one) for one in self.appeared),
            *(_lines_of("still there: ", one) for one in self.still_there),
            *([f"CLEARED {one.code} {one.concerns}"] for one in self.cleared),
        ]
        lines = [on_one_line(line) for part in parts[:_MOST_LINES] for line in part]
        return lines if len(parts) <= _MOST_LINES else [*lines, f"... and {len(parts) - _MOST_LINES} more"]

    def as_dict(self) -> Mapping[str, Any]:
        """Return all of it as plain values, for JSON."""
        return {
            "source": self.source,
            "at": self.at.isoformat(),
            "appeared": [one.as_dict() for one in self.appeared],
            "still_there": [one.as_dict() for one in self.still_there],
            "cleared": [{**one._asdict(), "runbook": one.runbook} for one in self.cleared],
        }


def by_key(findings: Iterable[Finding]) -> dict[str, Finding]:
    """Return findings by what tells one trouble from another, in ASCII; of two of one trouble the first."""
    found: dict[str, Finding] = {}
    for finding in findings:
        found.setdefault(_key_of(finding), finding)
    return found


def cleared_of(key: str) -> Cleared:
    """Return what a key of ``by_key`` stood for."""
    code, _, concerns = key.partition(" ")
    return Cleared(code, concerns)


def _key_of(finding: Finding) -> str:
    concerns = finding.kind if finding.kind in _LISTS else finding.concerns
    if finding.kind == "key":  # of a type one key is named, and another one when that goes on
        concerns = f"key of {finding.name.rpartition(' of ')[2]}"
    key = f"{finding.code.value} {concerns}".encode("unicode_escape").decode().strip()
    if len(key) <= _LONGEST_KEY:
        return key
    return f"{key[: _LONGEST_KEY - 20].strip()} {sha256(key.encode()).hexdigest()[:16]}"


def _lines_of(mark: str, finding: Finding) -> Iterator[str]:
    since = "" if finding.since is None else f" since {finding.since:%Y-%m-%d %H:%M}Z"
    yield f"{finding.severity.value.upper()} {mark}{finding.code.value} {finding.concerns}{since}"
    yield finding.cause
    yield f"mend: {finding.remedy}"
    yield f"see: {finding.runbook}"
