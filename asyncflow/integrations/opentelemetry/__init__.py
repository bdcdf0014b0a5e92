"""Traces and metrics for OpenTelemetry, by its conventions for messaging; needs its API alone."""

from asyncflow.integrations.opentelemetry.metrics import OpenTelemetryHook, OpenTelemetryMessaging
from asyncflow.integrations.opentelemetry.tracing import Tracing

__all__ = ["OpenTelemetryHook", "OpenTelemetryMessaging", "Tracing"]
