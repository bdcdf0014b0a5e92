"""``asyncflow doctor``: what does not move, since when, why, and what mends it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from asyncflow.commands.database import add_database_options, database_of
from asyncflow.commands.diagnosis.language import Say, add_language_option, in_english, saying
from asyncflow.commands.printing import tell
from asyncflow.commands.terminal.as_json import as_json
from asyncflow.commands.terminal.columns import paragraph, width_of_terminal
from asyncflow.errors import OptionError, TargetNotFoundError
from asyncflow.scheduler.diagnosis.diagnose import diagnose, is_stuck
from asyncflow.scheduler.diagnosis.finding import Finding
from asyncflow.scheduler.diagnosis.letters import LATELY_SECONDS
from asyncflow.scheduler.diagnosis.waiting import STUCK_SECONDS
from asyncflow.text import on_one_line

_STUCK, _USAGE = 1, 2
_INDENT = "    "


def add_to(commands: Any) -> None:
    """Add the command."""
    doctor = commands.add_parser(
        "doctor",
        help="show what is stuck, why, and what mends it; exit code 1 if something is",
        description="Exit codes: 0 nothing is stuck, 1 something is, or the database cannot be asked, 2 wrong usage.",
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
    add_language_option(doctor)
    doctor.add_argument("--json", action="store_true", help="as a JSON list, for programs")
    doctor.set_defaults(command=_doctor, no_target_code=_USAGE)


def _doctor(options: argparse.Namespace) -> int:
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


def render(findings: Sequence[Finding], width: int, say: Say = in_english) -> str:
    """Return the findings as text for a terminal of a width."""
    if not findings:
        return say("nothing is stuck")
    return "\n".join(line for finding in findings for line in _lines(finding, width, say))


def _lines(finding: Finding, width: int, say: Say) -> list[str]:
    since = "" if finding.since is None else f"  {say('since')} {finding.since:%Y-%m-%d %H:%M:%S}Z"
    head = f"{finding.severity.value.upper():<8} {finding.code.value}{since}"
    body = paragraph(say(finding.cause), width, _INDENT)
    # Not wrapped: a command is to be copied.
    remedy = on_one_line(say(finding.remedy))
    return [head, *body, f"{_INDENT}{say('mend:')} {remedy}", f"{_INDENT}{say('see: ')} {finding.runbook}"]
