"""Job options from a TOML file and from the environment, as the same options that Python code gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

from asyncflow.errors import OptionError
from asyncflow.outbox.options import refuse_unknown
from asyncflow.scheduler.jobs.listeners import JobListener
from asyncflow.scheduler.jobs.settings import NAMES, JobSettings
from asyncflow.text import shown
from asyncflow.toml_files import toml_of

PREFIX = "ASYNCFLOW_JOB_"
_TRUE, _FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off")


def options_from_toml(path: str | Path) -> dict[str, dict[str, Any]]:
    """Return the options of each table ``[jobs.NAME]`` of a file; raises OptionError or UnknownOptionError."""
    jobs = toml_of(path).get("jobs", {})
    if not isinstance(jobs, dict) or not all(isinstance(options, dict) for options in jobs.values()):
        raise OptionError(f"jobs in {str(path)!r} is {shown(jobs)}; write tables such as [jobs.send-records]")
    for name, options in jobs.items():
        refuse_unknown(f"[jobs.{name}] in {str(path)!r}", options, NAMES)
    return jobs


def options_from_environment(job_name: str, environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the options that variables such as ``ASYNCFLOW_JOB_SEND_RECORDS_CRON`` give the job ``send-records``.

    Letters and digits of the name count, in capitals; everything else is an underscore. Listeners are
    ``module:attribute``, with commas between them. Raises OptionError.
    """
    prefix = f"{PREFIX}{variable_part(job_name)}_"
    names = {f"{prefix}{name.upper()}": name for name in NAMES}
    return {
        name: _value(variable, name, environment[variable])
        for variable, name in names.items()
        if variable in environment
    }


def variable_part(job_name: str) -> str:
    """Return the part of a variable's name that stands for the job."""
    return "".join(character if character.isascii() and character.isalnum() else "_" for character in job_name).upper()


def _value(variable: str, name: str, text: str) -> Any:
    reading = _READINGS.get(_TYPES[name], _TEXT)
    try:
        return reading.parse(text)
    except ValueError:
        raise OptionError(f"the variable {variable} is {shown(text)}; give {reading.remedy}") from None


def _boolean(text: str) -> bool:
    if text.strip().lower() in _TRUE + _FALSE:
        return text.strip().lower() in _TRUE
    raise ValueError(text)


def _number_or_text(text: str) -> float | str:
    """Read seconds as a number; a crontab line stays text."""
    try:
        return float(text)
    except ValueError:
        return text


def _parts(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


class _Reading(NamedTuple):
    """Tell how an option is read from text, and what to give for it."""

    parse: Callable[[str], Any]
    remedy: str


_TYPES = get_type_hints(JobSettings)
_TEXT = _Reading(str, "text")
_READINGS: dict[Any, _Reading] = {
    bool: _Reading(_boolean, "true or false"),
    int: _Reading(int, "a whole number"),
    float: _Reading(float, "a number"),
    float | str: _Reading(_number_or_text, "seconds or a crontab line"),
    Sequence[JobListener | str]: _Reading(_parts, "module:attribute, with commas between them"),
}
