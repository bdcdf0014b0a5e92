"""``asyncflow config``: show and change the configuration of task types."""

from __future__ import annotations

import argparse
from typing import Any

from sqlalchemy import Engine

from asyncflow.commands.database import add_database_options, database_of
from asyncflow.commands.printing import tell
from asyncflow.commands.terminal.actor import add_actor_options
from asyncflow.commands.terminal.as_json import add_json_option, as_json
from asyncflow.commands.terminal.columns import table, width_of_tables
from asyncflow.errors import OptionError, UnknownTaskTypeError
from asyncflow.outbox import Outbox
from asyncflow.scheduler import Configurations, TypeConfig
from asyncflow.scheduler.configuration.type_config import OPTIONS
from asyncflow.scheduler.operator.audit import Act
from asyncflow.scheduler.operator.by_hand.option_changes import OptionChanges
from asyncflow.text import printable, shown

_WORDS = {"true": True, "false": False, "none": None}
_HEADINGS = {
    "limit": "LIMIT",
    "interval_seconds": "INTERVAL",
    "max_processing_time_seconds": "PROCESSING",
    "max_retries": "RETRIES",
    "retry_interval_seconds": "RETRY AFTER",
    "max_retry_interval_seconds": "CEILING",
    "enabled": "ENABLED",
    "concurrency": "CONCURRENCY",
}


def add_to(commands: Any) -> None:
    """Add the command and its own commands ``list``, ``set`` and ``unset``."""
    config = commands.add_parser("config", help="show and change the options of task types, while schedulers run")
    actions = config.add_subparsers(required=True, metavar="ACTION")
    for name, command, text in (
        ("list", _list, "show what is in force; * marks what the table sets, - what is as declared elsewhere"),
        ("set", _set, "set options of a task type"),
        ("unset", _unset, "let options of a task type, or all of them, be as declared"),
    ):
        sub = actions.add_parser(name, help=text)
        add_database_options(sub, looks=name == "list")
        add_json_option(sub)
        if name != "list":
            sub.add_argument("--type", required=True, dest="task_type", metavar="NAME", help="the task type")
            given = "NAME=VALUE" if name == "set" else "NAME"
            sub.add_argument(
                "--option", nargs="+", action="extend", default=[], metavar=given, help=f"of {', '.join(OPTIONS)}"
            )
            add_actor_options(sub)
        if name == "set":
            sub.add_argument("--register", action="store_true", help="the type is declared by no code here")
        sub.set_defaults(command=lambda options, run=command: run(options, *database_of(options)))


def _list(options: argparse.Namespace, engine: Engine, outbox: Outbox) -> int:
    configs = Configurations(engine, outbox).all()
    if options.json:
        tell(as_json([_in_force(outbox, config) for config in configs.values()]))
    else:
        tell(render(outbox, configs, width_of_tables()))
    return 0


def _set(options: argparse.Namespace, engine: Engine, outbox: Outbox) -> int:
    values = dict(map(_parsed, options.option))
    changes = OptionChanges(engine, outbox)
    try:
        config = changes.put(_act(options), options.task_type, values, registered=options.register)
    except UnknownTaskTypeError as error:
        if options.target is not None:
            raise
        raise UnknownTaskTypeError(
            f"no application was named, so nobody knows here whether {options.task_type!r} is declared: give the one "
            f"that declares it, module:attribute, or --register if the name is right"
        ) from error
    return _done(options, config)


def _unset(options: argparse.Namespace, engine: Engine, outbox: Outbox) -> int:
    changes = OptionChanges(engine, outbox)
    if options.option:
        cleared: dict[str, Any] = dict.fromkeys(options.option)
        return _done(options, changes.put(_act(options), options.task_type, cleared, registered=False))
    Configurations(engine, outbox).get(options.task_type)
    changes.remove(_act(options), options.task_type)
    return _done(options, TypeConfig(task_type=options.task_type), f"{options.task_type} is as declared")


def _done(options: argparse.Namespace, config: TypeConfig, text: str | None = None) -> int:
    """Tell what the table sets now."""
    plain = {"task_type": config.task_type, "options": config.options()}
    tell(as_json(plain) if options.json else text or _told(config))
    return 0


def _act(options: argparse.Namespace) -> Act:
    return Act("configure", options.actor, options.reason)


def _parsed(given: str) -> tuple[str, Any]:
    name, is_there, value = given.partition("=")
    if not is_there:
        raise OptionError(f"the option is {shown(given)}; give NAME=VALUE, such as limit=50")
    if value.lower() in _WORDS:
        return name, _WORDS[value.lower()]
    for kind in (int, float):
        try:
            return name, kind(value)
        except ValueError:
            continue
    return name, value


def _told(config: TypeConfig) -> str:
    options = " ".join(f"{name}={_text(value)}" for name, value in config.options().items())
    return f"{printable(config.task_type)}: {options or 'as declared'}"


def render(outbox: Outbox, configs: dict[str, TypeConfig], width: int | None = None) -> str:
    """Return the configuration as text, no wider than that, if there is a width."""
    headings = ("TASK TYPE", "KIND", *_HEADINGS.values())
    if not configs:
        return f"{table(headings, [], width).splitlines()[0]}\n(no task types)"
    return table(headings, [_cells(outbox, config) for config in configs.values()], width)


def _cells(outbox: Outbox, config: TypeConfig) -> list[object]:
    told = _in_force(outbox, config)
    marks = {name: f"{_text(one['value'])}{'*' * (one['source'] == 'table')}" for name, one in told["options"].items()}
    return [config.task_type, told["kind"], *marks.values()]


def _in_force(outbox: Outbox, config: TypeConfig) -> dict[str, Any]:
    """Return of a type what it is, and of each option what is in force and where that comes from."""
    name = config.task_type
    declared = outbox.handler_types.get(name) or outbox.task_types.get(name)
    kind = "message" if name in outbox.task_types else "handler" if declared else "registered"
    options = {
        option: {"value": getattr(config, option), "source": "table"}
        if getattr(config, option) is not None
        else {"value": getattr(declared, option, None), "source": "declaration"}
        for option in _HEADINGS
    }
    return {"task_type": name, "kind": kind, "options": options}


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)
