"""Tokens: what a file may say, what is never shown, and for which task types a token is."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from asyncflow.errors import OptionError
from asyncflow.integrations.flowsvr import Token, Tokens
from asyncflow.integrations.flowsvr.client import ClientSettings, TaskServiceClient

SECRET = "my-very-own-secret-0123456789"
GOOD = f'[[tokens]]\nname = "shop"\ntoken = "{SECRET}"\nroles = ["producer"]\n'


@pytest.mark.parametrize(
    "text",
    [
        f"[[tokens]]\nname = {SECRET}\n",
        f'[[tokens]]\nname = "shop"\nroles = "{SECRET}"\n',
        f'[[tokens]]\nname = "shop"\nroles = ["{SECRET}"]\n',
        f'[[tokens]]\nname = "shop"\nsha256 = "{SECRET}"\nroles = ["producer"]\n',
        f'[[tokens]]\nname = "shop"\ntoken = "{SECRET} "\nroles = ["producer"]\n',
        f'[[tokens]]\nname = ["{SECRET}"]\nroles = ["producer"]\n',
        f'[[tokens]]\nname = "{SECRET * 9}"\nroles = ["producer"]\n',
        f'[[tokens]]\nname = "shop"\nroles = ["producer"]\n"{SECRET}" = "token"\n',
        f'[[tokens]]\nname = "shop"\nroles = ["producer"]\ntask_types = "{SECRET}"\n',
        f'[[tokens]]\nname = "shop"\nroles = ["worker"]\nnetworks = ["{SECRET}"]\n',
        f'[[tokens]]\nname = "shop"\nroles = ["worker"]\nnetworks = "{SECRET}"\n',
        f'[[tokens]]\nname = "shop"\nroles = ["worker"]\nnetworks = ["10.0.0.1"]\ntoken = "{SECRET}"\n',
        f'[[tokens]]\nname = "shop"\nroles = ["worker"]\nnetworks = ["10.0.0.1"]\nhosts = "{SECRET}"\n',
        f'tokens = ["{SECRET}"]\n',
        f'{SECRET} = "token"\n',
        f'[[tokens]]\n"{SECRET}" = 1\n"{SECRET}" = 2\n',
        f'[tokens.{SECRET}]\nname = "shop"\n',
    ],
)
def test_no_fault_of_the_file_shows_a_secret(text: str) -> None:
    with pytest.raises(OptionError) as raised:
        Tokens.from_toml(text, "the tokens file")
    shown, cause = str(raised.value), raised.value.__cause__
    assert SECRET not in shown + str(cause)
    assert "the tokens file" in shown or "shop" in shown


def test_a_field_that_is_nearly_known_is_named() -> None:
    with pytest.raises(OptionError, match="did you mean 'roles'"):
        Tokens.from_toml(GOOD + "rolse = []\n", "the file")
    with pytest.raises(OptionError, match="did you mean 'producer'"):
        Token.of("shop", SECRET, "prodcer")


@pytest.mark.parametrize(
    ("patterns", "yes", "no"),
    [
        (["*"], ["mail", "a.b"], []),
        (["mail"], ["mail"], ["mails", "Mail", "mail\n", "xmail"]),
        (["mail.*"], ["mail.", "mail.a.b"], ["mail", "xmail.a"]),
        (["*.order"], ["shop.order"], ["shop.orders"]),
        (["a*z", "m"], ["az", "abz", "m"], ["a", "mm"]),
        (["[a-z]", "a.c", "a?"], ["[a-z]", "a.c", "a?"], ["b", "abc", "ab"]),
        (["ab*ba", "x**y*"], ["abba", "ab.ba", "xy", "x.yz"], ["aba", "x.z"]),
        (["*a" * 20 + "*b"], ["a" * 20 + "b"], ["a" * 120, "a" * 19 + "b"]),
    ],
)
def test_a_pattern_means_what_it_says(patterns: list[str], yes: list[str], no: list[str]) -> None:
    token = Token.of("shop", SECRET, "producer", task_types=patterns)
    assert [name for name in [*yes, *no] if token.may_use(name)] == yes


def test_an_admin_is_bound_to_nothing() -> None:
    with pytest.raises(OptionError, match="an admin's"):
        Token.of("root", SECRET, "admin", task_types=["mail"])


@pytest.mark.parametrize(
    ("networks", "roles", "fault"),
    [
        ([], ["worker"], "is no list of addresses"),
        (["10.1.0.1/16"], ["worker"], "no bit set behind the prefix"),
        (["10.1"], ["worker"], "is no network"),
        (["0.0.0.0/0"], ["worker"], "is everybody"),
        (["::/0"], ["worker"], "is everybody"),
        (["10.1.0.0/16"], ["admin"], "nobody is an admin by an address"),
        (["10.1.0.0/16", "10.2.0.0/16"], ["worker"], "have addresses in common"),
    ],
)
def test_a_network_that_is_none_or_too_much_is_refused(networks: list[str], roles: list[str], fault: str) -> None:
    with pytest.raises(OptionError, match=fault):
        Tokens([Token.of_networks("go", networks, *roles), Token.of_networks("java", ["10.2.3.4"], "worker")])


@pytest.mark.parametrize(("mode", "warns"), [(0o644, True), (0o604, True), (0o600, False), (0o640, False)])
def test_a_file_that_everybody_can_read_is_told_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int, warns: bool
) -> None:
    path = tmp_path / "tokens.toml"
    path.write_text(GOOD)
    path.chmod(mode)
    with caplog.at_level(logging.WARNING, "asyncflow.flowsvr"):
        assert Tokens.from_file(str(path)).find(SECRET)
    assert ("chmod 600" in caplog.text) == warns


def test_a_file_is_read_anew_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    path.write_text(GOOD)
    tokens = Tokens.from_file(str(path))
    path.write_text(GOOD.replace(SECRET, "another-secret-0123456789"))
    assert tokens.reload()
    assert (tokens.find(SECRET), tokens.find("another-secret-0123456789") is None) == (None, False)
    path.write_text("tokens = 1")
    with pytest.raises(OptionError):
        tokens.reload()
    assert tokens.find("another-secret-0123456789")
    assert not Tokens.none().reload()


def test_the_password_in_a_servers_url_is_never_shown() -> None:
    settings = ClientSettings.of(server="https://user:the-password@tasks.example.com:8/x", token="the-token-itself")
    assert "the-password" not in repr(settings) + settings.shown_server
    assert "tasks.example.com:8/x" in repr(settings)
    assert "the-token-itself" not in repr(settings)
    with pytest.raises(OptionError) as raised:
        ClientSettings.of(server="tasks://user:the-password@x")
    assert "the-password" not in str(raised.value)


@pytest.mark.parametrize(
    ("server", "token", "warns"),
    [
        ("http://tasks.example.com", SECRET, True),
        ("http://127.evil.example", SECRET, True),
        ("http://tasks.example.com", None, False),
        ("https://tasks.example.com", SECRET, False),
        ("http://127.0.0.1:8080", SECRET, False),
        ("http://[::1]:8080", SECRET, False),
        ("http://localhost", SECRET, False),
    ],
)
def test_a_client_whose_token_travels_in_plain_text_says_so(
    caplog: pytest.LogCaptureFixture, server: str, token: str | None, warns: bool
) -> None:
    with caplog.at_level(logging.WARNING, "asyncflow.flowsvr"):
        TaskServiceClient(server, token=token).close()
    assert ("without encryption" in caplog.text) == warns
