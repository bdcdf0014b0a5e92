"""httpx tells of each request at INFO: of ours nobody hears, of the application's own as before."""

from __future__ import annotations

import logging

import httpx
import pytest

from asyncflow.integrations.flowsvr.client.link import ServiceLink
from asyncflow.integrations.flowsvr.client.settings import ClientSettings


def answer(_: httpx.Request) -> httpx.Response:
    return httpx.Response(200, json={})


def test_our_requests_are_not_in_the_applications_log(caplog: pytest.LogCaptureFixture) -> None:
    transport = httpx.MockTransport(answer)
    link = ServiceLink(ClientSettings(server="http://tasks"), transport)
    with caplog.at_level(logging.INFO), httpx.Client(transport=transport) as own:
        for _ in range(3):
            link.request("GET", "/v2/tasks")
            own.get("http://shop/users")
    link.close()
    told = [record.getMessage() for record in caplog.records if record.name == "httpx"]
    assert len(told) == 3
    assert all("http://shop/users" in line for line in told)
