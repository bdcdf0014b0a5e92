"""*Instances and shards*: who runs, what each tells of itself, who owns what; and the draining of an instance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from asyncflow.integrations.dashboard.desk import Desk
from asyncflow.integrations.dashboard.door.person import Role
from asyncflow.integrations.dashboard.page import Deed, Form, PagePath, Seen, Values, WebPage
from asyncflow.scheduler.operator.instances import Instances, ShardView


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnersShards:
    """Hold the shards of one owner; of None: those that nobody owns."""

    owner: str | None
    shards: Sequence[ShardView]


def _look(desk: Desk, _: Values) -> Seen:
    instances = Instances(desk.engine, desk.outbox)
    shards = instances.shards()
    return {"instances": instances.all(), "shards": shards, "holdings": holdings(shards)}


def holdings(shards: Sequence[ShardView]) -> list[OwnersShards]:
    """Return the shards by owner, those of nobody first: a lease that ran out is nobody's."""
    found: dict[str | None, list[ShardView]] = {}
    for shard in shards:
        is_owned = shard.owner is not None and (shard.lease_seconds_left or 0) > 0
        found.setdefault(shard.owner if is_owned else None, []).append(shard)
    return [OwnersShards(owner=owner, shards=found[owner]) for owner in sorted(found, key=lambda one: one or "")]


def _drain(desk: Desk, form: Form) -> str:
    Instances(desk.engine, desk.outbox).drain(form.one("name"), actor=form.person.name, reason=form.reason)
    return "instances"


def _undrain(desk: Desk, form: Form) -> str:
    Instances(desk.engine, desk.outbox).undrain(form.one("name"), actor=form.person.name, reason=form.reason)
    return "instances"


PAGES = (WebPage(place=PagePath("instances"), template="instances.html", look=_look),)
DEEDS = (
    Deed(place=PagePath("instances/drain"), role=Role.OPERATOR, do=_drain),
    Deed(place=PagePath("instances/undrain"), role=Role.OPERATOR, do=_undrain),
)
