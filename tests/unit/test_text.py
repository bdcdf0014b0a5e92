"""Names and keys at the door."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from asyncflow.errors import InvalidKeyError, nearest
from asyncflow.text import a_type_of, printable, require_text, shown, told


@pytest.mark.parametrize("text", ["A1001", "a b", "😀" * 255, "ключ", "a" * 255, "-", "a\x7fb"])
def test_text_of_1_to_255_characters_passes_unchanged(text: str) -> None:
    assert require_text("key", text, 255, InvalidKeyError) == text


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ("\u3000", "empty"),
        ("a" * 256, "256 characters long"),
        ("😀" * 256, "256 characters long"),
        (" a", "surrounded by spaces"),
        ("a ", "surrounded by spaces"),
        ("a\n", "surrounded by spaces"),
        ("a\x00b", "control character"),
        ("a\nb", "control character"),
        ("\ud83d", "half a surrogate pair"),
        (5, "an int, not text"),
        (b"A1001", "a bytes, not text"),
        (None, "a NoneType, not text"),
        (["A1001"], "a list, not text"),
    ],
)
def test_other_text_is_refused_with_name_value_fault_and_remedy(value: Any, fault: str) -> None:
    with pytest.raises(InvalidKeyError) as refused:
        require_text("key", value, 255, InvalidKeyError)
    text = str(refused.value)
    assert text.startswith("key is ")
    assert fault in text
    assert text.endswith("give text of 1 to 255 characters")


def test_an_error_shows_the_beginning_of_a_long_value() -> None:
    assert len(shown("a" * 10_000)) == 60


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


def test_a_value_that_cannot_be_shown_is_named_by_its_type() -> None:
    assert shown(Unprintable()) == "a Unprintable"
    assert shown(10**5000) == "an int"


def test_a_text_that_interrupts_is_no_interrupt_but_on_the_main_thread() -> None:
    class InterruptingError(Exception):
        def __str__(self) -> str:
            raise KeyboardInterrupt

        __repr__ = __str__

    with ThreadPoolExecutor(1) as elsewhere:
        assert elsewhere.submit(told, InterruptingError()).result(60) == "InterruptingError: "
        assert elsewhere.submit(shown, InterruptingError()).result(60) == "an InterruptingError"
    for tell in (told, shown):
        with pytest.raises(KeyboardInterrupt):
            tell(InterruptingError())


def test_a_type_is_named_with_the_article_that_is_spoken() -> None:
    class Order:
        pass

    assert [a_type_of(one) for one in (1, "1", object(), Order(), None, OSError())] == [
        "an int",
        "a str",
        "an object",
        "an Order",
        "a NoneType",
        "an OSError",
    ]


def test_the_nearest_name_is_told() -> None:
    assert nearest("user.registred", ["user.registered", "order.paid"]) == " (did you mean 'user.registered'?)"


def test_no_name_is_told_when_none_is_near() -> None:
    assert nearest("zzz", ["user.registered"]) == ""


@pytest.mark.parametrize("character", [*"\x1b\x00\x07\r\n\x7f\x9b\x85\u202e\u2066\u200f\u2028\ud800"])
def test_nothing_that_a_terminal_acts_on_or_hides_stays_in_printable_text(character: str) -> None:
    told = printable(f"a{character}b")
    assert told.isprintable()
    assert told == "a" + repr(character)[1:-1] + "b"


def test_printable_text_stays_as_it_is() -> None:
    assert printable("Zoë 注文 C:\\temp 'x'") == "Zoë 注文 C:\\temp 'x'"
