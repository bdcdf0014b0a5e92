from __future__ import annotations

import pytest

from asyncflow.integrations.kafka.topic_names import fault_of


@pytest.mark.parametrize("topic", ["a", "user.registered", "A_z-0.9", "...", "a" * 249])
def test_a_name_that_kafka_takes_has_no_fault(topic: str) -> None:
    assert fault_of(topic) is None


@pytest.mark.parametrize(
    ("topic", "fault"),
    [
        ("", "no empty name"),
        (".", "no dots alone"),
        ("..", "no dots alone"),
        ("a" * 250, "250 characters"),
        ("user registered", "' '"),
        ("user/registered", "'/'"),
        ("straße", "'ß'"),
        ("topic\n", r"'\n'"),
    ],
)
def test_a_name_that_kafka_does_not_take_is_told_with_its_fault(topic: str, fault: str) -> None:
    assert fault in (fault_of(topic) or "")
