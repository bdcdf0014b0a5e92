"""How events and messages are told of as metrics and traces; of messages by OpenTelemetry's conventions, v1.44."""
