"""Dagster runs: starting, watching and stopping them, why they failed, and which process executes them."""
