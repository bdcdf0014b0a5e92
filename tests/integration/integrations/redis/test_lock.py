"""A lock in Redis: one at a time, renewed while its holder lives; who has lost it knows, and has a lesser token."""

from __future__ import annotations

import os
import signal
import threading
import time
import uuid

import pytest
import redis

from asyncflow.errors import LockBusyError, LockLostError, UnreachableError
from asyncflow.integrations.redis import Lock
from tests.support.forking import Child
from tests.support.proxy import Proxy
from tests.support.redis_registry import own_redis, redis_at
from tests.unit.scheduler.waiting import eventually
from tools.services import ports
from tools.services.redis import Redis

pytestmark = pytest.mark.timeout(240)

SHORT = 1.0
LONG = 600.0


def lock(expires_after_seconds: float = LONG, url: str | None = None, name: str = "") -> Lock:
    name = name or f"send-mail-{uuid.uuid4().hex}"
    return Lock(url or redis_at(), name, expires_after_seconds=expires_after_seconds, namespace="asyncflow-test")


def is_busy(one: Lock) -> bool:
    try:
        one.acquire(wait_seconds=0).release()
    except (LockBusyError, UnreachableError):
        return True
    return False


def test_one_has_it_at_a_time_and_each_has_a_greater_token() -> None:
    one = lock()
    tokens = []
    for _ in range(3):
        with one.acquire() as hold:
            hold.require()
            assert hold.lasts
            with pytest.raises(LockBusyError, match=r"others had the lock 'send-mail-\w+' for 0 s"):
                one.acquire(wait_seconds=0)
            tokens.append(hold.token)
        assert not hold.lasts
    assert tokens == sorted(set(tokens))


def test_locks_of_two_names_are_two() -> None:
    with lock().acquire(), lock().acquire(wait_seconds=0):
        pass


def test_who_waits_has_it_when_it_is_given_back() -> None:
    one = lock()
    hold = one.acquire()
    tokens: list[int] = []
    waiting = threading.Thread(target=lambda: tokens.append(one.acquire(wait_seconds=LONG).token))
    waiting.start()
    assert not tokens
    hold.release()
    hold.release()
    waiting.join(120)
    assert tokens > [hold.token]


def test_of_many_who_want_it_each_has_it_alone() -> None:
    one, inside, most = lock(), [0], [0]

    def work() -> None:
        for _ in range(5):
            with one.acquire(wait_seconds=LONG):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                time.sleep(0.002)
                inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert most == [1]


def test_while_its_holder_lives_it_lasts_for_longer_than_its_expiry() -> None:
    one = lock(20.0)
    key = f"asyncflow-test:{{{one.name}}}:lock"
    with redis.Redis.from_url(redis_at()) as client, one.acquire() as hold:
        client.pexpire(key, 15_000)
        eventually(lambda: client.pttl(key) > 15_000)  # a third later
        assert hold.lasts


def test_of_one_who_is_killed_it_is_free_when_its_lease_ends_with_a_greater_token() -> None:
    one = lock(SHORT)

    def die() -> None:
        hold = one.acquire()
        with redis.Redis.from_url(redis_at()) as client:
            client.set(one.name, hold.token, ex=600)
        os.kill(os.getpid(), signal.SIGKILL)

    child = Child(die)
    os.waitpid(child.pid, 0)
    with redis.Redis.from_url(redis_at()) as client:
        assert one.acquire(wait_seconds=60).token > int(client.get(one.name) or 0) > 0


def test_one_who_is_stopped_past_its_expiry_knows_and_what_it_writes_by_its_token_is_refused() -> None:
    one, written = lock(SHORT), f"written-{uuid.uuid4().hex}"
    begun = f"begun-{uuid.uuid4().hex}"

    def write(text: str, token: int) -> bool:
        """Write into what compares tokens."""
        script = """
        if tonumber(redis.call('HGET', KEYS[1], 'token') or '0') > tonumber(ARGV[1]) then return 0 end
        redis.call('HSET', KEYS[1], 'token', ARGV[1], 'text', ARGV[2])
        return redis.call('EXPIRE', KEYS[1], 600)
        """
        with redis.Redis.from_url(redis_at()) as client:
            return bool(client.eval(script, 1, written, token, text))

    def work() -> tuple[bool, bool]:
        hold = one.acquire()
        with redis.Redis.from_url(redis_at()) as client:
            client.set(begun, 1, ex=600)
            client.blpop([f"{begun}-on"], 120)
        return hold.lasts, write("late", hold.token)

    child = Child(work)
    with redis.Redis.from_url(redis_at()) as client:
        eventually(lambda: client.get(begun))
        os.kill(child.pid, signal.SIGSTOP)
        hold = one.acquire(wait_seconds=60)
        assert write("mine", hold.token)
        client.rpush(f"{begun}-on", 1)
        os.kill(child.pid, signal.SIGCONT)
        assert child.result() == (False, False)
        assert client.hget(written, "text") == b"mine"


def test_one_who_is_cut_off_has_lost_it_before_another_can_have_it() -> None:
    with Proxy(Redis().endpoint(redis_at())) as proxy:
        one = lock(2.0, f"redis://{ports.LOOPBACK}:{proxy.port}/0")
        other = lock(2.0, name=one.name)
        hold = one.acquire()
        proxy.stall()
        proxy.refuse()
        assert other.acquire(wait_seconds=60).token > hold.token
        assert not hold.lasts
        with pytest.raises(LockLostError, match="not held any more"), hold:
            pass
        proxy.reset()
        proxy.resume()
        with pytest.raises(UnreachableError, match="Redis at 127"):
            one.acquire()


def test_what_a_redis_forgot_another_may_have_and_tokens_grow_all_the_same() -> None:
    with own_redis() as server:
        one = lock(3.0, server.url)
        hold = one.acquire()
        server.kill()
        server.start()
        eventually(lambda: not is_busy(one))
        with one.acquire() as later:
            assert later.token > hold.token
            eventually(lambda: not hold.lasts)
            hold.release()
            assert is_busy(one)


def test_an_error_of_the_work_is_told_and_not_the_loss() -> None:
    with own_redis() as server:
        hold = lock(SHORT, server.url).acquire()
        server.kill()
        eventually(lambda: not hold.lasts)
        with pytest.raises(ZeroDivisionError), hold:
            _ = 1 / 0


def test_a_child_of_a_fork_holds_nothing_and_gives_nothing_back() -> None:
    one = lock()
    hold = one.acquire()

    def in_child() -> tuple[bool, bool]:
        hold.release()
        return hold.lasts, is_busy(one)

    assert Child(in_child).result() == (False, True)
    assert hold.lasts
    hold.release()
    assert not is_busy(one)
