"""The registration demo, run as a newcomer runs it; and its reckoning, which must not agree with wrong tables."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, delete, insert, text, update
from sqlalchemy.orm import Session

from asyncflow import Outbox, Status
from examples.registration_demo import coupon, points
from examples.registration_demo.show.books import TASKS, Books
from examples.registration_demo.show.databases import Urls, sqlite_files
from examples.registration_demo.show.outage import stopped
from examples.registration_demo.show.reconciliation import Reconciliation
from examples.registration_demo.users import Base, User
from examples.registration_demo.voucher import Voucher
from tests.support.databases import url_of
from tools.services import load
from tools.services.process import wait_until

CHECKOUT = Path(__file__).resolve().parents[2]
USERS = 200
DEADLINE_SECONDS = 240.0
ENDED_WITHIN_SECONDS = 60.0
MARK = "ASYNCFLOW_DEMO_TEST"


# -- the whole show --------------------------------------------------------------------------------------


class Demo:
    """Run the demo in a process of its own, with ``directory`` as the system's temporary directory."""

    def __init__(self, directory: Path, *options: str) -> None:
        self.directory = directory
        self._mark = f"{MARK}={directory}"
        environment = {**os.environ, MARK: str(directory), "TMPDIR": str(directory), "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "examples.registration_demo", *options],
            cwd=CHECKOUT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=_heed_signals,
        )

    def wait_for(self, words: str) -> None:
        """Read its output up to a line that holds ``words``."""
        assert self.process.stdout is not None
        read = []
        for line in self.process.stdout:
            read.append(line)
            if words in line:
                return
        raise AssertionError(f"no {words!r} in {''.join(read)}")

    def end(self) -> tuple[int, str, str]:
        """Wait for its end; return the exit code and what it wrote, as far as that was not read before."""
        output, errors = self.process.communicate(timeout=DEADLINE_SECONDS)
        return self.process.returncode, output, errors

    def processes(self, name: str = "") -> list[int]:
        """Return the pids of what it started and that still runs; of all, or of what has ``name`` in its command."""
        return [pid for pid in _pids() if pid != self.process.pid and self._is_ours(pid) and name in _command(pid)]

    def _is_ours(self, pid: int) -> bool:
        return self._mark in _read(pid, "environ").split("\0")


@contextmanager
def demo(directory: Path, *options: str) -> Iterator[Demo]:
    running = Demo(directory, *options)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.process.kill()
            running.process.communicate()
        for pid in running.processes():
            os.kill(pid, signal.SIGKILL)


