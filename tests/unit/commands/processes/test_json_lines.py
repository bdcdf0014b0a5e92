"""Log lines of JSON have the fields of events, and neither payloads nor the parameters of SQL."""

from __future__ import annotations

import json
import logging
from typing import Any
from uuid import UUID

from sqlalchemy.exc import OperationalError

from asyncflow.commands.processes.json_lines import JsonFormatter
from asyncflow.event_log import EventLog
from asyncflow.events import AttemptFailed, Event, StepFailed, TasksSettled

ID = UUID(int=7)


def lines_of(event: Event) -> list[Any]:
    lines: list[Any] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            text = JsonFormatter("2/4").format(record)
            assert text.isprintable()
            lines.append(json.loads(text))

    logger, kept = logging.getLogger("test_json_lines"), Kept()
    logger.setLevel(logging.DEBUG)
    logger.addHandler(kept)
    try:
        EventLog(logger)(event)
    finally:
        logger.removeHandler(kept)
    return lines


def test_an_event_is_told_with_its_fields() -> None:
    (line,) = lines_of(TasksSettled("kafka", 3, 1, 0, 0.25, of_types=(("a", 3),), waits=(0.5, 0.25)))
    assert (line["level"], line["event"], line["process"]) == ("DEBUG", "TasksSettled", "2/4")
    assert line["fields"]["succeeded"] == 3
    assert line["fields"]["of_types"] == [["a", 3]]
    assert line["message"].startswith("Outcomes were written")
    assert line["time"].endswith("+00:00")
    assert isinstance(line["pid"], int)


def test_an_error_is_told_with_its_traceback_on_one_line() -> None:
    try:
        raise ValueError("no such\nuser\x1b[31m\x9b31m\u202e\x7f\U000e0001")
    except ValueError as error:
        (line,) = lines_of(AttemptFailed(ID, "mail", "A1", 1, 5, 1.0, error, 2.5))
    assert line["fields"]["error"] == "ValueError: no such\nuser\x1b[31m\x9b31m\u202e\x7f\U000e0001"
    assert line["fields"]["task_id"] == str(ID)
    assert line["fields"]["queue_seconds"] == 2.5
    assert "test_json_lines.py" in line["traceback"]


def test_parameters_of_sql_are_told_nowhere() -> None:
    error = OperationalError("INSERT INTO users VALUES (?)", ("a secret",), Exception("away"))
    for line in lines_of(StepFailed("cluster", error, 1.0)):
        assert "a secret" not in json.dumps(line)


def test_a_foreign_record_is_told_as_it_is() -> None:
    record = logging.LogRecord("other", logging.ERROR, "", 1, "%s is %d", ("x", 3), None)
    line = json.loads(JsonFormatter().format(record))
    assert (line["message"], line["logger"]) == ("x is 3", "other")
    assert "event" not in line
    assert "process" not in line


def test_an_error_that_cannot_be_printed_is_told_all_the_same() -> None:
    class MuteError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    (line,) = lines_of(AttemptFailed(ID, "mail", None, 1, 5, 1.0, MuteError()))
    assert line["fields"]["error"] == "MuteError: (it cannot be printed)"


def test_what_is_no_text_of_json_is_told_all_the_same() -> None:
    error = FileNotFoundError(2, "No such file", "scan-\udcff.pdf")
    (line,) = lines_of(AttemptFailed(ID, "mail", "A\ud800", 2**70, 5, 1.0, error))
    assert line["fields"]["error"].endswith(r"scan-\udcff.pdf'")
    assert line["fields"]["key"] == r"A\ud800"
    assert line["fields"]["attempt"] == str(2**70)
    assert "scan-" in line["message"]
