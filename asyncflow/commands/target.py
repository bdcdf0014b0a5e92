"""What a command works on: the application's own Scheduler or Outbox, named as ``module:attribute``."""

from __future__ import annotations

import argparse
import importlib
import os
import pkgutil
import re
import sys
import traceback
from collections.abc import Callable
from types import FunctionType
from typing import Any

from sqlalchemy.exc import ArgumentError, InvalidRequestError, NoSuchModuleError, SQLAlchemyError

from asyncflow.errors import AsyncflowError, TargetNotFoundError, nearest
from asyncflow.scheduler import Scheduler
from asyncflow.text import on_one_line

# Drivers of databases, and the extras that bring them.
_EXTRAS = {"pymysql": "mysql", "psycopg": "postgresql"}
_INSTEAD = {
    "MySQLdb": ("mysql", "mysql+pymysql://"),
    "mysql": ("mysql", "mysql+pymysql://"),
    "psycopg2": ("postgresql", "postgresql+psycopg://"),
    "pg8000": ("postgresql", "postgresql+psycopg://"),
}  # what a URL means that names no driver, and ours
_MISSING = object()
_TARGET = re.compile(r"\w+(\.\w+)*:\w+(\.\w+)*")


def with_target(options: argparse.Namespace) -> argparse.Namespace:
    """Take a ``module:attribute`` that stands behind the values of an option for what it is; return the options.

    argparse gives it to the option where that takes several: ``--id X Y module:attribute``. A type's name may have a
    colon, too, so the option keeps one value at least.
    """
    if getattr(options, "target", "") is not None or getattr(options, "database_url", None):
        return options
    for name, values in vars(options).items():
        if isinstance(values, list) and name != "given" and len(values) > 1 and _TARGET.fullmatch(values[-1]):
            *kept, target = values
            return argparse.Namespace(**{**vars(options), name: kept, "target": target})
    return options


def scheduler_at(target: str | Callable[[], Scheduler]) -> Scheduler:
    """Return the Scheduler that ``module:attribute`` names, or that is made here; raises TargetNotFoundError."""
    if not isinstance(target, str):
        return target()
    made: Scheduler = made_at(target, Scheduler, "a Scheduler, or a function that makes one")
    return made


def made_at(target: str, kind: Any, wanted: str) -> Any:
    """Import ``module:attribute``, with the working directory importable; call it if it is a function.

    Raises TargetNotFoundError unless it is of the ``kind``, which ``wanted`` tells in words.
    """
    module_name, _, attribute = target.partition(":")
    if module_name.endswith(".py") or "/" in module_name:
        module = re.sub(r"^(\./)+|\.py$", "", module_name).replace("/", ".")
        named = f"{module}:{attribute or 'scheduler'}"
        raise TargetNotFoundError(f"{target!r} names a file; give its module, from here: {named}")
    if not module_name or not attribute:
        raise TargetNotFoundError(f"{target!r} is not module:attribute; give both, such as shop.wiring:scheduler")
    sys.path.insert(0, os.getcwd())
    try:
        made = _made_by(module_name, attribute)
    except (ArgumentError, InvalidRequestError) as error:  # of a URL or a model: no database has answered
        raise TargetNotFoundError(_import_fault(target, module_name, error)) from error
    except (AsyncflowError, SQLAlchemyError):
        raise  # their messages tell what is wrong
    except Exception as error:
        raise TargetNotFoundError(_import_fault(target, module_name, error)) from error
    if made is _MISSING:
        told, near = _told_module(module_name), _nearest_of(module_name, attribute, kind)
        raise TargetNotFoundError(f"{target!r} is not there: {told} has no {attribute!r}{near}; name {wanted}")
    if not isinstance(made, kind):
        raise TargetNotFoundError(f"{target!r} is {made!r:.80}; name {wanted}")
    return made


def _made_by(module_name: str, attribute: str) -> Any:
    found: Any = importlib.import_module(module_name)
    for name in attribute.split("."):
        found = getattr(found, name, _MISSING)
    return found() if callable(found) and found is not _MISSING else found


def _told_module(name: str) -> str:
    """Return which module was found by a name: there may be another one than was meant, or a mere folder."""
    module = sys.modules[name]
    if getattr(module, "__file__", None):
        return f"the module {module.__file__}"
    places = [*getattr(module, "__path__", ())]
    return f"the folder {places[0]}, which has no __init__.py," if places else f"the module {name}"


def _nearest_of(module_name: str, attribute: str, kind: Any) -> str:
    """Return the nearest name, as a question, of what a module has of that kind, or makes by a function of its own."""
    there = vars(sys.modules[module_name])
    fit = [known for known, one in there.items() if isinstance(one, kind) or _is_own_function(one, module_name)]
    name = attribute.partition(".")[0]
    return "" if name in there else nearest(name, fit)


def _is_own_function(one: Any, module_name: str) -> bool:
    return isinstance(one, FunctionType) and one.__module__ == module_name


def _import_fault(target: str, module_name: str, error: Exception) -> str:
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    if missing and f"{module_name}.".startswith(f"{missing}."):
        return f"there is no module {missing!r}{_nearest_module(missing)}; give module:attribute, from here"
    if driver := told_driver(error):
        return f"{target!r} cannot be loaded: {driver}"
    frames = list(traceback.extract_tb(error.__traceback__))
    if isinstance(error, SQLAlchemyError):
        frames = [one for one in frames if not re.search("^<|site-packages", one.filename)] or frames
    told = f"{type(error).__name__}: {on_one_line(error)}{url_remedy(error)}"
    return f"{target!r} cannot be loaded: {told} ({frames[-1].filename}:{frames[-1].lineno})"


def url_remedy(error: Exception) -> str:
    """Return what to write instead of a URL that names no database of SQLAlchemy's; nothing for another error."""
    if isinstance(error, NoSuchModuleError) or "SQLAlchemy URL" in str(error):
        return "; give postgresql+psycopg://USER:PASSWORD@HOST/DATABASE, mysql+pymysql://... or sqlite:///FILE"
    return ""


def _nearest_module(missing: str) -> str:
    """Return the nearest name of those that are where a module was looked for, as a question."""
    package, dot, _ = missing.rpartition(".")
    places = getattr(sys.modules.get(package), "__path__", ()) if dot else [os.getcwd()]
    return nearest(missing, [f"{package}{dot}{one.name}" for one in pkgutil.iter_modules(places)])


def told_driver(error: BaseException) -> str | None:
    """Return what installs the driver that an error misses; None if it misses none that we know."""
    missing = (getattr(error, "name", None) or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    if missing in _EXTRAS:
        return f"the driver {missing} is not installed: pip install 'asyncflow-outbox[{_EXTRAS[missing]}]'"
    if missing in _INSTEAD:
        extra, url = _INSTEAD[missing]
        return (
            f"the driver {missing} is not installed: pip install 'asyncflow-outbox[{extra}]' and begin the URL "
            f"with {url}, or install {missing}"
        )
    return None
