"""*Databases*: which of several have something that is stuck, and the way to each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from asyncflow.integrations.dashboard.desk import Desk
from asyncflow.integrations.dashboard.page import PagePath, Seen, Values, WebPage
from asyncflow.scheduler.diagnosis.finding import Severity
from asyncflow.scheduler.diagnosis.kept_look import Glimpse, KeptLook, latest_of

_SECONDS_OLD = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseView:
    """Tell of one database, as the last look found it; ``answers`` is False of one that could not be looked at."""

    name: str
    answers: bool
    findings: Mapping[str, int] = field(default_factory=dict)  # by severity, the worst first
    oldest_due_seconds: float | None = None
    types: int = 0  # with due tasks
    instances: int = 0
    unowned: int = 0


def overview(looks: Mapping[str, KeptLook]) -> WebPage:
    """Return the page of several databases, of which each is looked at by itself, side by side."""

    def look(_: Desk, __: Values) -> Seen:
        return {"databases": [view_of(name, glimpse) for name, glimpse in latest_of(looks).items()]}

    return WebPage(place=PagePath(""), template="databases.html", look=look, seconds_old=_SECONDS_OLD)


def view_of(name: str, glimpse: Glimpse) -> DatabaseView:
    """Return what a look tells of a database."""
    sight = glimpse.sight
    if sight is None:
        return DatabaseView(name=name, answers=False)
    counts = Counter(finding.severity for finding in glimpse.findings)
    return DatabaseView(
        name=name,
        answers=True,
        findings={one.value: counts[one] for one in Severity if counts[one]},
        oldest_due_seconds=max((one.seconds for one in sight.waiting), default=None),
        types=len(sight.waiting),
        instances=len(sight.members),
        unowned=len(sight.unowned),
    )
