"""Measure every figure of the README: ``python -m benchmarks NAME [--json] [--seconds N]``."""
