"""What a lock is told is checked where it is made."""

from __future__ import annotations

from typing import Any

import pytest

from asyncflow.errors import OptionError
from asyncflow.integrations.redis import Lock

redis = pytest.importorskip("redis")

URL = "redis://user:s3cret@host/0"


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("url", "http://host"),
        ("name", ""),
        ("name", None),
        ("namespace", ""),
        ("expires_after_seconds", 0.5),
        ("expires_after_seconds", "3"),
        ("expires_after_seconds", True),
        ("client_options", {"socket_timeout": 1}),
        ("client_options", {"no_such_option": 1}),
    ],
)
def test_what_leads_nowhere_is_refused_by_its_name(option: str, value: Any) -> None:
    with pytest.raises(OptionError, match=next(iter(value)) if isinstance(value, dict) else option):
        Lock(**{"url": URL, "name": "send_mail", option: value})


@pytest.mark.parametrize("wait", [-1, None, "5", True])
def test_a_wait_that_is_none_is_refused_before_anything_is_asked(wait: Any) -> None:
    with pytest.raises(OptionError, match="wait_seconds"):
        Lock(URL, "send_mail").acquire(wait)
