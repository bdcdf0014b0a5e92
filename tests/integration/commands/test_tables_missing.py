"""A verb on a database without the tables says what makes them, on each database."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import URL

from asyncflow import cli


@pytest.mark.parametrize("verb", [["tasks", "list"], ["config", "list"], ["dead-letters", "groups"], ["audit"]])
def test_it_names_the_remedy(database_url: URL, capsys: pytest.CaptureFixture[str], verb: list[str]) -> None:
    url = database_url.render_as_string(hide_password=False)
    assert cli.main([*verb, "--database-url", url]) == 1
    told = capsys.readouterr().err
    assert "`asyncflow schema check` tells" in told
    assert "`asyncflow init-db` makes" in told
    assert "are --schema and --prefix those of its tables?" in told
    assert "LINE" not in told


def test_who_looks_for_tables_in_another_schema_is_asked_for_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["status", "--database-url", f"sqlite:///{tmp_path}/shop.db"]) == 1
    told = capsys.readouterr().err
    assert "has no table asyncflow_" in told
    assert "are --schema and --prefix those of its tables?" in told
