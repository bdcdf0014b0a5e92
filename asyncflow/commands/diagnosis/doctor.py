"""``asyncflow doctor``: what does not move, since when, why, and what mends it; or whether one process is at work."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from asyncflow.commands.database import add_database_options, database_of
from asyncflow.commands.diagnosis.language import Say, add_language_option, in_english, saying
from asyncflow.commands.diagnosis.one_process import ProcessAnswer, ask_process
from asyncflow.commands.printing import tell
from asyncflow.commands.terminal.as_json import as_json
from asyncflow.commands.terminal.columns import paragraph, width_of_terminal
from asyncflow.errors import OptionError, TargetNotFoundError
from asyncflow.scheduler.diagnosis.dead_letters import LATELY_SECONDS
from asyncflow.scheduler.diagnosis.diagnose import diagnose, is_stuck
from asyncflow.scheduler.diagnosis.finding import Finding
from asyncflow.scheduler.diagnosis.waiting import STUCK_SECONDS
from asyncflow.text import on_one_line

_STUCK, _USAGE = 1, 2
_INDENT = "    "


def add_to(commands: Any) -> None:
    """Add the command."""
    doctor = commands.add_parser(
        "doctor",
        help="show what is stuck, why, and what mends it; exit code 1 if something is",
        description="Exit codes: 0 nothing is stuck, 1 something is, or the database cannot be asked, 2 wrong usage. "
        "With --process: 0 it is at work, 1 it is not or does not answer.",
    )
    add_database_options(doctor, looks=True)
    doctor.add_argument(
        "--stuck-seconds",
        type=float,
        default=STUCK_SECONDS,
        metavar="N",
        help="look for the reason when a due task waits for so long (default: %(default)g)",
    )
    doctor.add_argument(
        "--letters-seconds",
        type=float,
        default=LATELY_SECONDS,
        metavar="N",
        help="dead letters that are younger are new (default: %(default)g)",
    )
    doctor.add_argument(
        "--process",
        metavar="URL",
        help="ask this process alone, at its --health-port or its task service, whether it is at work: a health check; "
        "no database is asked",
    )
    add_language_option(doctor)
    doctor.add_argument("--json", action="store_true", help="as a JSON list, for programs; with --process an object")
    doctor.set_defaults(command=_doctor, no_target_code=_USAGE)


def _doctor(options: argparse.Namespace) -> int:
    if options.process is not None:
        return _ask_process(options)
    try:
        engine, outbox = database_of(options)
        findings = diagnose(
            engine, outbox, stuck_seconds=options.stuck_seconds, letters_seconds=options.letters_seconds
        )
    except (OptionError, TargetNotFoundError) as error:
        tell(f"asyncflow: {on_one_line(error)}", sys.stderr)
        return _USAGE
    plain = [finding.as_dict() for finding in findings]
    tell(as_json(plain) if options.json else render(findings, width_of_terminal(), saying(options.language)))
    return _STUCK if is_stuck(findings) else 0


def _ask_process(options: argparse.Namespace) -> int:
    say = saying(options.language)
    try:
        _require_process_alone(options)
        answer = ask_process(options.process)
    except OptionError as error:
        tell(f"asyncflow: {on_one_line(error)}", sys.stderr)
        return _USAGE
    tell(as_json(answer.as_dict()) if options.json else _of_process(options.process, answer, say))
    return 0 if answer.reason is None else _STUCK


def _require_process_alone(options: argparse.Namespace) -> None:
    """Raise OptionError for what names a database, or how to look at one: nothing would come of it."""
    given = {
        "module:attribute": isinstance(options.target, str),
        "--database-url": getattr(options, "database_url", None) is not None,
        "--databases": getattr(options, "databases", None) is not None,
        "--database": options.database is not None,
        "--stuck-seconds": options.stuck_seconds != STUCK_SECONDS,
        "--letters-seconds": options.letters_seconds != LATELY_SECONDS,
    }
    if wrong := [name for name, is_given in given.items() if is_given]:
        raise OptionError(f"--process asks a process, and no database; leave out {wrong[0]}, or ask twice")


def _of_process(url: str, answer: ProcessAnswer, say: Say) -> str:
    if answer.reason is None:
        head = say("the process at {url} is at work").format(url=url)
    else:
        head = say("the process at {url} is not at work: {reason}").format(url=url, reason=answer.reason)
    of_databases = say("not at work in the database {name}: {reason}")
    apart = [_INDENT + of_databases.format(name=name, reason=why) for name, why in answer.databases.items()]
    return "\n".join([head, *apart])


def render(findings: Sequence[Finding], width: int, say: Say = in_english) -> str:
    """Return the findings as text for a terminal of a width."""
    if not findings:
        return say("nothing is stuck")
    return "\n".join(line for finding in findings for line in _lines(finding, width, say))


def _lines(finding: Finding, width: int, say: Say) -> list[str]:
    since = "" if finding.since is None else f"  {say('since')} {finding.since:%Y-%m-%d %H:%M:%S}Z"
    head = f"{finding.severity.value.upper():<8} {finding.code.value}{since}"
    body = paragraph(say(finding.cause), width, _INDENT)
    # As it is: a command is to be copied, with each space of a name.
    return [head, *body, f"{_INDENT}{say('mend:')} {say(finding.remedy)}", f"{_INDENT}{say('see: ')} {finding.runbook}"]
