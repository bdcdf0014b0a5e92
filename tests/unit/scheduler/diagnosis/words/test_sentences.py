"""Each sentence of the diagnosis can be said in Chinese, with the names and numbers of the English one."""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from asyncflow.scheduler import diagnosis
from asyncflow.scheduler.diagnosis.finding import lasting, listed, soon
from asyncflow.scheduler.diagnosis.words import language_of, say, say_of, told_in
from asyncflow.scheduler.diagnosis.words.chinese import CHINESE_FORMS

MODULES = sorted(Path(diagnosis.__file__).parent.glob("*.py"))
FIELD = re.compile(r"\{(\w+)\}")


def forms_in(module: Path) -> Iterator[str]:
    """Return what is given to ``say``, and what could be: the texts with fields."""
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and FIELD.search(node.value):
            yield node.value
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("say", "say_of"):
            yield from (str(one.value) for one in node.args if isinstance(one, ast.Constant))


FORMS = {form for module in MODULES for form in forms_in(module)}


def test_every_form_is_there_in_chinese_and_no_other_is() -> None:
    assert len(FORMS) > 60
    assert CHINESE_FORMS.keys() == FORMS


@pytest.mark.parametrize("form", sorted(CHINESE_FORMS), ids=lambda form: form[:40])
def test_the_chinese_tells_what_the_english_tells(form: str) -> None:
    chinese = CHINESE_FORMS[form]
    assert sorted(FIELD.findall(chinese)) == sorted(FIELD.findall(form))
    assert chinese.endswith("。") == form.endswith(".")
    assert re.search(r"[\u4e00-\u9fff]", chinese)
    command, sign, _ = form.partition("  # ")
    assert not sign or chinese.startswith(f"{command}  # ")


def test_what_stands_in_a_sentence_is_said_in_the_same_language() -> None:
    why = say("it is switched off")
    told = say("The oldest due task of {type} waits for {age}: {why}.", type="mail", age=lasting(130), why=why)
    assert told == "The oldest due task of mail waits for 2 min: it is switched off."
    assert told_in("zh", told) == "mail 最早到期的任务已等待 2 分钟：该类型已停用。"
    assert told_in("en", told) == told
    assert told_in("zh", soon(400)) == "7 分钟后"
    assert told_in("zh", listed(range(7))) == "0, 1, 2, 3, 4 和另外 2 个"


def test_braces_of_names_and_errors_are_no_fields() -> None:
    told = say("the key {key}", key="{age} {0} {")
    assert told == "the key {age} {0} {"
    assert told_in("zh", told) == "键 {age} {0} {"


def test_one_is_told_in_the_singular() -> None:
    forms = ("{count} task", "{count} tasks")
    assert [say_of(count, *forms) for count in (0, 1, 2)] == ["0 tasks", "1 task", "2 tasks"]
    assert say_of(1, "the task {id}", "{count} tasks", id=7) == "the task 7"


def test_what_has_no_chinese_stays_as_it_is() -> None:
    assert told_in("zh", say("{count} parsecs", count=3)) == "3 parsecs"
    assert told_in("zh", "asyncflow top") == "asyncflow top"
    assert told_in("zh", 17) == 17


def test_a_sentence_is_a_text_for_programs_and_for_copies() -> None:
    told = say("in {age}", age=lasting(3))
    assert orjson.dumps({"cause": told}) == b'{"cause":"in 3 s"}'
    assert told_in("zh", copy.deepcopy(told)) == "3 秒后"


@pytest.mark.parametrize(
    ("environment", "language"),
    [
        ({}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh_TW", "LC_MESSAGES": "en_GB.UTF-8"}, "en"),
        ({"LANG": "en_US.UTF-8", "LC_ALL": "zh"}, "zh"),
        ({"LANG": "C.UTF-8"}, "en"),
        ({"LC_ALL": "", "LANG": "zh_CN"}, "zh"),
        ({"LANG": "de_DE"}, "en"),
    ],
)
def test_a_terminals_language_is_that_of_its_environment(environment: dict[str, str], language: str) -> None:
    assert language_of(environment) == language
