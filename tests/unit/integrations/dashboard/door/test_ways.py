"""Where one comes from, and where one is sent: a proxy's networks, and own pages alone."""

from __future__ import annotations

import pytest

from asyncflow.errors import OptionError
from asyncflow.integrations.dashboard.door.own_path import own_path
from asyncflow.integrations.dashboard.door.person import Person, Role
from asyncflow.integrations.dashboard.door.proxy import networks_of


@pytest.mark.parametrize("given", [[], ["10.0.0.1/8"], ["all"], ""])
def test_networks_that_are_none_are_refused(given: list[str]) -> None:
    with pytest.raises(OptionError, match="networks is"):
        networks_of(given)


@pytest.mark.parametrize("path", ["task/0190", "letters/abc?within=3600&set=1a", "search?key=a%2Fb", "types"])
def test_own_pages_are_gone_to(path: str) -> None:
    assert own_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        "//evil.com",
        "/evil.com",
        "https://evil.com",
        "https:evil.com",
        "\\\\evil.com",
        "/\\evil.com",
        "javascript:alert(1)",
        "../../evil",
        "task/../../evil",
        "task/%2e%2E/evil",
        "a\r\nSet-Cookie: x=1",
        "a b",
        "@evil.com",
        "?x=1",
        "x" * 3000,
        "",
    ],
)
def test_what_is_no_own_page_is_gone_to_by_nobody(path: str) -> None:
    assert own_path(path) == ""


def test_each_role_may_what_those_before_it_may() -> None:
    assert [[one.may(other) for other in Role] for one in Role] == [
        [True, False, False],
        [True, True, False],
        [True, True, True],
    ]


@pytest.mark.parametrize("name", ["", " ", "a\nb", "x" * 121, 3])
def test_a_person_whom_the_audit_could_not_name_is_refused(name: str) -> None:
    with pytest.raises(OptionError, match="name"):
        Person(name)
