"""The pure parts of tools.services; `make services` proves the rest."""

import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from tools.services import life, place, ports, probe, state
from tools.services.errors import NotOursError, StartError
from tools.services.mariadb import MariaDB
from tools.services.place import build
from tools.services.process import Launch, Process, spawn, wait_until
from tools.services.state import Record


def test_an_address_without_a_port_means_the_usual_one() -> None:
    assert MariaDB().endpoint("mysql+pymysql://user:word@db.example/name") == ("db.example", 3306)


def test_an_address_that_we_write_is_read_back() -> None:
    assert MariaDB().endpoint(MariaDB().address(20_001)) == ("127.0.0.1", 20_001)


def test_a_port_that_somebody_listens_on_is_not_chosen_again() -> None:
    with socket.create_server((ports.LOOPBACK, ports.choose())) as listener:
        taken = listener.getsockname()[1]
        assert ports.choose(taken) != taken


def test_a_free_former_port_is_kept() -> None:
    former = ports.choose()
    assert ports.choose(former) == former


def test_silence_is_no_answer() -> None:
    with socket.socket() as held:  # bound, so that nobody takes it meanwhile, and never listened on
        held.bind((ports.LOOPBACK, 0))
        nobody = held.getsockname()[1]
        assert not probe.mariadb_answers(ports.LOOPBACK, nobody)
        assert not probe.postgresql_answers(ports.LOOPBACK, nobody)
        assert not probe.kafka_answers(ports.LOOPBACK, nobody)
        assert not probe.rabbitmq_answers(ports.LOOPBACK, nobody)
        assert not probe.redis_answers(ports.LOOPBACK, nobody)
        assert not probe.nats_answers(ports.LOOPBACK, nobody)
        assert not probe.zookeeper_answers(ports.LOOPBACK, nobody)
        assert not probe.etcd_answers(ports.LOOPBACK, nobody)
        assert not probe.speaks_http2(ports.LOOPBACK, nobody)
        assert not probe.http_answers(ports.LOOPBACK, nobody)


def test_the_services_that_every_run_needs_are_started_without_a_name_and_the_others_by_name() -> None:
    assert list(life.USUAL) == ["mariadb", "postgresql", "kafka"]
    assert {
        "rabbitmq",
        "redis",
        "nats",
        "zookeeper",
        "etcd",
        "mysql",
        "rocketmq",
        "pgbouncer",
        "connect",
        "opensearch",
    } <= life.OTHERS.keys()
    assert life.PROVIDERS.keys() == life.SERVICES.keys()


def test_an_interrupted_build_leaves_nothing_that_looks_complete(tmp_path: Path) -> None:
    def interrupted(directory: Path) -> None:
        directory.mkdir()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "data", interrupted)
    build(tmp_path / "data", Path.mkdir)
    assert list(tmp_path.iterdir()) == [tmp_path / "data"]


def test_a_spawned_program_ends_by_its_own_signal(tmp_path: Path) -> None:
    program = "import signal; print('ready', flush=True); signal.sigwait({signal.SIGUSR1}); print('bye')"
    launch = Launch(command=[sys.executable, "-c", program], stop_signal=signal.SIGUSR1)
    # The signal must be blocked before the program waits for it, and a mask is inherited.
    former = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    try:
        process = spawn(launch, log=tmp_path / "program.log", directory=tmp_path)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, former)
    assert process
    process.stop()
    assert (tmp_path / "program.log").read_text() == "ready\nbye\n"
    assert not process.is_alive


def test_killing_a_program_kills_what_it_started(tmp_path: Path) -> None:
    launch = Launch(command=["sh", "-c", "sleep 600 & echo $!; wait"])
    process = spawn(launch, log=tmp_path / "program.log", directory=tmp_path)
    assert process
    assert wait_until(lambda: bool((tmp_path / "program.log").read_text()), 60.0)
    child = int((tmp_path / "program.log").read_text())
    process.kill()
    assert wait_until(lambda: not _runs(child), 60.0)


def test_a_pid_that_was_given_to_another_program_is_not_ours() -> None:
    assert not Process(pid=os.getpid(), born="another boot/1").is_alive


def test_a_copied_checkout_knows_no_services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "STATE", tmp_path)
    record = Record(service="kafka", provider="programs", address="127.0.0.1:20001", port=20_001, note="a broker")
    state.put(record)
    assert state.records() == {"kafka": record}
    monkeypatch.setattr(place, "CHECKOUT", tmp_path / "copy")
    assert state.records() == {}


def test_a_checkout_whose_services_are_a_link_to_anothers_deletes_nothing_of_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "theirs" / "kafka").mkdir(parents=True)
    (tmp_path / "ours").symlink_to(tmp_path / "theirs")
    monkeypatch.setattr(place, "STATE", tmp_path / "ours")
    with pytest.raises(NotOursError, match="remove the link"):
        place.clear("kafka")
    assert (tmp_path / "theirs" / "kafka").is_dir()


def test_a_start_error_shows_the_end_of_the_log_and_the_remedy(tmp_path: Path) -> None:
    log = tmp_path / "program.log"
    log.write_text("\n".join(f"line {number}" for number in range(100)))
    message = str(StartError("Kafka ended at its start", "Mend what its log says", log))
    assert "Mend what its log says" in message
    assert "line 99" in message
    assert "line 80" not in message


def _runs(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"
