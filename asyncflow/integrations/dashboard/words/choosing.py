"""The language of a page: as its reader has chosen, or as his browser says."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from asyncflow.integrations.dashboard.words.chinese import CHINESE
from asyncflow.integrations.dashboard.words.findings import CHINESE_FINDINGS

LANGUAGES: Mapping[str, str] = {"en": "English", "zh": "中文"}
_CATALOGUES: Mapping[str, Mapping[str, str]] = {"zh": {**CHINESE_FINDINGS, **CHINESE}}
_MOST_PREFERENCES = 20


def words_of(language: str) -> Callable[[str], str]:
    """Return what says an English sentence in a language; one that is not in the catalogue stays English."""
    catalogue = _CATALOGUES.get(language, {})
    return lambda text: catalogue.get(text, text)


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
