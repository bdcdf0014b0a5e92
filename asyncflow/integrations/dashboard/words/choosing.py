"""The language of a page: as its reader has chosen, or as his browser says."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from asyncflow.integrations.dashboard.words.chinese import CHINESE
from asyncflow.integrations.dashboard.words.findings import CHINESE_FINDINGS
from asyncflow.scheduler.diagnosis.words import Sentence, told_in

LANGUAGES: Mapping[str, str] = {"en": "English", "zh": "中文"}
_CATALOGUES: Mapping[str, Mapping[str, str]] = {"zh": {**CHINESE_FINDINGS, **CHINESE}}
_MOST_PREFERENCES = 20


def words_of(language: str) -> Callable[[str], str]:
    """Return what says an English text in a language, also a sentence of the diagnosis; what it does not know stays."""
    catalogue = _CATALOGUES.get(language, {})

    def said(text: str) -> str:
        told: str = told_in(language, text) if isinstance(text, Sentence) else catalogue.get(text, text)
        return told

    return said


def chosen_language(chosen: str | None, accepted: str) -> str:
    """Return the language that was ``chosen``, or the first that the header Accept-Language likes; else English."""
    if chosen is not None and chosen in LANGUAGES:
        return chosen
    liked: list[tuple[float, int, str]] = []
    for number, part in enumerate(accepted.split(",")[:_MOST_PREFERENCES]):
        name, _, weight = part.partition(";q=")
        try:
            liked.append((-float(weight or 1), number, name.strip().partition("-")[0].lower()))
        except ValueError:
            continue
    return next((name for quality, _, name in sorted(liked) if name in LANGUAGES and quality < 0), "en")
