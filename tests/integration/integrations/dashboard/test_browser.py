"""A person in a real browser: a poison message is found, read, mended and replayed, then the rest; the audit knows."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asyncflow import Status
from asyncflow.integrations.dashboard import Dashboard, UsersFile
from asyncflow.integrations.dashboard.door.passwords import Cost, PasswordHash
from tests.integration.conftest import Schedule
from tests.integration.integrations.dashboard.chromium import chromium, page_in, served
from tests.support.application import Application
from tests.unit.scheduler.waiting import eventually

PASSWORD = "correct horse battery"


@pytest.fixture
def page() -> Iterator[Any]:
    """Give a page of Chromium."""
    with chromium() as browser:
        yield page_in(browser)


@pytest.fixture
def users(tmp_path: Path) -> UsersFile:
    path = tmp_path / "users.toml"
    scrypt = PasswordHash.of(PASSWORD, Cost(log_n=10)).text
    path.write_text(f'[[users]]\nname="maria"\nrole="admin"\nscrypt="{scrypt}"\n')
    os.chmod(path, 0o600)
    return UsersFile(path)


def test_a_poison_message_is_mended_and_the_rest_follows_under_a_persons_eyes(
    sqlite_application: Application, sqlite_schedule: Schedule, users: UsersFile, page: Any
) -> None:
    application, is_mended = sqlite_application, threading.Event()

    @application.outbox.task(max_retries=0)
    def issue_coupon(amount: str) -> None:
        if not amount.isdigit() and not is_mended.is_set():
            raise ValueError(f"no amount: {amount!r}")

    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
    sqlite_schedule(tick=0.1).start()
    app = Dashboard(application.engine, application.outbox, users=users)
    with served(app) as address:
        # She signs in, and is led to where she wanted to go.
        page.goto(f"{address}/letters")
        page.get_by_label("Name").fill("maria")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_text("No task became a dead letter").wait_for()

        # Poison comes, and appears without a reload.
        with application.session() as session, session.begin():
            for amount in ("ten", "eleven", "twelve"):
                application.outbox.enqueue(session, issue_coupon, amount=amount)
        page.get_by_text("ValueError: no amount: '…'").wait_for()

        # Its group and its error are read, and one of them is mended.
        page.get_by_role("link", name="issue_coupon").click()
        page.locator("tr", has_text="'ten'").get_by_role("link").click()
        page.get_by_text("It is a dead letter").wait_for()
        page.get_by_text("Mend and replay …").click()
        payload = page.get_by_label("Payload")
        payload.fill(payload.input_value().replace("ten", "10"))
        page.locator("#mend").get_by_label("Reason").fill("a word for a number")
        page.get_by_role("button", name="Replay it with this payload").click()
        page.get_by_text("It has happened").wait_for()
        assert "10" in page.locator("#payload").inner_text()

        # The code is mended; one is tried, and goes well; then the rest.
        is_mended.set()
        page.get_by_role("link", name="Dead letters").click()
        page.get_by_role("link", name="issue_coupon").click()
        page.get_by_text("Replay …").click()
        page.get_by_role("button", name="Replay the first one").click()
        page.get_by_text("It went well; the rest may follow.").wait_for()
        page.get_by_text("Replay …").click()
        page.get_by_role("button", name="Replay all that are ticked").click()
        page.get_by_text("There are no dead letters of this group").wait_for()
        eventually(lambda: application.statuses() == [Status.SUCCESS] * 3)

        # The audit knows who, why and what.
        page.get_by_role("link", name="Audit").click()
        page.get_by_text("a word for a number").wait_for()
        told = page.locator("#live").inner_text()
        assert told.count("maria") == 3
        assert re.search(r'- +"amount": "ten"', told)
        assert re.search(r'\+ +"amount": "10"', told)
    assert faults == []
