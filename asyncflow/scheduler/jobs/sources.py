"""Job options from a TOML file and from the environment, as the same options that Python code gives."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from asyncflow.errors import OptionError
from asyncflow.outbox.options import refuse_unknown
from asyncflow.scheduler.jobs.settings import NAMES, JobSettings
from asyncflow.text import shown

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PREFIX = "ASYNCFLOW_JOB_"
_TRUE, _FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off")


def options_from_toml(path: str | Path) -> dict[str, dict[str, Any]]:
    """Return the options of each table ``[jobs.NAME]`` of a file; raises OptionError or UnknownOptionError."""
    try:
        with open(path, "rb") as file:
            content = tomllib.load(file)
    except OSError as error:
        raise OptionError(f"the file {str(path)!r} cannot be read: {error.strerror}; name a TOML file") from error
    except tomllib.TOMLDecodeError as error:
        raise OptionError(f"the file {str(path)!r} is no TOML: {error}") from error
    jobs = content.get("jobs", {})
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
    kind = _KINDS[name]
    try:
        return _PARSERS[kind](text)
    except ValueError:
        raise OptionError(f"the variable {variable} is {shown(text)}; give {_REMEDIES[kind]}") from None


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


_KINDS = {field.name: str(field.type) for field in fields(JobSettings)}
_TEXT_KINDS = {"str", "str | Strategy", "str | ErrorHandler"}
_PARSERS: dict[str, Any] = {
    "bool": _boolean,
    "int": int,
    "float": float,
    "float | str": _number_or_text,
    "Sequence[JobListener | str]": _parts,
    **dict.fromkeys(_TEXT_KINDS, str),
}
_REMEDIES = {"bool": "true or false", "int": "a whole number", "float": "a number"}
