"""Admission of requests that come in one moment."""

from __future__ import annotations

import asyncio

from asyncflow.integrations.flowsvr.door.admission import Admission


async def test_the_loop_looks_around_between_a_few_of_many_and_all_come_in_their_order() -> None:
    admission, begun, between = Admission(), list[int](), list[int]()

    async def request(number: int) -> None:
        await admission.take()
        begun.append(number)

    requests = [asyncio.create_task(request(number)) for number in range(500)]
    while len(begun) < 500:
        before = len(begun)
        await asyncio.sleep(0)
        between.append(len(begun) - before)
    await asyncio.gather(*requests)
    assert begun == list(range(500))
    assert max(between) <= 32


async def test_one_that_is_gone_takes_no_turn() -> None:
    admission = Admission()
    requests = [asyncio.create_task(admission.take()) for _ in range(100)]
    await asyncio.sleep(0)
    for request in requests[::2]:
        request.cancel()
    await asyncio.gather(*requests, return_exceptions=True)
    await asyncio.wait_for(admission.take(), 60)
