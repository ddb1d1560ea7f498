"""A process of its own for the crash tests: writes into a catalog and dies, or goes on until it is killed."""

import os
import signal
import sys
from pathlib import Path

from fair_dagster.catalog.json.store import JsonStore
from tests.catalog.sets import LOCAL, promotion


def die_at(step: int) -> None:
    """Promote version 2 of ``ramp`` and die without any clean-up at the ``step``-th checkpoint."""
    passed = 0

    def checkpoint(name: str) -> None:
        nonlocal passed
        passed += 1
        if passed == step:
            sys.stdout.write(name)
            sys.stdout.flush()
            os.kill(os.getpid(), signal.SIGKILL)

    store = JsonStore(Path(sys.argv[2]), checkpoint=checkpoint)
    store.apply(promotion(store, "ramp", 2))


def promote_many(count: int) -> None:
    """Promote one version after another and say after each which one was acknowledged."""
    store = JsonStore(Path(sys.argv[2]))
    present = len(store.family(LOCAL, "ramp"))
    for number in range(present + 1, present + 1 + count):
        store.apply(promotion(store, "ramp", number))
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()


def create_many(slug: str, count: int) -> None:
    from tests.catalog.sets import create

    store = JsonStore(Path(sys.argv[2]))
    for number in range(1, count + 1):
        store.apply(create(slug, number))


if __name__ == "__main__":
    if sys.argv[1] == "die":
        die_at(int(sys.argv[3]))
    elif sys.argv[1] == "promote":
        promote_many(int(sys.argv[3]))
    else:
        create_many(sys.argv[3], int(sys.argv[4]))
