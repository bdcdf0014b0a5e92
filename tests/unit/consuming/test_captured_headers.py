"""Headers of a message that change data capture brought: all of them come in one, as JSON."""

from __future__ import annotations

import pytest

from asyncflow.consuming.received import headers_among

OTHERS = [("tenant", b"a"), ("gone", None)]


def test_captured_headers_are_as_a_relay_would_have_sent_them() -> None:
    captured = '{"message-id":"01a2","content-type":"application/json","tenant":"löwe"}'.encode()
    found = headers_among([("debezium", b"x"), ("asyncflow-headers", captured)])
    assert found == {
        "debezium": b"x",
        "message-id": b"01a2",
        "content-type": b"application/json",
        "tenant": "löwe".encode(),
    }


def test_headers_of_a_relay_are_as_they_came() -> None:
    assert headers_among(OTHERS) == {"tenant": b"a"}


@pytest.mark.parametrize("strange", [b"", b"{", b"[1]", b'{"message-id":1}', b"\xff"])
def test_what_is_no_object_of_texts_stays_as_it_came(strange: bytes) -> None:
    assert headers_among([*OTHERS, ("asyncflow-headers", strange)]) == {"tenant": b"a", "asyncflow-headers": strange}
