"""The ZenML side: what a model developer imports, the client for runs and model versions, and the runner.

``inputs``, ``materializers`` and ``metadata`` are for pipelines; everything else is for this system. Nothing here knows
Dagster, the catalog or an item.
"""
