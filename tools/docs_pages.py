"""Pages of the site that are made from the code: the command line from its parsers, the errors from their docstrings.

Called by mkdocs as hooks; nobody keeps a list by hand, so none can be out of date.
"""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Iterator
from typing import Any

from asyncflow import cli, errors

COMMANDS_PAGE, ERRORS_PAGE = "reference/commands.md", "reference/errors.md"


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that are made to those that are written."""
    from mkdocs.structure.files import File

    for path, text in ((COMMANDS_PAGE, commands_page()), (ERRORS_PAGE, errors_page())):
        files.append(File.generated(config, path, content=text))
    return files


def on_post_page(output: str, page: Any, config: Any) -> str:
    """Tell browsers the language of a page in Chinese: fonts, hyphens and voices go by it."""
    is_chinese = page.file.src_uri.startswith("zh/")
    return output.replace('<html lang="en"', '<html lang="zh"', 1) if is_chinese else output


def commands_page() -> str:
    """Return what each command is and takes, as its ``--help`` tells it."""
    parts = ["# Command line\n", f"{cli.__doc__ or ''}\n"]
    for parser in _parsers(cli.parser()):
        parts.append(f"## {parser.prog}\n\n```text\n{parser.format_help().rstrip()}\n```\n")
    return "\n".join(parts)


def _parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:  # argparse has no public way to its subcommands
        if isinstance(action, argparse._SubParsersAction):
            for one in dict.fromkeys(action.choices.values()):
                yield from _parsers(one)


def errors_page() -> str:
    """Return each error with what it means, those of one kind under it."""
    parts = ["# Errors\n", f"{errors.__doc__ or ''}\n"]
    for name, kind in inspect.getmembers(errors, inspect.isclass):
        if kind.__module__ == errors.__name__:
            bases = ", ".join(f"`{base.__name__}`" for base in kind.__bases__)
            parts.append(f"## {name}\n\nA kind of {bases}.\n\n{inspect.getdoc(kind) or ''}\n")
    return "\n".join(parts)
