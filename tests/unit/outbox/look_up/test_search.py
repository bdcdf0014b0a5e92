"""What may be looked for: what an index leads to, checked before anything is sent."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from itertools import chain, combinations, count
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import MetaData, create_mock_engine

from asyncflow import Outbox, Status
from asyncflow.errors import InvalidKeyError, InvalidTaskTypeError, OptionError, UnknownOptionError
from asyncflow.outbox.look_up.cursor import Cursor
from asyncflow.outbox.look_up.search import MOST, TaskSearch

NOW = datetime.now(timezone.utc)
FILTERS: dict[str, Any] = {
    "key": "A1",
    "task_type": "user.registered",
    "status": Status.FAILED,
    "since": NOW - timedelta(days=1),
    "until": NOW,
    "newest_first": True,
}
COMBINATIONS = list(chain.from_iterable(combinations(FILTERS, size) for size in range(len(FILTERS) + 1)))


def has_an_index(names: tuple[str, ...]) -> bool:
    """Tell whether a combination has one: by key, by id from a moment on, or by status and type in its own order."""
    filters, times = {"task_type", "status"} & {*names}, {"until", "newest_first"} & {*names}
    return "key" in names or "since" in names or not (filters and times)


@pytest.mark.parametrize("names", COMBINATIONS, ids="+".join)
def test_a_combination_is_taken_if_an_index_leads_to_it_and_else_refused_with_what_mends_it(
    names: tuple[str, ...],
) -> None:
    given = {name: FILTERS[name] for name in names}
    if has_an_index(names):
        assert TaskSearch(**given).most == 100
        return
    with pytest.raises(OptionError, match=r"give since, or a key, or leave .* out") as refused:
        TaskSearch(**given)
    assert all(name in str(refused.value) for name in {"task_type", "status"} & {*names})


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"ids": [uuid4()], "key": "A1"}, "ids is given with key: ids name their tasks; give them alone"),
        ({"ids": [uuid4()], "limit": 5, "status": Status.FAILED}, "ids is given with status, limit"),
        ({"ids": uuid4()}, "ids is UUID.*give a list"),
        ({"ids": "01a2"}, "ids is '01a2'; give a list"),
        ({"ids": ["01a2"]}, "ids holds '01a2'; give UUIDs"),
        ({"ids": [None]}, "ids holds None; give UUIDs"),
        ({"ids": 7}, "ids is 7; give a list"),
        ({"ids": (uuid4() for _ in count())}, f"more than {MOST} ids; ask for them in several calls"),
        ({"status": 3}, r"status is 3; give one of Status\.PENDING, .*Status\.CANCELLED"),
        ({"status": "failed"}, r"status is 'failed'; give one of"),
        ({"since": datetime(2030, 1, 1)}, "since is .*give a datetime with a time zone"),
        ({"until": 5}, "until is 5; give a datetime with a time zone"),
        ({"since": NOW, "until": NOW}, "so no task can be between; give a since that is before until"),
        (
            {"since": datetime.max.replace(tzinfo=timezone(timedelta(hours=-5)))},
            "since is .*no moment of the years 1 to 9999",
        ),
        ({"newest_first": 1}, "newest_first is 1; give True or False"),
        ({"limit": 0}, f"limit is 0; give a whole number from 1 to {MOST}"),
        ({"limit": MOST + 1}, "limit is 501"),
        ({"limit": True}, "limit is True"),
        ({"after": 5}, "after is 5; give what the page before of this list had as next"),
        ({"after": "bm9uc2Vuc2U"}, "after is 'bm9uc2Vuc2U'; give what the page before of this list had as next"),
    ],
)
def test_what_is_at_fault_is_told_with_the_remedy(given: dict[str, Any], told: str) -> None:
    with pytest.raises(OptionError, match=told):
        TaskSearch(**given)


def test_keys_and_types_are_texts_as_at_an_enqueue() -> None:
    with pytest.raises(InvalidKeyError, match="key is ''"):
        TaskSearch(key="")
    with pytest.raises(InvalidTaskTypeError, match="task_type is 5"):
        TaskSearch(task_type=5)  # type: ignore[arg-type]


def test_a_cursor_is_of_one_list_and_of_no_other() -> None:
    place = Cursor(0, "", 0, NOW, uuid4())
    search = TaskSearch(key="A1", since=NOW)
    text = search.next(place)
    assert text is not None
    assert TaskSearch(key="A1", since=NOW, limit=7, after=text).cursor == place  # the limit may differ
    for other in ({"key": "A2", "since": NOW}, {"key": "A1"}, {"key": "A1", "since": NOW, "newest_first": True}):
        with pytest.raises(OptionError, match="after is"):
            TaskSearch(**other, after=text)


def test_ids_are_asked_for_once_each_in_their_order() -> None:
    one, other = uuid4(), uuid4()
    assert TaskSearch(ids=[other, str(one), other]).wanted_ids == (other, one)


def test_an_unknown_option_is_told_with_the_nearest_one_before_anything_is_sent() -> None:
    sent: list[Any] = []
    engine = create_mock_engine("sqlite://", lambda *statement: sent.append(statement))
    outbox = Outbox(MetaData())
    with pytest.raises(UnknownOptionError, match=r"find\(\) has no option 'tasktype' \(did you mean 'task_type'\?\)"):
        outbox.find(engine, tasktype="x")  # type: ignore[call-arg, arg-type]
    assert sent == []


def test_a_handler_or_what_declared_it_names_its_type() -> None:
    outbox = Outbox(MetaData())

    @outbox.task
    def send() -> None: ...

    kind = outbox.message("user.registered")
    named = [outbox._search({"task_type": one}).task_type for one in (send, kind, outbox.task("other"), "gone")]
    assert named == ["send", "user.registered", "other", "gone"]


def test_moments_far_away_are_taken() -> None:
    least, most = (datetime(year, 1, 2, tzinfo=timezone.utc) for year in (1, 9999))
    assert TaskSearch(since=least, until=most).span[:2] == (least, most)
    assert TaskSearch(ids=[UUID(int=0)]).wanted_ids == (UUID(int=0),)
