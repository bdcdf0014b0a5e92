"""The language of what commands tell a person of the diagnosis: as asked for, or as the terminal's."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping

from asyncflow.scheduler.diagnosis.words import LANGUAGES, Sentence, language_of, told_in

_CHINESE: Mapping[str, str] = {
    "nothing is stuck": "没有卡住的任务",
    "since": "始于",
    "mend:": "处理：",
    "see: ": "参见：",
    "next:": "下次：",
    "the process at {url} is at work": "{url} 的进程在工作",
    "the process at {url} is not at work: {reason}": "{url} 的进程不在工作：{reason}",
    "not at work in the database {name}: {reason}": "在数据库 {name} 中不在工作：{reason}",
}
_WORDS = {"zh": _CHINESE}
Say = Callable[[str], str]


def add_language_option(parser: argparse.ArgumentParser) -> None:
    """Add the option."""
    parser.add_argument(
        "--language",
        choices=LANGUAGES,
        default=language_of(os.environ),
        help="of the sentences (default: by LC_ALL, LC_MESSAGES, LANG: %(default)s); JSON is in English",
    )


def saying(language: str) -> Say:
    """Return what says a sentence of the diagnosis, or a word beside it, in a language."""
    words = _WORDS.get(language, {})

    def say(text: str) -> str:
        told: str = told_in(language, text) if isinstance(text, Sentence) else words.get(text, text)
        return told

    return say


in_english = saying("en")
