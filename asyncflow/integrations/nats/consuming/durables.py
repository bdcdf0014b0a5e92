"""The durable consumers of a group: one for each subject, made where there is none."""

from __future__ import annotations

from types import ModuleType
from typing import Any, NamedTuple

from asyncflow.errors import UnreachableError

_UNFIT = str.maketrans(dict.fromkeys("./\\*> ", "_"))


class Durable(NamedTuple):
    """Name one, and say after how many seconds without a sign of life its messages come again."""

    topic: str
    stream: str
    name: str
    dead_after_seconds: float


class Durables(NamedTuple):
    """Say how those of a group are to be."""

    group: str
    dead_after_seconds: float

    async def find(self, library: ModuleType, streams: Any, topic: str) -> Durable:
        """Return that of a subject; one that is there stays as it is. Raise UnreachableError if it does not fit."""
        stream = await streams.find_stream_name_by_subject(topic)
        name = f"{self.group}-{topic}".translate(_UNFIT)
        try:
            info = await streams.consumer_info(stream, name)
        except library.js.errors.NotFoundError:
            info = await streams.add_consumer(stream, self._configured(library, name, topic))
        if info.config.filter_subject != topic:
            raise UnreachableError(
                f"choose another group: the durable consumer {name} is there already, for the subject "
                f"{info.config.filter_subject!r} and not for {topic!r}"
            )
        unfit = _unfit(info.config)
        if unfit is not None:
            raise UnreachableError(
                f"choose another group, or delete the durable consumer {name} to have it made anew: it is there "
                f"already, with {unfit}"
            )
        return Durable(topic, stream, name, float(info.config.ack_wait or self.dead_after_seconds))

    def _configured(self, library: ModuleType, name: str, topic: str) -> Any:
        api = library.js.api
        return api.ConsumerConfig(
            durable_name=name,
            filter_subject=topic,
            deliver_policy=api.DeliverPolicy.ALL,
            ack_policy=api.AckPolicy.EXPLICIT,
            ack_wait=self.dead_after_seconds,
        )


def _unfit(config: Any) -> str | None:
    """Return which field of one that is there keeps messages from taking effect once, None if none does."""
    if config.ack_policy != "explicit":
        return f"ack_policy={getattr(config.ack_policy, 'value', config.ack_policy)!r} and not 'explicit'"
    if config.deliver_subject:
        return f"deliver_subject={config.deliver_subject!r}: it pushes, and is not pulled from"
    if (config.max_deliver or 0) > 0:
        return f"max_deliver={config.max_deliver}: the server would drop what comes again after that, and not -1"
    if config.headers_only:
        return "headers_only=True: messages would come without what they carry"
    return None
