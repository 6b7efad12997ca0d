"""Spans and log records as probes: a receiver for OTLP beside the runner."""

#: Names the address of the runner in the environment of the receiver.
CONTROL = "TESTRIUM_OTLP_CONTROL"
