"""Where a thread waits, as Linux tells it: of drivers that connect inside C, nothing in Python knows the socket yet."""

from __future__ import annotations

import os
import platform
import sys
import threading
from contextlib import suppress
from typing import NamedTuple


class _SystemCalls(NamedTuple):
    """Hold the numbers of system calls: those that name a descriptor first, and those that point at a list of them."""

    on_one: frozenset[int]
    on_list: frozenset[int]


# read, write, connect, sendto, recvfrom, recvmsg; poll and ppoll.
_CALLS = {
    "x86_64": _SystemCalls(frozenset({0, 1, 42, 44, 45, 47}), frozenset({7, 271})),
    "aarch64": _SystemCalls(frozenset({63, 64, 203, 206, 207, 212}), frozenset({73})),
}


class KernelWait:
    """Name the file descriptor that a thread waits for in a system call, each time as it is asked."""

    def __init__(self, thread: int) -> None:
        self._thread = thread

    def fileno(self) -> int:
        """Return the descriptor; -1 where that cannot be told. The thread may go on the next moment."""
        calls = _CALLS.get(platform.machine()) if sys.platform == "linux" else None
        number = _native_id(self._thread)
        if calls is None or number is None:
            return -1
        with suppress(OSError, ValueError):  # it has ended, or the kernel does not tell
            with open(f"/proc/self/task/{number}/syscall", encoding="ascii") as file:
                words = file.read().split()
            if len(words) > 2 and words[0].isdecimal():  # else it runs
                return _descriptor_of(calls, int(words[0]), int(words[1], 16), int(words[2], 16))
        return -1


def _descriptor_of(calls: _SystemCalls, call: int, first: int, second: int) -> int:
    """Return what a system call with these two arguments waits for, -1 if it is none of the known ones."""
    if call in calls.on_one:
        return first
    return _first_of_list(first) if call in calls.on_list and second > 0 else -1


def _native_id(thread: int) -> int | None:
    return next((one.native_id for one in threading.enumerate() if one.ident == thread), None)


def _first_of_list(address: int) -> int:
    """Read the first descriptor of poll's list; through a file, for the thread's memory may be gone by now."""
    memory = os.open("/proc/self/mem", os.O_RDONLY)
    try:
        return int.from_bytes(os.pread(memory, 4, address), sys.byteorder, signed=True)
    finally:
        os.close(memory)
