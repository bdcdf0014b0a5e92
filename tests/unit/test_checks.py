"""What `make check` looks at is everything."""

from __future__ import annotations

import sys

from tests.support.snippets import ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def test_types_are_checked_strictly_in_every_package_of_the_checkout_tests_included() -> None:
    packages = {init.parent.name for init in ROOT.glob("*/__init__.py")}
    mypy = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mypy"]
    assert mypy["strict"] is True
    assert "tests" in packages
    assert set(mypy["packages"]) == packages
    assert "exclude" not in mypy
