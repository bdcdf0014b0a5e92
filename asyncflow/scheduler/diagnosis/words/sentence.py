"""An English sentence that knows its form, and what stands in it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType


class Sentence(str):
    """Be the text of a form that is filled in; ``values`` may be sentences themselves."""

    form: str = ""
    values: Mapping[str, object] = MappingProxyType({})


def say(form: str, **values: object) -> Sentence:
    """Return the sentence of a form, such as ``the key {key}``."""
    told = Sentence(form.format(**values))
    told.form, told.values = form, values
    return told


def say_of(count: int, one: str, many: str, **values: object) -> Sentence:
    """Return the sentence of ``many``, whose ``{count}`` it is, or that of a single ``one``, which need not have it."""
    return say(one if count == 1 else many, count=count, **values)
