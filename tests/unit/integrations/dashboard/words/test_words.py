"""Each word of the pages is there in Chinese, and a reader's browser or choice decides."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from asyncflow.integrations.dashboard import Role
from asyncflow.integrations.dashboard import words as room
from asyncflow.integrations.dashboard.words import chosen_language, words_of
from asyncflow.integrations.dashboard.words.chinese import CHINESE
from asyncflow.integrations.dashboard.words.findings import CHINESE_FINDINGS
from asyncflow.outbox import Status
from asyncflow.scheduler import diagnosis
from asyncflow.scheduler.diagnosis.finding import Severity, lasting

TEMPLATES = sorted((Path(room.__file__).parent.parent / "templates").glob("*.html"))
SAID = re.compile(r"say\('((?:[^'\\]|\\.)*)'\)")
DIAGNOSIS = sorted(Path(diagnosis.__file__).parent.glob("*.py"))
KINDS = re.compile(r'\bkind="([a-z ]+)"')
LINKS = re.compile(r"\('\w*', '([A-Z][^']*)'\)")


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda one: one.name)
def test_every_word_of_a_template_is_there_in_chinese(template: Path) -> None:
    text = template.read_text(encoding="utf-8")
    assert {*SAID.findall(text), *LINKS.findall(text)} - CHINESE.keys() - {"PENDING"} == set()


def test_the_templates_say_something() -> None:
    assert sum(len(SAID.findall(one.read_text(encoding="utf-8"))) for one in TEMPLATES) > 150


def test_names_of_the_code_are_there_in_chinese() -> None:
    names = [one.name.lower() for one in Status] + [one.value for one in (*Severity, *Role)]
    assert set(names) - CHINESE.keys() == set()


def test_what_a_finding_concerns_is_there_in_chinese() -> None:
    kinds = {kind for path in DIAGNOSIS for kind in KINDS.findall(path.read_text(encoding="utf-8"))}
    assert len(kinds) >= 8
    assert kinds - CHINESE_FINDINGS.keys() == set()
    # A word that two catalogues have is one word.
    shared = CHINESE.keys() & CHINESE_FINDINGS.keys()
    assert {name: CHINESE[name] for name in shared} == {name: CHINESE_FINDINGS[name] for name in shared}


def test_what_has_no_chinese_stays_english() -> None:
    assert words_of("zh")("Audit") == "审计"
    assert words_of("zh")("some finding") == "some finding"
    assert words_of("en")("Audit") == "Audit"


def test_a_sentence_of_the_diagnosis_is_said_in_the_readers_language() -> None:
    assert words_of("zh")(lasting(7200)) == "2 小时"
    assert words_of("en")(lasting(7200)) == "2 h"


@pytest.mark.parametrize(
    ("chosen", "accepted", "language"),
    [
        (None, "", "en"),
        (None, "zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        (None, "de, en;q=0.7, zh;q=0.9", "zh"),
        (None, "zh;q=0, fr", "en"),
        (None, "zh;q=high", "en"),
        ("en", "zh", "en"),
        ("zh", "", "zh"),
        ("xx", "zh", "zh"),
    ],
)
def test_the_language_is_the_chosen_one_or_the_first_that_the_browser_likes(
    chosen: str | None, accepted: str, language: str
) -> None:
    assert chosen_language(chosen, accepted) == language
