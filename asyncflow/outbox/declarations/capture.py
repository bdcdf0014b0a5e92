"""What a type asks for whose rows change data capture reads: only what the row itself can tell."""

from __future__ import annotations

from typing import Any

from asyncflow.errors import OptionError


def require_capturable(name: str, topic: str, asked: dict[str, Any]) -> None:
    """Raise OptionError for a captured type with another topic, or with options that ask for a relay's work.

    ``asked`` are the options that are not as they are by default.
    """
    if topic != name:
        raise OptionError(
            f"topic of {name!r} is {topic!r}, and it is captured: of the topic its rows hold the type's name alone; "
            f"leave topic out, and route by the name in the connector's configuration"
        )
    for option, value in asked.items():
        raise not_captured(name, option, value, _REMEDIES[option])


def not_captured(name: str, option: str, value: object, remedy: str) -> OptionError:
    """Return the error of an option that is a relay's work, of a type whose rows no relay takes."""
    return OptionError(f"{option} of {name!r} is {value!r}, and it is captured: no relay takes its rows; {remedy}")


_REMEDIES = {
    "ordered": "leave it out: who captures goes by the order of the commits",
    "rate_limit_per_second": "leave it out, or limit the connector",
    "limit": "leave it out: there are no rounds",
    "enabled": "leave it out: its rows are there to be read as soon as they are committed",
    "cloudevents": "give the type cloudevents=None",
    **dict.fromkeys(
        (
            "max_retries",
            "retry_interval_seconds",
            "max_retry_interval_seconds",
            "retry_factor",
            "retry_jitter",
            "when_exhausted",
        ),
        "leave it out: the connector tries again by its own options",
    ),
}
RELAYS_WORK = tuple(_REMEDIES)
