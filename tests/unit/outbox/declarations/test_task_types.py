"""Task types: declared once, with options that are checked."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import MetaData

from asyncflow import MessageType, Outbox
from asyncflow.errors import (
    DuplicateTaskTypeError,
    InvalidTaskTypeError,
    OptionError,
    UnknownOptionError,
    UnknownTaskTypeError,
)


@pytest.fixture
def outbox() -> Outbox:
    return Outbox(MetaData())


def test_a_type_has_the_documented_defaults(outbox: Outbox) -> None:
    declared = outbox.message("user.registered")
    assert declared == MessageType(
        name="user.registered",
        destination="kafka",
        topic="user.registered",
        max_retries=10,
        retry_interval_seconds=1.0,
        max_retry_interval_seconds=10.0,
    )


def test_every_option_of_a_type_is_kept(outbox: Outbox) -> None:
    options: dict[str, Any] = {
        "destination": "cluster_a",
        "topic": "users",
        "max_retries": 0,
        "retry_interval_seconds": 0,
        "max_retry_interval_seconds": 0,
    }
    declared = outbox.message("user.registered", **options)
    assert {name: getattr(declared, name) for name in options} == options


def test_the_outbox_gives_its_default_destination() -> None:
    outbox = Outbox(MetaData(), default_destination="cluster_b")
    assert outbox.message("user.registered").destination == "cluster_b"


def test_a_type_is_declared_once(outbox: Outbox) -> None:
    outbox.message("user.registered")
    with pytest.raises(DuplicateTaskTypeError, match=r"'user.registered' is declared already; declare it once"):
        outbox.message("user.registered")


def loaded(module: str, source: str, path: str = "/shop/mail.py") -> Any:
    """Return the function ``send`` of a module that was loaded by this name."""
    names: dict[str, Any] = {"__name__": module}
    exec(compile(source, path, "exec"), names)
    return names["send"]


SEND = "def send(to: str) -> None: ..."


@pytest.mark.parametrize(
    ("second", "told"),
    [
        (loaded("shop.mail", SEND), r"for shop.mail.send \(mail.py:1\); declare it once: .*notebook"),
        (loaded("__main__", SEND), r"its module is loaded twice, as shop.mail and as __main__; declare types in a"),
        (loaded("shop.sms", SEND, "/shop/sms.py"), r"and now for shop.sms.send \(sms.py:1\); give one of them another"),
        (None, r"for shop.mail.send \(mail.py:1\); give one of them another name"),
    ],
    ids=["run again", "loaded twice", "elsewhere", "without a handler"],
)
def test_a_second_declaration_is_told_where_the_first_stands(outbox: Outbox, second: Any, told: str) -> None:
    outbox.task("send")(loaded("shop.mail", SEND))
    with pytest.raises(DuplicateTaskTypeError, match=told):
        outbox.message("send") if second is None else outbox.task(second)


def test_a_handler_is_not_replaced_in_silence(outbox: Outbox) -> None:
    kind = outbox.task("send")
    first = kind(loaded("shop.mail", SEND))
    assert kind(first) is not None
    with pytest.raises(DuplicateTaskTypeError, match=r"for shop.mail.send .* and now for shop.sms.send"):
        kind(loaded("shop.sms", SEND, "/shop/sms.py"))
    assert kind.is_handled_by(first)


def test_types_are_told_apart_by_case(outbox: Outbox) -> None:
    outbox.message("user.registered")
    outbox.message("User.Registered")
    assert set(outbox.task_types) == {"user.registered", "User.Registered"}


@pytest.mark.parametrize("name", ["", " ", "a" * 101, " a", "a\x00", 5, None])
def test_a_bad_name_is_refused(outbox: Outbox, name: Any) -> None:
    with pytest.raises(InvalidTaskTypeError, match=r"^task_type is .*give text of 1 to 100 characters$"):
        outbox.message(name)
    assert outbox.task_types == {}


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("destination", ""),
        ("destination", None),
        ("topic", ""),
        ("topic", "a" * 250),
        ("max_retries", -1),
        ("max_retries", 1.5),
        ("max_retries", True),
        ("max_retries", "3"),
        ("max_retries", 2**31),
        ("retry_interval_seconds", -1),
        ("retry_interval_seconds", float("nan")),
        ("retry_interval_seconds", float("inf")),
        ("retry_interval_seconds", "1"),
        ("max_retry_interval_seconds", 0.5),
        ("max_retry_interval_seconds", 1e300),
        ("max_retry_interval_seconds", None),
    ],
)
def test_a_bad_option_is_refused_with_name_value_and_range(outbox: Outbox, option: str, value: Any) -> None:
    with pytest.raises(OptionError, match=rf"^{option} is .*; give "):
        outbox.message("user.registered", **{option: value})
    assert outbox.task_types == {}


def test_an_unknown_option_is_refused_with_the_nearest_name(outbox: Outbox) -> None:
    with pytest.raises(UnknownOptionError, match=r"no option 'max_retry' \(did you mean 'max_retries'\?\)"):
        outbox.message("user.registered", max_retry=3)  # type: ignore[call-arg]


def test_an_undeclared_type_is_told_with_the_nearest_name_and_the_remedy(outbox: Outbox) -> None:
    outbox.message("user.registered")
    with pytest.raises(UnknownTaskTypeError) as unknown:
        outbox.task_types.require("user.registred")
    assert str(unknown.value) == (
        "the task type 'user.registred' is not declared (did you mean 'user.registered'?); "
        "declare it beside the outbox: outbox.message('user.registred')"
    )


@pytest.mark.parametrize("name", [None, 5, [], {}, "", b"user.registered"])
def test_what_is_no_name_is_refused_as_such(outbox: Outbox, name: Any) -> None:
    with pytest.raises(InvalidTaskTypeError, match=r"^task_type is "):
        outbox.task_types.require(name)


def test_a_decorated_builder_stays_the_function_it_was(outbox: Outbox) -> None:
    @outbox.message("user.registered")
    def payloads(session: Any, tasks: Any) -> list[Any]:
        return [1 for _ in tasks]

    assert payloads(None, [1, 2]) == [1, 1]
    assert outbox.task_types["user.registered"].builder is payloads


def test_a_builder_that_is_no_function_is_refused(outbox: Outbox) -> None:
    with pytest.raises(OptionError, match=r"the builder of 'user.registered' is 5; give a function \(session, tasks\)"):
        outbox.message("user.registered")(5)  # type: ignore[type-var]


def test_the_retry_interval_doubles_up_to_its_ceiling(outbox: Outbox) -> None:
    declared = outbox.message("user.registered")
    assert [declared.retry_delay(count) for count in range(1, 8)] == [1, 2, 4, 8, 10, 10, 10]


def test_the_retry_interval_has_its_ceiling_after_any_number_of_retries(outbox: Outbox) -> None:
    declared = outbox.message("user.registered")
    assert declared.retry_delay(1_000_000) == 10


def test_the_retry_interval_may_be_nothing(outbox: Outbox) -> None:
    declared = outbox.message("a", retry_interval_seconds=0, max_retry_interval_seconds=0)
    assert declared.retry_delay(5) == 0
