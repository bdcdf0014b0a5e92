"""The pages that are made from the code hold all of it, and the site's list names every page."""

from __future__ import annotations

import inspect
import re

from sqlalchemy import MetaData

from asyncflow import Outbox, Status, errors
from tests.support.snippets import ROOT
from tools.docs_pages import COMMANDS_PAGE, ERRORS_PAGE, commands_page, errors_page, on_post_page
from tools.option_lists import with_lists


def test_every_command_is_on_its_page_with_its_options() -> None:
    page = commands_page()
    for command in ("run", "serve", "worker", "status", "init-db", "reshard", "dead-letters replay", "config set"):
        assert f"## asyncflow {command}\n" in page
    assert "--per-second" in page


def test_every_error_is_on_its_page_with_what_it_means() -> None:
    page = errors_page()
    for name, kind in inspect.getmembers(errors, inspect.isclass):
        if kind.__module__ == errors.__name__:
            assert f"## {name}\n" in page
            assert (inspect.getdoc(kind) or name) in page


def test_every_page_has_its_place_in_the_site() -> None:
    named = set(re.findall(r": ([\w/.-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE))
    written = {str(page.relative_to(ROOT / "docs")) for page in ROOT.glob("docs/**/*.md")}
    made = {COMMANDS_PAGE, ERRORS_PAGE}
    decisions = {page for page in written if re.match(r"decisions/\d", page)}
    assert named == (written - decisions) | made


class Page:
    """Be a page of mkdocs."""

    def __init__(self, path: str) -> None:
        self.file = self
        self.src_uri = path


def test_browsers_are_told_the_language_of_a_page() -> None:
    told = [on_post_page('<html lang="en" class="no-js">', Page(path), None) for path in ("run.md", "zh/run.md")]
    assert told == ['<html lang="en" class="no-js">', '<html lang="zh" class="no-js">']


def test_the_numbers_of_the_states_are_those_that_are_stored() -> None:
    rows = re.findall(
        r"^\| (\d) \| (\w+) \|", (ROOT / "docs/reference/sql.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert {name: int(number) for number, name in rows} == {one.name: int(one) for one in Status}


def test_the_pages_tell_how_many_tables_an_outbox_adds() -> None:
    count = len(Outbox(MetaData()).tasks.metadata.tables)
    for page, told in (("docs/publish.md", f"adds {count} tables"), ("docs/zh/publish.md", f"添加 {count} 张表")):
        assert told in (ROOT / page).read_text(encoding="utf-8"), page


def test_the_options_of_a_docstring_are_a_list_on_its_page() -> None:
    told = "Write.\n\n``a``: one,\nof two lines.\n``b``, ``c``: another.\n\n``publish`` is a verb."
    assert with_lists(told) == (
        "Write.\n\n\n- ``a``: one,\n  of two lines.\n- ``b``, ``c``: another.\n\n``publish`` is a verb."
    )
