"""Refuse the native options that would break what the outbox promises."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from asyncflow.errors import OptionError
from asyncflow.integrations.kafka.settings import KafkaSettings


class Rule(NamedTuple):
    """Say which values of a native option are harmless, and what to do instead of another."""

    allows: Callable[[object], bool]
    remedy: str


def refuse(where: str, options: Mapping[str, object], rules: Mapping[str, Rule]) -> None:
    """Raise OptionError for the first option whose value its rule does not allow."""
    for name, value in options.items():
        rule = rules.get(name)
        if rule is not None and not rule.allows(value):
            raise OptionError(f"{where}: client option {name}={value_told(name, value)} is refused: {rule.remedy}")


def value_told(name: str, value: object) -> str:
    """Return an option's value as an error shows it; a secret as ``...``."""
    return "..." if any(word in name for word in ("password", "secret", "pem", "config")) else repr(value)


def never(remedy: str) -> Rule:
    """Return the rule of an option that the publisher sets itself."""
    return Rule(lambda _: False, remedy)


def only(remedy: str, *values: object) -> Rule:
    """Return the rule of an option that may state what holds anyway."""
    allowed = {str(value).lower() for value in values}
    return Rule(lambda value: str(value).lower() in allowed, remedy)


def between(remedy: str, least: float, most: float = float("inf")) -> Rule:
    """Return the rule of a number, limits included."""
    return Rule(lambda value: _is_between(value, least, most), remedy)


def _is_between(value: object, least: float, most: float) -> bool:
    try:
        return least <= float(str(value)) <= most
    except ValueError:
        return False


def refuse_open(where: str, settings: KafkaSettings, options: Mapping[str, object], separator: str) -> None:
    """Raise OptionError where native options take back an encryption or a log-in, or are of one that is not in force.

    ``separator`` is what stands between the words of the client's options.
    """
    name = f"security{separator}protocol"
    protocol = str(options.get(name, settings.security_protocol)).upper()
    for kind, field, given in (("SSL", "tls", settings.tls), ("SASL", "sasl", settings.sasl)):
        if kind in protocol:
            continue
        if given is not None:
            raise OptionError(f"{where}: client option {name}={protocol!r} is refused: it would leave {field} out")
        prefix = f"{kind.lower()}{separator}"
        if unused := sorted(option for option in options if option.startswith(prefix)):
            raise OptionError(
                f"{where}: client option {unused[0]} is refused: the connection is {protocol}, which goes without it; "
                f"give KafkaSettings({field}=...), or {name}"
            )
