"""Passwords: only their hashes are kept, and a file at fault is told of."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from asyncflow.errors import OptionError
from asyncflow.integrations.dashboard.door.passwords import Cost, PasswordHash
from asyncflow.integrations.dashboard.door.users_file import UsersFile, users_of

CHEAP = Cost(log_n=10)
PASSWORD = "correct horse battery"
HASH = PasswordHash.of(PASSWORD, CHEAP).text


def user(name: str = "maria", role: str = "admin", scrypt: str = HASH) -> str:
    return f'[[users]]\nname = "{name}"\nrole = "{role}"\nscrypt = "{scrypt}"\n'


def test_a_hash_knows_its_password_and_no_other() -> None:
    known = PasswordHash(HASH)
    assert known.is_of(PASSWORD)
    assert not known.is_of(PASSWORD + " ")
    assert not known.is_of("")


def test_two_hashes_of_one_password_differ_and_tell_nothing() -> None:
    assert PasswordHash.of(PASSWORD, CHEAP).text != HASH
    assert PASSWORD not in HASH
    assert HASH not in repr(PasswordHash(HASH))


@pytest.mark.parametrize("given", ["short", "x" * 1025])
def test_a_password_that_is_too_short_or_too_long_is_refused(given: str) -> None:
    with pytest.raises(OptionError, match="characters"):
        PasswordHash.of(given, CHEAP)


@pytest.mark.parametrize(
    "given",
    ["", "scrypt", "plain", "md5$1$1$1$aa$aa", "scrypt$99$8$1$AAAA$AAAA", HASH[:-8], HASH + "$", "scrypt$a$8$1$A$A"],
    ids=range(8),  # a hash is another one in each process, and the tests' names are not to be
)
def test_what_is_no_hash_or_would_eat_the_machine_is_refused_without_being_shown(given: str) -> None:
    with pytest.raises(OptionError, match="no hash of a password") as caught:
        PasswordHash(given)
    assert len(given) < 20 or given not in str(caught.value)


def test_a_user_is_known_by_his_password_alone() -> None:
    users = users_of(user() + user("li", "viewer"), "users.toml")
    assert {name: one.person.role.value for name, one in users.items()} == {"maria": "admin", "li": "viewer"}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "no \\[\\[users\\]\\]"),
        ("x = [", "no TOML"),
        (user(role="root"), "the role is 'root'"),
        (user(role="admn"), "did you mean"),
        (user(name=""), "name is"),
        (user() + user(), "same name"),
        (user() + 'password = "x"\n', "password"),
        ("users = 3", "no \\[\\[users\\]\\]"),
    ],
)
def test_a_file_at_fault_is_refused_with_what_is_wrong(text: str, fault: str) -> None:
    with pytest.raises(OptionError, match=fault) as caught:
        users_of(text, "users.toml")
    assert HASH not in str(caught.value)


def test_a_changed_file_is_read_again_and_one_at_fault_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "users.toml"

    def write(text: str) -> None:
        fresh = tmp_path / "fresh"
        fresh.write_text(text)
        os.chmod(fresh, 0o600)
        fresh.replace(path)

    write(user())
    users = UsersFile(path)
    assert users.signed_in("maria", PASSWORD) is not None
    assert users.signed_in("maria", "wrong password") is None
    assert users.signed_in("nobody", PASSWORD) is None
    write(user(role="viewer"))
    assert users.named("maria").person.role.value == "viewer"  # type: ignore[union-attr]
    write("broken = [")
    assert users.named("maria") is not None
    assert "the users stay as they are" in caplog.text
    write(user("li"))
    assert users.named("maria") is None


def test_a_file_that_everybody_can_read_is_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "users.toml"
    path.write_text(user())
    os.chmod(path, 0o644)
    UsersFile(path)
    assert "everybody on this machine can read" in caplog.text


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="cannot be read"):
        UsersFile(tmp_path / "none.toml")
