"""A process of its own: promotes versions of a family, or repairs a catalog, on ZenML's versions in one shared file."""

import os
import pickle
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from filelock import FileLock

from fair_dagster.catalog.json.store import JsonStore
from fair_dagster.flows.publication import families
from fair_dagster.flows.reconciliation.repair import repair
from fair_dagster.flows.reconciliation.report import report
from fair_dagster.flows.services import Services
from fair_dagster.pipelines.zenml.model_versions import ModelVersions
from fair_dagster.settings import Settings
from tests.flows.fakes import FakeVersions


class SharedVersions(FakeVersions):
    """``FakeVersions`` in a file, so that several processes see one ZenML. Each call is one transaction."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._file = folder / "versions.pickle"
        self._lock = FileLock(folder / "versions.lock")
        folder.mkdir(exist_ok=True)

    @contextmanager
    def _open(self) -> Iterator[None]:
        with self._lock:
            outermost = self._lock.lock_counter == 1
            if outermost and self._file.exists():
                self._models = pickle.loads(self._file.read_bytes())
            yield
            if outermost:
                self._file.write_bytes(pickle.dumps(self._models))


def _shared(name: str) -> Callable[..., Any]:
    method = getattr(FakeVersions, name)

    def call(self: SharedVersions, *arguments: Any, **options: Any) -> Any:
        with self._open():
            return method(self, *arguments, **options)

    return call


for _name in (
    "create",
    "train",
    "log",
    "get",
    "list",
    "list_many",
    "families",
    "requested_with",
    "set_stage",
    "delete",
):
    setattr(SharedVersions, _name, _shared(_name))


def services_of(home: Path, models: Path, schemas: Path, versions: Path) -> Services:
    services = Services(Settings(home=home, models=models, schema_cache=schemas, offline=True, catalog=""))
    services.__dict__["versions"] = cast(ModelVersions, SharedVersions(versions))
    return services


def promote(services: Services, name: str, number: int, rounds: int) -> None:
    """Promote one version again and again, against whoever promotes another."""
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    for _ in range(rounds):
        families.set_stage(services, name, number, "production")
        families.recompute(services, name)


def repair_until(services: Services, step: int) -> None:
    """Repair, and die without any clean-up at the ``step``-th checkpoint of the catalog."""
    passed = 0

    def checkpoint(_: str) -> None:
        nonlocal passed
        passed += 1
        if passed == step:
            os.kill(os.getpid(), signal.SIGKILL)

    services.__dict__["catalog"] = JsonStore(services.settings.catalog_path, checkpoint=checkpoint)
    repair(services, report(services))


if __name__ == "__main__":
    act, *paths = sys.argv[1:6]
    opened = services_of(*map(Path, paths))
    if act == "promote":
        promote(opened, sys.argv[6], int(sys.argv[7]), int(sys.argv[8]))
    else:
        repair_until(opened, int(sys.argv[6]))