def _heed_signals() -> None:
    """Undo what a shell's ``&`` or ``nohup`` leaves to its children: signals that are ignored."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").glob("[0-9]*")]


def _command(pid: int) -> str:
    return _read(pid, "cmdline").replace("\0", " ")


def _read(pid: int, what: str) -> str:
    """Return a file of /proc; nothing for a process that has ended."""
    try:
        return Path(f"/proc/{pid}/{what}").read_text(errors="replace")
    except OSError:
        return ""


def _require_the_whole_story(output: str) -> None:
    killed = re.search(r"scheduler killed \(SIGKILL\): (\d+) rows pending", output)
    assert killed, output
    assert int(killed[1]) > 0, output
    assert "scheduler started again" in output
    assert f"✓ {USERS} users = {USERS} coupons = {USERS} points grants = {USERS} vouchers: 0 lost, 0 twice" in output
    assert f"{USERS // 20} double clicks were refused" in output
    assert re.search(r"\d+ deliveries were duplicates", output), output


@pytest.mark.parametrize(
    ("arguments", "last"),
    [(["demo"], "registration_demo"), (["demo", "KEEP=1"], "--keep"), (["demo", "KEEP=0"], "registration_demo")],
)
def test_make_leaves_the_page_up_where_it_is_asked_to(arguments: list[str], last: str) -> None:
    command = ["make", "--dry-run", "--no-print-directory", *arguments]
    apart = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}  # make test
    told = subprocess.run(command, cwd=CHECKOUT, env=apart, capture_output=True, text=True, check=True)
    assert told.stdout.split()[-1].endswith(last)


def test_on_sqlite_every_user_gets_one_coupon_and_one_grant_whatever_dies(tmp_path: Path) -> None:
    with demo(tmp_path, "--users", str(USERS)) as running:
        code, output, errors = running.end()
        assert code == 0, output + errors
        _require_the_whole_story(output)
        assert "broker stopped (SIGSTOP)" in output
        assert "broker back after 4 s" in output
        assert running.processes() == []
        assert list(tmp_path.iterdir()) == []


def test_on_mariadb_and_kafka_every_user_gets_one_coupon_and_one_grant_whatever_dies(tmp_path: Path) -> None:
    server = create_engine(url_of("mariadb", tmp_path))
    with demo(tmp_path, "--real", "--users", str(USERS)) as running:
        code, output, errors = running.end()
        assert code == 0, output + errors
        _require_the_whole_story(output)
        assert "broker back after 4 s" in output or "the broker was NOT taken away" in output
        assert running.processes() == []
        assert _databases_of(server, running.process.pid) == []
        assert _topics_of(running.process.pid) == []
    server.dispose()


def _databases_of(server: Engine, pid: int) -> list[str]:
    with server.connect() as connection:
        names = connection.execute(text("SHOW DATABASES")).scalars().all()
    return [name for name in names if name.startswith(f"asyncflow_demo_{pid}_")]


def _topics_of(pid: int) -> list[str]:
    from confluent_kafka.admin import AdminClient

    topics = AdminClient({"bootstrap.servers": load().kafka_bootstrap or ""}).list_topics(timeout=60).topics
    return [name for name in topics if name.startswith(f"demo-{pid}-")]


# -- what goes wrong -------------------------------------------------------------------------------------


def test_a_coupon_given_twice_behind_the_inbox_fails_the_demo(tmp_path: Path) -> None:
    with demo(tmp_path, "--users", str(USERS)) as running:
        running.wait_for("scheduler started again")
        account = _double_a_coupon(tmp_path)
        code, output, _ = running.end()
    assert code == 1
    assert "the numbers are off" in output
    assert f"coupons: 1 given twice ({account})" in output
    assert "scheduler last logged" in output


def test_a_service_that_dies_fails_the_demo_with_the_last_words_of_each_process(tmp_path: Path) -> None:
    with demo(tmp_path, "--users", str(USERS)) as running:
        running.wait_for("users begin to register")
        (pid,) = running.processes("registration_demo.coupon")
        os.kill(pid, signal.SIGKILL)
        code, output, errors = running.end()
        assert code == 1
        assert "error: coupon has died (SIGKILL)" in errors
        for name in ("broker", "accounts", "scheduler", "coupon", "points"):
            assert f"{name} last logged" in output
        assert running.processes() == []
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_demo_leaves_no_process_and_no_file(tmp_path: Path, number: signal.Signals) -> None:
    with demo(tmp_path, "--users", str(USERS)) as running:
        running.wait_for("users begin to register")
        assert len(running.processes()) >= 5  # of six services the scheduler may have been killed by now
        running.process.send_signal(number)
        code, _, errors = running.end()
        assert code == 130
        assert "interrupted" in errors
        assert running.processes() == []
        assert list(tmp_path.iterdir()) == []


def test_a_killed_demo_leaves_no_process(tmp_path: Path) -> None:
    with demo(tmp_path, "--users", str(USERS)) as running:
        running.wait_for("users begin to register")
        running.process.kill()
        running.end()
        assert wait_until(lambda: running.processes() == [], ENDED_WITHIN_SECONDS)


@pytest.mark.parametrize("number", ["0", "-1", "many", "100001", ""])
def test_a_number_of_users_that_cannot_register_is_refused(tmp_path: Path, number: str) -> None:
    with demo(tmp_path, f"--users={number}") as running:
        code, _, errors = running.end()
    assert code == 2
    assert "give 1 to 100,000" in errors


def test_services_that_do_not_answer_are_told_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASYNCFLOW_TEST_MARIADB_URL", "mysql+pymysql://nobody@127.0.0.1:1/nothing")
    monkeypatch.setenv("ASYNCFLOW_TEST_KAFKA", "127.0.0.1:1")
    with demo(tmp_path, "--real") as running:
        code, _, errors = running.end()
    assert code == 1
    assert "MariaDB does not make a database" in errors
    assert "run `make services`" in errors


@pytest.fixture
def sleeper() -> Iterator[int]:
    """Give the pid of a process that does nothing."""
    process = subprocess.Popen(["sleep", "600"])
    yield process.pid
    process.kill()
    process.wait()


def test_a_process_stands_still_during_its_outage_and_goes_on_after_it(sleeper: int) -> None:
    with stopped(sleeper, 240.0):
        assert wait_until(lambda: _state(sleeper) == "T", ENDED_WITHIN_SECONDS)
    assert wait_until(lambda: _state(sleeper) == "S", ENDED_WITHIN_SECONDS)


def test_an_outage_ends_even_if_the_demo_is_killed_during_it(sleeper: int) -> None:
    killed = (
        "import os, signal, sys; from examples.registration_demo.show.outage import stopped\n"
        "with stopped(int(sys.argv[1]), 1.0): os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", killed, str(sleeper)], cwd=CHECKOUT, check=False, timeout=240)
    assert wait_until(lambda: _has_gone_on(sleeper), ENDED_WITHIN_SECONDS)
    assert wait_until(lambda: _state(sleeper) == "S", ENDED_WITHIN_SECONDS)


def _has_gone_on(pid: int) -> bool:
    """Tell whether a child was continued after it had been stopped, which the kernel keeps until it is asked."""
    found, status = os.waitpid(pid, os.WCONTINUED | os.WNOHANG)
    return found == pid and os.WIFCONTINUED(status)


def _state(pid: int) -> str:
    return _read(pid, "stat").rpartition(")")[2].split()[0]


def _double_a_coupon(directory: Path) -> str:
    (path,) = directory.glob("asyncflow-demo-*/coupon.db")
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": 60})
    with Session(engine) as session, session.begin():
        account_no = session.query(coupon.Coupon.account_no).limit(1).scalar()
        session.add(coupon.Coupon(account_no=account_no, percent_off=10))
    engine.dispose()
    return str(account_no)


# -- the reckoning ---------------------------------------------------------------------------------------

ACCOUNTS = [f"A{number}" for number in range(10)]
MESSAGES = 12  # two of the ten were sent twice


class Tables:
    """Hold the tables of the three services as they are when everything went well."""

    def __init__(self, urls: Urls) -> None:
        self.urls = urls
        outbox = Outbox(Base.metadata)
        outbox.message("user.registered")
        self.accounts, self.coupon, self.points = (create_engine(url) for url in urls.values())
        Base.metadata.create_all(self.accounts)
        coupon.Base.metadata.create_all(self.coupon)
        points.Base.metadata.create_all(self.points)
        with Session(self.accounts) as session, session.begin():
            for account_no in ACCOUNTS:
                session.add(User(account_no=account_no, name="somebody"))
                outbox.publish(session, "user.registered", {"account_no": account_no}, key=account_no)
        self.do(self.accounts, update(outbox.tasks).values(status=int(Status.SUCCESS)))
        self.do(self.accounts, insert(Voucher), [{"account_no": account_no, "amount": 5} for account_no in ACCOUNTS])
        gifts = [{"account_no": account_no} for account_no in ACCOUNTS]
        duplicates = [{"message_id": "one"}, {"message_id": "two"}]
        self.do(self.coupon, insert(coupon.Coupon), [{**gift, "percent_off": 10} for gift in gifts])
        self.do(self.points, insert(points.Grant), [{**gift, "points": 100} for gift in gifts])
        self.do(self.coupon, insert(coupon.Duplicate), duplicates)
        self.do(self.points, insert(points.Duplicate), duplicates)

    def do(self, engine: Engine, statement: Any, values: Any = None) -> None:
        with engine.begin() as connection:
            connection.execute(statement, values)

    def reconcile(self) -> Reconciliation:
        books = Books(self.urls)
        try:
            return books.reconcile(expected=len(ACCOUNTS), refused=1, messages=MESSAGES)
        finally:
            books.close()


@pytest.fixture
def tables(tmp_path: Path) -> Iterator[Tables]:
    tables = Tables(sqlite_files(tmp_path))
    yield tables
    for engine in (tables.accounts, tables.coupon, tables.points):
        engine.dispose()


def test_tables_that_agree_have_no_fault(tables: Tables) -> None:
    reconciliation = tables.reconcile()
    assert reconciliation.faults() == []
    assert reconciliation.absorbed == 4


def _lose_a_coupon(tables: Tables) -> None:
    tables.do(tables.coupon, delete(coupon.Coupon).where(coupon.Coupon.account_no == "A3"))


def _double_a_grant(tables: Tables) -> None:
    tables.do(tables.points, insert(points.Grant), {"account_no": "A4", "points": 100})


def _lose_a_voucher(tables: Tables) -> None:
    tables.do(tables.accounts, delete(Voucher).where(Voucher.account_no == "A2"))


def _move_a_coupon(tables: Tables) -> None:
    """Take it from one account and give it to another: the totals agree all the same."""
    moved = update(coupon.Coupon).where(coupon.Coupon.account_no == "A5").values(account_no="A6")
    tables.do(tables.coupon, moved)


def _give_to_nobody(tables: Tables) -> None:
    tables.do(tables.points, insert(points.Grant), {"account_no": "rolled back", "points": 100})


def _forget_a_user(tables: Tables) -> None:
    tables.do(tables.accounts, delete(User).where(User.account_no == "A7"))


def _leave_a_row_pending(tables: Tables) -> None:
    _set_one(tables, Status.PENDING)


def _bury_a_row(tables: Tables) -> None:
    _set_one(tables, Status.FAILED)


def _miss_a_delivery(tables: Tables) -> None:
    tables.do(tables.points, delete(points.Duplicate).where(points.Duplicate.message_id == "two"))


def _set_one(tables: Tables, status: Status) -> None:
    tables.do(tables.accounts, update(TASKS).where(TASKS.c.task_key == "A8").values(status=int(status)))


@pytest.mark.parametrize(
    ("harm", "fault"),
    [
        (_lose_a_coupon, "coupons: 1 lost (A3)"),
        (_lose_a_voucher, "vouchers: 1 lost (A2)"),
        (_double_a_grant, "points grants: 1 given twice (A4)"),
        (_move_a_coupon, "coupons: 1 lost (A5)"),
        (_move_a_coupon, "coupons: 1 given twice (A6)"),
        (_give_to_nobody, "points grants: 1 given to nobody's account (rolled back)"),
        (_forget_a_user, "users: 9 in the table, 10 registered"),
        (_leave_a_row_pending, "outbox: 1 rows PENDING, 0 FAILED"),
        (_bury_a_row, "outbox: 0 rows PENDING, 1 FAILED"),
        (_miss_a_delivery, "points grants: 1 of 12 messages were not taken"),
    ],
)
def test_tables_that_disagree_are_told(tables: Tables, harm: Callable[[Tables], None], fault: str) -> None:
    harm(tables)
    assert fault in tables.reconcile().faults()
