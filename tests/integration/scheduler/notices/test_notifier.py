"""Notices: each trouble is told once, by whichever instance, when it appears, is still there and clears."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import create_engine, update

from asyncflow.errors import ForkedError, OptionError
from asyncflow.event_log import EventLog
from asyncflow.events import StepFailed
from asyncflow.scheduler.diagnosis.finding import Code, Finding, Severity
from asyncflow.scheduler.notices import Notice, Notifier, NotifierSettings, notifier
from asyncflow.scheduler.notices.notice import by_key, cleared_of
from tests.integration.scheduler.writing import alter, publish, publish_many
from tests.support.application import Application
from tests.support.forking import Child
from tests.support.proxy import proxy_to
from tests.unit.scheduler.waiting import eventually

AT_ONCE: dict[str, Any] = {"interval_seconds": 0.001, "quiet_seconds": 0.001, "repeat_seconds": 3600.0}


class Kept:
    """Be a channel that keeps notices; raises while ``fault`` is set."""

    def __init__(self) -> None:
        self.notices: list[Notice] = []
        self.tries = 0
        self.fault: Exception | None = None

    def send(self, notice: Notice) -> None:
        self.tries += 1
        if self.fault is not None:
            raise self.fault
        self.notices.append(notice)

    def told(self) -> list[tuple[str, str]]:
        """Return what was told, in order: how, and the code."""
        return [
            (how, one.code if how == "cleared" else one.code.value)
            for notice in self.notices
            for how in ("appeared", "still_there", "cleared")
            for one in getattr(notice, how)
        ]


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifier, "_PAUSE_SECONDS", 0.001)


def of(application: Application, *channels: Kept, hooks: Any = (), **settings: Any) -> Notifier:
    given = NotifierSettings(**{"source": "shop", **AT_ONCE, **settings})
    return Notifier(application.engine, application.outbox, channels, settings=given, hooks=hooks)


def let_wait(application: Application) -> None:
    """Let a task wait for hours, and no instance be there."""
    publish(application)
    alter(application, "order_time = '2026-01-01 00:00:00.000000'")


def settle(application: Application) -> None:
    alter(application, "status = 2")


def test_what_appears_is_told_once_whoever_looks_and_what_clears_too(application: Application) -> None:
    let_wait(application)
    channel, other = Kept(), Kept()
    of(application, channel).step()
    for _ in range(3):
        of(application, other).step()  # another instance, or the same one after a restart
    assert channel.told() == [("appeared", "no-instance")]
    assert channel.notices[0].source == "shop"
    assert other.told() == []
    settle(application)
    while not other.told():
        of(application, other).step()
    of(application, channel).step()
    assert other.told() == [("cleared", "no-instance")]
    assert channel.told() == [("appeared", "no-instance")]
    alter(application, "status = 0")
    of(application, channel).step()
    assert channel.told() == [("appeared", "no-instance")] * 2


def test_of_many_that_look_at_one_moment_one_tells(application: Application) -> None:
    let_wait(application)
    channel = Kept()
    barrier = threading.Barrier(4)

    def look() -> None:
        its = of(application, channel, interval_seconds=60.0)
        barrier.wait(60)
        its.step()

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert channel.told() == [("appeared", "no-instance")]


def test_a_clock_that_was_set_back_silences_nobody(application: Application) -> None:
    let_wait(application)
    channel = Kept()
    its = of(application, channel, interval_seconds=60.0, quiet_seconds=120.0, repeat_seconds=1800.0)

    def look_after_the_clock_was_set_back() -> None:
        entries = application.outbox.dedupe_entries
        with application.engine.begin() as connection:
            connection.execute(update(entries).values(created_at=timedelta(hours=1)))
        its.step()

    its.step()
    look_after_the_clock_was_set_back()
    assert channel.told() == [("appeared", "no-instance"), ("still_there", "no-instance")]
    settle(application)
    look_after_the_clock_was_set_back()
    look_after_the_clock_was_set_back()
    assert channel.told()[2:] == [("cleared", "no-instance")]


def test_what_comes_and_goes_is_told_once(sqlite_application: Application) -> None:
    let_wait(sqlite_application)
    channel = Kept()
    its = of(sqlite_application, channel, quiet_seconds=3600.0)
    for _ in range(3):
        its.step()
        settle(sqlite_application)
        its.step()
        alter(sqlite_application, "status = 0")
    assert channel.told() == [("appeared", "no-instance")]


def test_what_is_still_there_is_told_again_after_a_while(sqlite_application: Application) -> None:
    let_wait(sqlite_application)
    channel = Kept()
    its = of(sqlite_application, channel, repeat_seconds=0.001)
    its.step()
    while len(channel.told()) < 2:
        its.step()
    assert channel.told()[:2] == [("appeared", "no-instance"), ("still_there", "no-instance")]


def test_a_channel_that_fails_keeps_no_other_from_being_told_and_the_log_tells(
    sqlite_application: Application, caplog: pytest.LogCaptureFixture
) -> None:
    let_wait(sqlite_application)
    broken, sound, events = Kept(), Kept(), list[Any]()
    broken.fault = RuntimeError("no chat today")
    its = of(sqlite_application, broken, sound, hooks=[events.append, EventLog()])
    its.step()
    its.step()
    assert sound.told() == [("appeared", "no-instance")]
    assert broken.tries == 3
    assert [str(event.error) for event in events if isinstance(event, StepFailed)] == ["no chat today"] * 3
    assert "no chat today" in caplog.text


def test_what_no_channel_took_is_told_anew_and_what_cleared_too(sqlite_application: Application) -> None:
    let_wait(sqlite_application)
    channel = Kept()
    channel.fault = RuntimeError("no chat today")
    its = of(sqlite_application, channel)
    its.step()
    assert channel.told() == []
    channel.fault = None
    its.step()
    assert channel.told() == [("appeared", "no-instance")]
    settle(sqlite_application)
    channel.fault = RuntimeError("no chat today")
    before = channel.tries
    while channel.tries == before:
        its.step()
    channel.fault = None
    while len(channel.told()) < 2:
        its.step()
    assert channel.told()[1] == ("cleared", "no-instance")


def test_a_commit_whose_answer_is_lost_loses_no_notice(application: Application) -> None:
    if application.engine.dialect.name == "sqlite":
        pytest.skip("no network")
    let_wait(application)
    channel = Kept()
    with proxy_to(application.engine.url) as (proxy, url):
        engine = create_engine(url)
        its = Notifier(engine, application.outbox, [channel], settings=NotifierSettings(**AT_ONCE))
        remember, is_remembering = its._told.take_in, threading.Event()

        def take_in(*given: Any, **options: Any) -> Any:
            is_remembering.set()
            return remember(*given, **options)

        its._told.take_in = take_in  # type: ignore[method-assign]
        proxy.lose_answers(lambda _: is_remembering.is_set() and not proxy.lost)
        its.step()
        its.step()
        assert proxy.lost
        engine.dispose()
    assert channel.told() == [("appeared", "no-instance")]


@pytest.mark.parametrize("database_url", ["mariadb", "postgresql"], indirect=True)
def test_a_turn_whose_answer_is_lost_is_taken_at_once_and_not_at_the_next_interval(application: Application) -> None:
    let_wait(application)
    with proxy_to(application.engine.url) as (proxy, url):
        engine = create_engine(url)
        channel = Kept()
        settings = NotifierSettings(source="shop", interval_seconds=3600.0)
        proxy.lose_nth(1)
        Notifier(engine, application.outbox, [channel], settings=settings).step()
        assert proxy.lost
        assert channel.told() == [("appeared", "no-instance")]
        engine.dispose()


def test_only_what_is_urgent_enough_is_told(sqlite_application: Application) -> None:
    let_wait(sqlite_application)
    quiet = Kept()
    of(sqlite_application, quiet, least="stuck").step()
    assert quiet.told() == [("appeared", "no-instance")]
    with pytest.raises(OptionError, match="give one of stuck, trouble, notice"):
        NotifierSettings(least="urgent")


def test_a_notifier_runs_beside_and_is_stopped_while_a_channel_fails(sqlite_application: Application) -> None:
    let_wait(sqlite_application)
    channel = Kept()
    with of(sqlite_application, channel, interval_seconds=0.01) as its:
        eventually(lambda: bool(channel.told()))
        channel.fault = RuntimeError("no chat today")
        settle(sqlite_application)
        eventually(lambda: channel.tries > 1)
    assert its.stop()


@pytest.mark.parametrize("channels", [[], ()])
def test_a_notifier_that_tells_nobody_is_refused(sqlite_application: Application, channels: Any) -> None:
    with pytest.raises(OptionError, match="give those that shall be told"):
        of(sqlite_application, *channels)


def finding(kind: str, name: str, code: Code = Code.SHARDS_UNOWNED) -> Finding:
    return Finding(code=code, severity=Severity.STUCK, kind=kind, name=name, since=None, cause="c", remedy="r")


def test_a_trouble_whose_list_grows_is_the_same_and_one_elsewhere_is_another() -> None:
    assert by_key([finding("shards", "1, 2")]).keys() == by_key([finding("shards", "1, 2, 3")]).keys()
    assert by_key([finding("key", "A1 of mail")]).keys() == by_key([finding("key", "A2 of of mail")]).keys()
    assert len(by_key([finding("task type", "mail"), finding("task type", "sms")])) == 2
    keys = list(by_key([finding("task type", "für " * 100), finding("task type", "für " * 99)]))
    assert len(keys) == 2
    assert all(len(key) <= 200 and key.isascii() for key in keys)
    (key,) = by_key([finding("task type", "mail", Code.TYPE_OFF)])
    assert cleared_of(key) == ("type-off", "task type mail")


def test_many_findings_are_one_notice_whose_text_has_an_end(sqlite_application: Application) -> None:
    publish_many(sqlite_application, 1)
    found = tuple(finding("task type", f"type{number}", Code.TYPE_OFF) for number in range(100))
    notice = Notice(source="shop", at=sqlite_application.rows()[0].created_at, appeared=found)
    assert len(notice.lines()) == 20 * 4 + 1
    assert notice.lines()[-1] == "... and 80 more"
    assert len(notice.as_dict()["appeared"]) == 100


def test_a_notifier_that_the_parent_of_a_fork_has_started_is_refused_in_the_child(
    sqlite_application: Application,
) -> None:
    def start_and_stop() -> str:
        try:
            mine.start()
        except ForkedError:
            return f"refused, {mine.stop()}"
        return f"started, {mine.stop()}"

    mine = of(sqlite_application, Kept())
    assert Child(start_and_stop).result() == "started, True"
    with mine:
        assert Child(start_and_stop).result() == "refused, True"


def test_a_channel_may_stop_it_which_waits_for_nobody(sqlite_application: Application) -> None:
    let_wait(sqlite_application)
    stopped: list[bool] = []

    class Stopping(Kept):
        def send(self, notice: Notice) -> None:
            stopped.append(stopped_by_it.stop())
            super().send(notice)

    channel = Stopping()
    stopped_by_it = of(sqlite_application, channel, stop_timeout_seconds=600.0)
    stopped_by_it.start()
    eventually(lambda: channel.told() == [("appeared", "no-instance")])
    assert stopped_by_it.stop()
    assert stopped == [False]
