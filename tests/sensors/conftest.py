"""The installation of the flows' tests, for sensors that act on one, and a Dagster instance in memory."""

from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import pytest

from tests.installations import bare, installation, make, town

__all__ = ["bare", "installation", "make", "town"]


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def act_on(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    """Let the resource give these services: Dagster makes a copy of it for each tick and run."""

    def give(services: Any) -> None:
        monkeypatch.setattr("fair_dagster.orchestration.resources.shared_services", lambda _: services)

    return give
