"""The audit is read page by page: nothing is told twice or left out, though much has one moment."""

from __future__ import annotations

import pytest

from asyncflow.errors import OptionError
from asyncflow.scheduler import Audit
from asyncflow.scheduler.operator.audit import Act, Subject
from asyncflow.scheduler.operator.by_hand.notes import Notes
from tests.support.application import Application

GROUPS = ("0123456789ab", "ba9876543210")


def written(application: Application, count: int) -> None:
    with application.engine.begin() as connection:  # of one moment, where a transaction has one
        for number in range(count):
            subject = Subject.of("job", f"job {number}")
            Act("pause", "ann", str(number)).writing(application.outbox.audit_entries, subject)(connection)


def walked(audit: Audit, **how: object) -> list[str | None]:
    found, after = list[str | None](), None
    while True:
        page = audit.page(limit=4, after=after, **how)  # type: ignore[arg-type]
        found += [entry.reason for entry in page.entries]
        if (after := page.next) is None:
            return found


def test_pages_tell_each_entry_once_the_latest_first(application: Application) -> None:
    written(application, 10)
    audit = Audit(application.engine, application.outbox)
    assert walked(audit) == [entry.reason for entry in audit.entries()]
    assert sorted(map(str, walked(audit))) == sorted(map(str, range(10)))
    first = audit.page(limit=4)
    written(application, 3)
    assert first.next is not None
    behind = audit.page(limit=4, after=first.next)
    assert not {one.reason for one in behind.entries} & {one.reason for one in first.entries}


@pytest.mark.parametrize("count", [0, 4, 8])
def test_the_last_page_says_that_it_is(sqlite_application: Application, count: int) -> None:
    written(sqlite_application, count)
    assert len(walked(Audit(sqlite_application.engine, sqlite_application.outbox))) == count


def test_a_cursor_goes_on_with_its_own_list_alone(sqlite_application: Application) -> None:
    written(sqlite_application, 3)
    audit = Audit(sqlite_application.engine, sqlite_application.outbox)
    after = audit.page(limit=1).next
    for wrong in ("", "x", "W10", f"{after}x"):
        with pytest.raises(OptionError, match="after is"):
            audit.page(after=wrong)
    with pytest.raises(OptionError, match="after is"):
        audit.page(task_id=Subject("x").id, after=after)


def test_a_group_has_the_note_that_was_written_last_until_it_is_taken_away(application: Application) -> None:
    notes = Notes(application.engine, application.outbox)
    assert notes.of(GROUPS) == {}
    notes.write(GROUPS[0], "the bank is away", actor="ann")
    notes.write(GROUPS[1], "known", actor="ann")
    notes.write(GROUPS[0], "the bank is back", actor="bob")
    found = notes.of(GROUPS)
    assert {name: (note.actor, note.text) for name, note in found.items()} == {
        GROUPS[0]: ("bob", "the bank is back"),
        GROUPS[1]: ("ann", "known"),
    }
    notes.write(GROUPS[0], None, actor="cid")
    assert notes.of(GROUPS).keys() == {GROUPS[1]}
    told = [(one.action, one.actor, one.task_key) for one in Audit(application.engine, application.outbox).entries()]
    assert told[0] == ("note", "cid", GROUPS[0])
    assert len(told) == 4


@pytest.mark.parametrize("group", ["", "x", "0123456789AB", "0123456789abc", "../../../../x", "0123456789a\n"])
def test_a_note_is_on_a_group_and_on_nothing_else(sqlite_application: Application, group: str) -> None:
    notes = Notes(sqlite_application.engine, sqlite_application.outbox)
    with pytest.raises(OptionError, match="the group is"):
        notes.write(group, "x", actor="ann")
    with pytest.raises(OptionError, match="reason is"):
        notes.write(GROUPS[0], "x" * 501, actor="ann")
    assert Audit(sqlite_application.engine, sqlite_application.outbox).entries() == []
