"""One dashboard shows several databases: all of them on one page, and the pages of each below its name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from asyncflow.cli import main
from asyncflow.errors import OptionError
from asyncflow.integrations.dashboard import Dashboard, Person, Role, UsersFile, server
from asyncflow.integrations.dashboard.door.passwords import PasswordHash
from asyncflow.scheduler import Rejected
from asyncflow.testing import MemoryPublisher
from tests.integration.integrations.dashboard.browsing import OWN_PAGE, browser, text_of
from tests.integration.scheduler.branches.several import Several, several


@pytest.fixture
def spread(tmp_path: Path) -> Iterator[Several]:
    """Give an application in three files, with a dead letter in db1."""
    with several("sqlite", tmp_path) as its:
        its.publish("db1")
        its.scheduler(publisher=MemoryPublisher(lambda _: Rejected("too large"))).drain()
        yield its


def dashboard(spread: Several) -> Dashboard:
    return Dashboard(spread.engines, spread.outbox, users=lambda _: Person("maria", Role.ADMIN))


@pytest.mark.parametrize("root", ["", "/outbox"])
async def test_the_first_page_tells_of_each_and_leads_there(spread: Several, root: str) -> None:
    async with browser(dashboard(spread), root=root) as client:
        page = await client.get("/")
        assert page.status_code == 200
        for name in spread.engines:
            assert f'href="{root}/{name}/"' in page.text
        assert "trouble" in text_of(page)
        assert "dead-letters-new" in text_of(await client.get("/db1/"))
        assert "dead-letters-new" not in text_of(await client.get("/db0/"))
        letters = await client.get("/db1/letters")
        assert "user.registered" in text_of(letters)
        assert f'href="{root}/db1/types"' in letters.text
        assert (await client.get("/db9/letters")).status_code == 404
        assert (await client.get("/letters")).status_code == 404
        assert (await client.get("/db1/static/dashboard.css")).status_code == 200


async def test_a_form_changes_the_database_whose_page_it_stands_on(spread: Several) -> None:
    async with browser(dashboard(spread)) as client:
        sent = await client.post("/db1/types/pause", data={"type": "user.registered", "reason": "x"}, headers=OWN_PAGE)
        assert sent.status_code == 303
        assert sent.headers["location"].startswith("/db1/types")
        assert "maria" in text_of(await client.get("/db1/audit"))
        assert "pause" not in text_of(await client.get("/db0/audit"))
        assert (await client.post("/types/pause", data={"type": "x"}, headers=OWN_PAGE)).status_code == 404


async def test_people_sign_in_once_for_all_of_them(spread: Several, tmp_path: Path) -> None:
    users = tmp_path / "users.toml"
    users.write_text(
        f'[[users]]\nname = "maria"\nrole = "admin"\nscrypt = "{PasswordHash.of("open sesame please").text}"\n'
    )
    app = Dashboard(spread.engines, spread.outbox, users=UsersFile(users))
    async with browser(app) as client:
        asked = await client.get("/db1/letters")
        assert (asked.status_code, asked.headers["location"]) == (303, "/sign-in?next=db1%2Fletters")
        assert (await client.get("/db1/sign-in")).status_code == 303  # only one place takes passwords
        form = {"name": "maria", "password": "open sesame please", "next": "db1/letters"}
        signed_in = await client.post("/sign-in", data=form, headers=OWN_PAGE)
        assert (signed_in.status_code, signed_in.headers["location"]) == (303, "/db1/letters")
        for path in ("/", "/db0/", "/db1/letters"):
            assert (await client.get(path)).status_code == 200
        signed_out = await client.post("/db1/sign-out", headers=OWN_PAGE)
        assert signed_out.headers["location"] == "/sign-in"
        assert (await client.get("/db0/")).status_code == 303


async def test_one_that_cannot_be_looked_at_keeps_none_of_the_others(spread: Several) -> None:
    spread.application.Base.metadata.drop_all(spread.engines["db0"])
    async with browser(dashboard(spread)) as client:
        told = text_of(await client.get("/"))
        assert "It does not answer" in told
        assert "trouble" in told
        chinese = await client.get("/", headers={"Accept-Language": "zh"})
        assert "没有应答" in chinese.text


async def test_the_command_serves_all_that_a_file_or_a_scheduler_names_or_one_of_them(
    spread: Several, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[Dashboard] = []

    def serve(app: Dashboard, *_: object) -> bool:
        served.append(app)
        return True

    monkeypatch.setattr(server, "serve", serve)
    file = tmp_path / "databases.toml"
    lines = [f'{name} = "{engine.url}"' for name, engine in spread.engines.items()]
    file.write_text("\n".join(["[databases]", 'away = "mysql+pymysql://nobody@127.0.0.1:1/shop"', *lines]))
    assert main(["dashboard", "--databases", str(file)]) == 0
    assert main(["dashboard", "--databases", str(file), "--database", "db1"]) == 0
    of_all, of_one = served
    async with browser(of_all) as client:
        page = await client.get("/")
        assert "It does not answer" in text_of(page)
        assert 'href="/db2/"' in page.text
    async with browser(of_one) as client:
        assert "dead-letters-new" in text_of(await client.get("/"))


def test_names_that_are_none_are_refused(spread: Several) -> None:
    with pytest.raises(OptionError, match="the name of a database is"):
        Dashboard({"a/b": spread.engines["db0"]}, spread.outbox)
    with pytest.raises(OptionError, match="'static' is that of the dashboard's own files"):
        Dashboard({"static": spread.engines["db0"]}, spread.outbox)
    with pytest.raises(OptionError, match="give an Engine"):
        Dashboard({"db0": "sqlite://"}, spread.outbox)  # type: ignore[dict-item]
