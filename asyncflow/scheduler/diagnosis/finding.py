"""A finding: one sentence of what the diagnosis has to say, with its remedy."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from asyncflow.scheduler.diagnosis.words import say

RUNBOOK = "docs/operate.md"
_UNITS = ((86400.0, "{count} d"), (3600.0, "{count} h"), (60.0, "{count} min"))
_MOST_LISTED = 5


class Severity(str, Enum):
    """Tell how urgent a finding is."""

    STUCK = "stuck"  # something waits, and nothing but a person will mend it
    TROUBLE = "trouble"  # it moves, but not as it should
    NOTICE = "notice"  # to be known


class Code(str, Enum):
    """Name each kind of finding; the runbook has a section for each. They stay as they are: people search for them."""

    NO_INSTANCE = "no-instance"
    TYPE_UNDECLARED = "type-undeclared"
    TYPE_UNHANDLED = "type-unhandled"
    TYPE_OFF = "type-off"
    RATE_SPENT = "rate-spent"
    BREAKER_OPEN = "breaker-open"
    SHARDS_UNOWNED = "shards-unowned"
    HANDLERS_HANG = "handlers-hang"
    KEY_PARKED = "key-parked"
    TYPE_BEHIND = "type-behind"
    DEAD_LETTERS_NEW = "dead-letters-new"
    CLAIMS_RUN_OUT = "claims-run-out"
    WRITES_FENCED = "writes-fenced"
    CLOCKS_APART = "clocks-apart"
    POOL_TOO_SMALL = "pool-too-small"
    LOOP_FAILING = "loop-failing"
    CLEANING_BEHIND = "cleaning-behind"
    ARCHIVE_HELD_UP = "archive-held-up"
    ROLL_OVER_HELD_UP = "roll-over-held-up"
    VERSIONS_DIFFER = "versions-differ"
    SETTINGS_DIFFER = "settings-differ"
    TABLE_DIFFERS = "table-differs"
    LOOKED_IN_PART = "looked-in-part"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Tell one thing: what it concerns, since when by the database's clock, why it is so, and what mends it."""

    code: Code
    severity: Severity
    kind: str  # of what it concerns: task type, destination, instance, shards, key, table, tasks
    name: str  # of what it concerns
    since: datetime | None
    cause: str
    remedy: str  # a command, with what to fill in in capitals

    @property
    def concerns(self) -> str:
        """Return what it concerns, in words."""
        return f"{self.kind} {self.name}".strip()

    @property
    def runbook(self) -> str:
        """Return where the runbook tells more."""
        return f"{RUNBOOK}#{self.code.value}"

    def as_dict(self) -> Mapping[str, Any]:
        """Return all of it as plain values, for JSON."""
        since = None if self.since is None else self.since.isoformat()
        told = {**asdict(self), "code": self.code.value, "severity": self.severity.value, "since": since}
        return {**told, "runbook": self.runbook}


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """Return findings, the most urgent first, of these the longest-lasting."""
    urgency = {severity: number for number, severity in enumerate(Severity)}

    def place(one: Finding) -> tuple[int, bool, float, str, str]:
        since = one.since
        return urgency[one.severity], since is None, since.timestamp() if since else 0.0, one.code.value, one.name

    return sorted(findings, key=place)


def lasting(seconds: float) -> str:
    """Return a duration for people: ``45 s``, ``12 min``, ``3 h``, ``2 d``."""
    for unit, form in _UNITS:
        if seconds >= 2 * unit:
            return say(form, count=f"{seconds / unit:.0f}")
    return say("{count} s", count=f"{max(0.0, seconds):.0f}")


def soon(seconds: float) -> str:
    """Return when something comes that is as far away: ``in 12 min``, or ``now``."""
    return say("in {age}", age=lasting(seconds)) if seconds > 1 else say("now")


def listed(names: Iterable[object]) -> str:
    """Return names for a sentence, the first few of many."""
    told = [str(name) for name in names]
    few = ", ".join(told[:_MOST_LISTED])
    return few if len(told) <= _MOST_LISTED else say("{few} and {count} more", few=few, count=len(told) - _MOST_LISTED)


def given(option: str, name: str) -> str:
    """Return an option with a name as a shell takes it, ``--key A1``; whatever the name begins with or holds."""
    return f"{option}{'=' if name.startswith('-') else ' '}{_word(name)}"


def _word(name: str) -> str:
    """Return a word of a shell that can be shown: what a terminal acts on is escaped as bash, zsh and ksh read it."""
    if name.isprintable():
        return shlex.quote(name)
    return f"$'{''.join(map(_escaped, name))}'"


def _escaped(character: str) -> str:
    if character.isprintable():
        return f"\\{character}" if character in "\\'" else character
    return f"\\U{ord(character):08x}"
