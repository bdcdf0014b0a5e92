"""The conformance suite of publishers: what each has to hold, asked of yours by tests that you inherit."""

from __future__ import annotations

from asyncflow.testing.publisher_suite.broker import BrokerUnderTest
from asyncflow.testing.publisher_suite.suite import PublisherSuite

__all__ = ["BrokerUnderTest", "PublisherSuite"]
