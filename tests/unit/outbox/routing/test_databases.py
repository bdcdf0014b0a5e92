"""Keys are spread over databases in the same way everywhere, and few of them move."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from enum import IntEnum

import pytest
from sqlalchemy import MetaData

from asyncflow import Databases, Outbox
from asyncflow.errors import OptionError, UnknownDatabaseError
from asyncflow.outbox.routing.slots import SLOTS, slot_of

NAMES = [f"db{number}" for number in range(8)]
KEYS = [f"A{number}" for number in range(20_000)]


def over(names: list[str]) -> Databases[str]:
    return Databases({name: f"the engine of {name}" for name in names})


def test_a_key_has_the_database_that_it_had_when_this_was_written() -> None:
    found = {key: over(NAMES).name_of(key) for key in ("A1001", "A1002", "Müller", "42")}
    assert found == {"A1001": "db3", "A1002": "db2", "Müller": "db7", "42": "db5"}
    assert [slot_of(key) for key in found] == [2767, 3624, 2680, 1844]


def test_every_process_finds_the_same_database_whatever_its_hash_seed() -> None:
    told = """
from asyncflow import Databases
databases = Databases({f"db{number}": 0 for number in range(8)})
print([databases.name_of(f"A{number}") for number in range(50)])
"""
    seen = {
        subprocess.run(
            [sys.executable, "-c", told],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("0", "1")
    }
    assert seen == {f"{[over(NAMES).name_of(f'A{number}') for number in range(50)]}\n"}


def test_the_order_of_the_names_decides_nothing() -> None:
    backwards = over(NAMES[::-1])
    assert [over(NAMES).name_of(key) for key in KEYS[:500]] == [backwards.name_of(key) for key in KEYS[:500]]


def test_each_database_has_about_as_many_keys_as_the_others() -> None:
    databases = over(NAMES)
    counts = Counter(map(databases.name_of, KEYS))
    assert set(counts) == set(NAMES)
    assert max(counts.values()) < 1.25 * min(counts.values())


def test_a_database_that_is_added_takes_its_part_and_nothing_else_moves() -> None:
    before, after = over(NAMES), over([*NAMES, "db8"])
    moves = before.moves_to(after)
    assert {new for _, new in moves} == {"db8"}
    moved = {slot for slots in moves.values() for slot in slots}
    assert SLOTS / 9 * 0.8 < len(moved) < SLOTS / 9 * 1.2
    for key in KEYS[:2000]:
        assert (before.name_of(key) != after.name_of(key)) == (slot_of(key) in moved)


def test_a_database_that_goes_leaves_its_part_to_all_others() -> None:
    moves = over(NAMES).moves_to(over(NAMES[1:]))
    assert {old for old, _ in moves} == {"db0"}
    assert {new for _, new in moves} == set(NAMES[1:])


def test_the_slots_of_all_databases_are_all_slots() -> None:
    slots = [slot for its in over(NAMES).slots().values() for slot in its]
    assert sorted(slots) == list(range(SLOTS))


def test_a_whole_number_is_as_its_text() -> None:
    assert over(NAMES).name_of(1001) == over(NAMES).name_of("1001")


def test_a_number_that_has_a_name_is_as_the_number() -> None:
    class Account(IntEnum):
        FIRST = 1

        def __str__(self) -> str:  # as of Python 3.10
            return f"Account.{self.name}"

    assert over(NAMES).name_of(Account.FIRST) == over(NAMES).name_of("1")
    assert slot_of("Account.FIRST") != slot_of("1")


def test_an_own_function_names_the_database() -> None:
    databases = Databases({"even": 0, "odd": 1}, by=lambda account_no: "odd" if account_no % 2 else "even")
    assert [databases.of(number) for number in (4, 7)] == [0, 1]
    with pytest.raises(OptionError, match="knows no slots"):
        databases.slots()


def test_a_name_that_the_own_function_makes_up_is_refused_with_the_nearest() -> None:
    databases = Databases({"even": 0, "odd": 1}, by=lambda _: "ode")
    with pytest.raises(UnknownDatabaseError, match=r"returned 'ode' \(did you mean 'odd'\?\)"):
        databases.of("A1001")


@pytest.mark.parametrize("key", [None, "", True, 1.0, b"A1001", "half \ud800"])
def test_a_key_that_is_neither_text_nor_a_number_is_refused(key: object) -> None:
    with pytest.raises(OptionError, match="give text, or a whole number"):
        over(NAMES).of(key)  # type: ignore[arg-type]


@pytest.mark.parametrize("names", [{}, {"": 1}, {"two words": 1}, {3: 1}, ["db0"], {"x" * 64: 1}])
def test_names_that_cannot_be_told_are_refused(names: object) -> None:
    with pytest.raises(OptionError, match="give "):
        Databases(names)  # type: ignore[arg-type]


def test_an_outbox_leads_writers_to_the_database_of_a_key() -> None:
    databases = over(NAMES)
    outbox = Outbox(MetaData(), databases=databases)
    assert outbox.route("A1001") == f"the engine of {databases.name_of('A1001')}"


def test_an_outbox_without_databases_says_how_to_give_them() -> None:
    with pytest.raises(OptionError, match="databases=Databases"):
        Outbox(MetaData()).route("A1001")
    with pytest.raises(OptionError, match="give Databases"):
        Outbox(MetaData(), databases={"db0": 1})  # type: ignore[arg-type]
