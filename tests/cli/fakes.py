"""A ``Fair`` without catalog, ZenML or Dagster: it remembers what it was asked and answers from lists."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from fair_dagster.domain.errors import NotFoundError, PipelineError, RefusedError
from fair_dagster.domain.items.stac import Item
from fair_dagster.domain.lineage.graph import lineage
from fair_dagster.domain.publication.findings import Done, Finding
from fair_dagster.domain.slugs import split_version_id
from fair_dagster.domain.versions import VersionRecord
from fair_dagster.fair.catalog import Reconciled
from fair_dagster.fair.oci.registries import Oci
from fair_dagster.fair.workers import Workers
from fair_dagster.flows.base_models.branch import Commit
from fair_dagster.flows.base_models.merges import Followed, Merge
from fair_dagster.flows.base_models.registration import Validation, folders
from fair_dagster.flows.catalog import CheckedItem
from fair_dagster.flows.finetunes.comparison import compare
from fair_dagster.flows.lineage import FoundLineage
from fair_dagster.flows.reconciliation.report import table
from fair_dagster.flows.services import Services
from fair_dagster.imagery.synthesize import SyntheticDataset, synthesize
from fair_dagster.orchestration.runs.run import Run
from fair_dagster.pipelines.zenml.run_records import LogLine
from fair_dagster.settings import Settings
from tests.factories import EPOCH, base_model, dataset, version


def ended_run(**changes: Any) -> Run:
    """A run that ended well."""
    ended = Run(
        id="0123456789abcdef",
        job="finetune__ramp",
        status="SUCCESS",
        partition="ramp-nepal-v1",
        model="ramp-nepal",
        started=EPOCH,
        ended=EPOCH + timedelta(seconds=75),
    )
    return replace(ended, **changes)


@dataclass(frozen=True)
class FakeStarted:
    """A run that reports ``steps`` and then ends, or raises ``error``."""

    subject: str
    run_id: str = "run-1"
    steps: Sequence[tuple[int, int, str] | None] = (None, (1, 2, "epoch"), (1, 2, "epoch"), (2, 2, "epoch"))
    error: BaseException | None = None

    def wait(self, progress: Callable[[Any], None] | None = None) -> str:
        for step in self.steps:
            if progress is not None:
                progress(step)
        if self.error is not None:
            raise self.error
        return self.subject


@dataclass
class FakeFair:
    """Answers like ``fair_dagster.Fair``; ``asked`` holds the calls that would change something."""

    home: Path
    records: list[VersionRecord] = field(default_factory=list)
    run_records: list[Run] = field(default_factory=list)
    lines: list[LogLine] = field(default_factory=list)
    validations: dict[str, Validation] = field(default_factory=dict)
    findings: dict[str, list[CheckedItem]] = field(default_factory=dict)
    drifted: list[Finding] = field(default_factory=list)
    invalid: frozenset[str] = frozenset()
    error: BaseException | None = None
    unread: tuple[str, ...] = ()
    models_repo: str = ""
    has_definitions: bool = True
    asked: list[tuple[Any, ...]] = field(default_factory=list)

    @property
    def settings(self) -> Settings:
        if self.models_repo:
            return Settings(home=self.home, models_repo=self.models_repo)
        return Settings(home=self.home, models=self.home / "models")

    @cached_property
    def services(self) -> Services:
        return Services(self.settings)

    @cached_property
    def oci(self) -> Oci:
        """The real one: registries of tests are real."""
        return Oci(self.services)

    @cached_property
    def workers(self) -> Workers:
        return Workers(self.services)

    def base_model_folders(self) -> tuple[Path, ...]:
        return tuple(folders(self.settings.models))

    def synthetic_town(self, folder: Path | None = None, *, chips: int = 24) -> SyntheticDataset:
        return synthesize(folder or self.home / "demo-data", chips=chips)

    def _ask(self, *call: Any) -> None:
        self.asked.append(call)
        if self.error is not None and not isinstance(self.error, PipelineError):
            raise self.error

    def init(self) -> Path:
        self._ask("init")
        return self.home

    def validate_base_model(self, name: str, *, strict: bool = False) -> Validation:
        self._ask("validate", name, strict)
        return self.validations.get(name, Validation(name, (), (), ()))

    def register_base_model(self, name: str, *, strict: bool = False) -> Item:
        self._ask("register_base_model", name)
        if Path(name).name in self.invalid:
            raise RefusedError(name, ["is broken"])
        return base_model(Path(name).name)

    def sync_base_models(self) -> list[Followed]:
        self._ask("sync_base_models")
        merge = Merge("ramp", "ramp", Commit("c" * 40, "Improve ramp"), "key")
        if merge.folder in self.invalid:
            return [Followed(merge, "refused", ("is broken",))]
        return [Followed(merge, "version 2 is active")]

    def base_models(self, *, all_versions: bool = False) -> list[Item]:
        return [base_model("ramp")] + ([base_model("ramp-v1", deprecated=True)] if all_versions else [])

    def base_model(self, name: str) -> Item:
        return base_model(name)

    def create_dataset(self, spec: Any, output: Path) -> Path:
        self._ask("create_dataset", spec, output)
        return output

    def register_dataset(self, item_path: Path) -> Item:
        self._ask("register_dataset", item_path)
        return dataset("banepa")

    def datasets(self, *, all_versions: bool = False) -> list[Item]:
        return [dataset("banepa")]

    def dataset(self, name: str) -> Item:
        return dataset(name)

    def local_models(self, *, all_versions: bool = False) -> list[Item]:
        return []

    def finetune(self, ask: Any) -> FakeStarted:
        self._ask("finetune", ask)
        self.records = [*self.records, version(len(self.records) + 1, name=ask.model_name)]
        return FakeStarted(self.records[-1].id, error=self.error)

    def rerun(self, version_id: str) -> FakeStarted:
        self._ask("rerun", version_id)
        return FakeStarted(self.records[-1].id)

    def predict(
        self,
        model: str,
        images: Path,
        *,
        overrides: Mapping[str, Any] | None = None,
        output: Path | None = None,
        registries: Any = None,
    ) -> FakeStarted:
        self._ask("predict", model, images, dict(overrides or {}), output)
        path = output or self.home / "out.geojson"
        path.write_text('{"type": "FeatureCollection", "features": [{}, {}]}')
        return FakeStarted(str(path))

    def predict_here(
        self,
        model: str,
        images: Path,
        *,
        overrides: Mapping[str, Any] | None = None,
        output: Path | None = None,
        registries: Any = None,
    ) -> Path:
        drawn = self.predict(model, images, overrides=overrides, output=output, registries=registries)
        self.asked.append(("without a run",))
        return Path(drawn.subject)

    def register_artifact(self, reference: str) -> Item | None:
        self._ask("register_artifact", reference)
        return None if "plain" in reference else base_model("ramp", 3)

    def models(self) -> tuple[str, ...]:
        return tuple(sorted({record.name for record in self.records}))

    def versions(self, model_name: str) -> list[VersionRecord]:
        return [record for record in self.records if record.name == model_name]

    def version(self, version_id: str) -> VersionRecord:
        for record in self.records:
            if record.id == version_id:
                return record
        raise NotFoundError(f"version {version_id!r}", ["there is no such version", "there is v1"])

    def compare(self, version_ids: Sequence[str]) -> Any:
        return compare([self.version(version_id) for version_id in version_ids])

    def promote(self, version_id: str) -> Item:
        self._ask("promote", version_id)
        return base_model("ramp-nepal") | {"id": version_id, "collection": "local-models"}

    def archive(self, version_id: str) -> VersionRecord:
        self._ask("archive", version_id)
        return self.version(version_id)

    def delete(self, version_id: str) -> None:
        self._ask("delete", version_id)

    def can_start_runs(self) -> bool:
        return self.has_definitions

    def runs(self, limit: int = 20) -> list[Run]:
        return self.run_records[:limit]

    def run(self, run_id: str) -> Run:
        return self.run_records[0]

    def logs(
        self, run_id: str, *, step: str | None = None, tail: int | None = None, since: datetime | None = None
    ) -> list[LogLine]:
        self._ask("logs", run_id, step, tail, since)
        return self.lines

    def stop(self, run_id: str) -> Run:
        self._ask("stop", run_id)
        return self.run_records[0]

    def item(self, name: str) -> Item:
        return base_model(name)

    def patch(self, name: str, change: Mapping[str, Any]) -> Item:
        self._ask("patch", name, dict(change))
        return base_model(name)

    def href(self, item: Item) -> str:
        return f"/catalog/{item['collection']}/{item['id']}.json"

    def lineage(self, name: str, *, published_only: bool = False) -> FoundLineage:
        self._ask("lineage", name, published_only)
        published = [base_model("ramp"), dataset("banepa")]
        graph = lineage(published, self.records)
        roots = [key for key, node in graph.nodes.items() if name in (node.id, split_version_id(node.id)[0])]
        return FoundLineage(graph.around(roots), tuple(roots), unread=self.unread)

    def drift(self, *, checksums: bool = True, progress: Any = None) -> Any:
        return table(self.drifted)

    def reconcile(self, *, checksums: bool = True, all_deleted: bool = False, progress: Any = None) -> Any:
        self._ask("reconcile", checksums)
        done = tuple(
            Done(one.collection, one.item, "update" if one.item else "document", one.detail)
            for one in self.drifted
            if one.repair
        )
        return Reconciled(done, tuple(one for one in self.drifted if not one.repair))

    def refresh_collections(self) -> None:
        self._ask("refresh_collections")

    def validate_catalog(self, *, strict: bool = False) -> dict[str, list[CheckedItem]]:
        return self.findings
