"""What is to be executed as one Dagster run; how stands in ``execution`` and ``elsewhere``."""

import importlib.util
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fair_dagster.domain.errors import RefusedError


def can_launch() -> bool:
    """Whether runs can be executed here: Dagster is installed, and so are the definitions, which no wheel contains."""
    return all(importlib.util.find_spec(name) is not None for name in ("dagster", "fair_dagster.definitions"))


@dataclass(frozen=True)
class Launch:
    """What to execute. ``assets`` narrows an asset job to some of its assets, each as path parts."""

    job: str
    partition: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    assets: Sequence[Sequence[str]] = ()
    run_id: str = field(default_factory=lambda: str(uuid.uuid4()))


def require_definitions(job: str) -> None:
    """Make sure that jobs can be executed here.

    Raises:
        RefusedError: Dagster or the definitions are not installed.
    """
    if not can_launch():
        problem = (
            "the wheel of fair-dagster leaves the definitions of Dagster jobs out: use a checkout (`make install`)"
        )
        raise RefusedError(f"job {job!r}", [problem])
