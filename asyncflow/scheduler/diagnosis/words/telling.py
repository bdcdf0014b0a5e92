"""Sentences in the language of who reads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asyncflow.scheduler.diagnosis.words.chinese import CHINESE_FORMS
from asyncflow.scheduler.diagnosis.words.sentence import Sentence

LANGUAGES = ("en", "zh")
_FORMS: Mapping[str, Mapping[str, str]] = {"zh": CHINESE_FORMS}


def told_in(language: str, text: Any) -> Any:
    """Return a sentence in a language; what is none, or has no form there, stays as it is."""
    if not isinstance(text, Sentence):
        return text
    form = _FORMS.get(language, {}).get(text.form)
    if form is None:
        return text
    return form.format(**{name: told_in(language, value) for name, value in text.values.items()})


def language_of(environment: Mapping[str, str]) -> str:
    """Return the language of a terminal, by LC_ALL, LC_MESSAGES or LANG, in that order; else English."""
    named = next(filter(None, map(environment.get, ("LC_ALL", "LC_MESSAGES", "LANG"))), "")
    name = named.partition(".")[0].partition("_")[0].lower()
    return name if name in LANGUAGES else "en"
