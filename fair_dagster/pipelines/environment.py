"""Forwards ``prepare`` to ``pipelines.zenml.environment``: tests of model folders import it by this path."""

from fair_dagster.pipelines.zenml.environment import prepare

__all__ = ["prepare"]
