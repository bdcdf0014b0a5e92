"""Lower bounds of dependencies: pip is told each, `make test-lowest` tests it; SQLAlchemy's is checked here, too."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from asyncflow.errors import LibraryTooOldError
from asyncflow.library_versions import LEAST_SQLALCHEMY, require_sqlalchemy
from tools.lowest import PYPROJECT, constraints

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def pyproject(*dependencies: str) -> dict[str, Any]:
    extras = {"all": ["our-own[a]"]}
    return {"project": {"name": "our-own", "dependencies": [*dependencies], "optional-dependencies": extras}}


def test_the_least_sqlalchemy_at_run_time_is_the_one_that_pip_is_told() -> None:
    least = ".".join(map(str, LEAST_SQLALCHEMY))
    assert f"sqlalchemy=={least}" in constraints(tomllib.loads(PYPROJECT.read_text()))


@pytest.mark.parametrize("version", ["2.0.37", "2.0.30", "2.0.0", "2.0.0b4", "1.4.52"])
def test_an_older_sqlalchemy_is_refused_with_the_remedy(version: str) -> None:
    with pytest.raises(LibraryTooOldError, match=rf"SQLAlchemy is {version}, .*pip install"):
        require_sqlalchemy(version)


@pytest.mark.parametrize("version", ["2.0.38", "2.0.100", "2.1.0b1", "2.1.9", "3.0.0"])
def test_a_later_sqlalchemy_is_taken(version: str) -> None:
    require_sqlalchemy(version)


def test_each_dependency_is_held_at_its_lowest_version() -> None:
    given = pyproject("a>=1.2", "b[x,y]>=3.0,<4", "c-d>=2; python_version < '3.11'")
    assert constraints(given) == ["a==1.2", "b==3.0", "c-d==2; python_version < '3.11'"]


@pytest.mark.parametrize("requirement", ["a", "a[x]", "a<2", "a==1"])
def test_a_dependency_without_a_lower_bound_is_refused(requirement: str) -> None:
    with pytest.raises(ValueError, match="has no lower bound"):
        constraints(pyproject(requirement))
