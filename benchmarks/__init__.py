"""Measurements: `python -m benchmarks [NAME]` and `python -m benchmarks.faults [NAME]`, a JSON line each."""
