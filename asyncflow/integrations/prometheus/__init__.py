"""Metrics for Prometheus: counters and histograms from events, gauges from a look that is kept for a while."""

from asyncflow.integrations.prometheus.gauges import OutboxCollector
from asyncflow.integrations.prometheus.hook import PrometheusHook
from asyncflow.integrations.prometheus.messaging import PrometheusMessaging
from asyncflow.integrations.prometheus.page import MetricsPage
from asyncflow.integrations.prometheus.server import MetricsServer

__all__ = ["MetricsPage", "MetricsServer", "OutboxCollector", "PrometheusHook", "PrometheusMessaging"]
