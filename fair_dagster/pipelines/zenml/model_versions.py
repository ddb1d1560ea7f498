"""Model versions in ZenML's Model Control Plane: allocate, describe, stage, delete.

Rows become ``VersionRecord``; nothing of ZenML leaves this module. What a stage change means for the catalog
is decided elsewhere.
"""

import contextlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any
from uuid import UUID

from fair_dagster.domain.errors import NotFoundError, RefusedError
from fair_dagster.domain.versions import REQUEST_KEY, STAGES, Stage, VersionRecord, stage_of
from fair_dagster.pipelines.zenml.client import all_pages, aware, one_of, open_client, zenml_errors, zenml_moment
from fair_dagster.settings import Settings

if TYPE_CHECKING:
    from zenml.client import Client

# Aliases, because the method `list` hides the builtin in the annotations of its class.
Records = list[VersionRecord]
Ids = list[str]
# As many as fit into the 8 KiB that proxies before a server allow an address.
_LINKS_A_CALL = 100
_MODELS_A_CALL = 100


class ModelVersions:
    """Thin client. Every method may raise ``ServiceError`` when ZenML cannot be used.

    Names are matched whole: ZenML's own lookups fall back to a prefix, where a typing error would delete
    another model.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @cached_property
    def _client(self) -> "Client":
        return open_client(self._settings)

    def create(self, model_name: str, *, tags: Sequence[str] = ()) -> VersionRecord:
        """Allocate the next version number of ``model_name``; the model is made when it is new.

        Safe against another process doing the same: each gets a number of its own.
        """
        with self._calls():
            from zenml.exceptions import EntityExistsError

            if self._find_model(model_name) is None:
                with contextlib.suppress(EntityExistsError):
                    self._client.create_model(model_name, save_models_to_registry=False)
            model = self._model(model_name)
            version = self._client.create_model_version(model.id, tags=list(tags))
            return _record(version, model_name, {}, [])

    def log(self, version_uuid: str, metadata: Mapping[str, Any]) -> None:
        """Log ``metadata`` on a version. A key that exists gets the new value. Keys hold no ``:``."""
        with self._calls():
            from zenml import log_metadata

            log_metadata(dict(metadata), model_version_id=UUID(version_uuid))

    def get(self, name: str, number: int) -> VersionRecord:
        """One version.

        Raises:
            NotFoundError: no such model or number; the message lists what exists.
        """
        with self._calls():
            return self._records([self._version(name, number)])[0]

    def families(self, updated_since: datetime | None = None) -> tuple[str, ...]:
        """Names of all models, or of those of which a version was made or changed at or after a moment.

        Args:
            updated_since: aware; ZenML compares whole seconds, so a change may be named twice, never missed.
                Deleted versions are not seen this way.
        """
        with self._calls():
            if updated_since is None:
                return tuple(sorted(row.name for row in all_pages(self._client.list_models)))
            rows = all_pages(
                self._client.list_model_versions,
                updated=f"gte:{zenml_moment(updated_since)}",
                sort_by="asc:updated",
            )
            return tuple(sorted({row.model.name for row in rows}))

    def set_stage(self, name: str, number: int, stage: Stage) -> VersionRecord:
        """Move a version to a stage; nothing happens when it is there.

        ZenML itself archives the version that held ``production`` or ``staging`` before.

        Raises:
            NotFoundError: no such version.
            RefusedError: no such stage, or ZenML would archive another version along the way.
        """
        if stage not in STAGES:
            raise RefusedError("stage", [f"{stage!r} is none of {', '.join(STAGES)}"])
        with self._calls():
            row = self._version(name, number)
            if stage_of(row.stage) != stage:
                if stage == "none":
                    self._refuse_second_demotion(row)
                self._client.update_model_version(row.model.id, row.id, stage=stage, force=True)
        return self.get(name, number)

    def delete(self, name: str, number: int) -> None:
        """Delete a version. ZenML gives its number to the next one when it was the highest."""
        with self._calls():
            self._client.delete_model_version(self._version(name, number).id)

    def delete_model(self, name: str) -> None:
        """Delete a model with all its versions."""
        with self._calls():
            self._client.delete_model(self._model(name).id)

    def list(self, name: str) -> Records:
        """Every version of a model, lowest number first; empty for a model without versions.

        Raises:
            NotFoundError: no such model.
        """
        with self._calls():
            return self._records(self._rows(self._model(name)))

    def requested_with(self, slug: str) -> Records:
        """Versions whose finetune request holds the name ``slug``, in one listing; without artifacts and runs.

        ZenML compares the request as text, so a version may be among them that holds the name elsewhere.
        """
        with self._calls():
            asked = [f'{REQUEST_KEY}:contains:"{slug}"']
            rows = all_pages(self._client.list_model_versions, run_metadata=asked, sort_by="asc:created", hydrate=True)
        return [_record(row, row.model.name, {}, ()) for row in rows]

    def list_many(self, names: Sequence[str]) -> dict[str, Records]:
        """Every version of many models, in a handful of calls. A model that ZenML does not know is left out."""
        found: dict[str, Records] = {}
        with self._calls():
            for start in range(0, len(names), _MODELS_A_CALL):
                chosen = one_of(names[start : start + _MODELS_A_CALL])
                models = {row.id: row.name for row in all_pages(self._client.list_models, name=chosen)}
                found |= {name: [] for name in models.values()}
                if models:
                    filters = {"model": one_of(models), "sort_by": "asc:number", "hydrate": True}
                    for record in self._records(all_pages(self._client.list_model_versions, **filters)):
                        found[record.name].append(record)
        return found

    @contextlib.contextmanager
    def _calls(self) -> Iterator[None]:
        # The client is opened first: it sets the environment that ZenML reads when imported.
        _ = self._client
        with zenml_errors():
            yield

    def _find_model(self, name: str) -> Any | None:
        rows = self._client.list_models(name=f"equals:{name}", size=1).items
        return rows[0] if rows else None

    def _model(self, name: str) -> Any:
        model = self._find_model(name)
        if model is None:
            known = [row.name for row in all_pages(self._client.list_models)]
            raise NotFoundError(f"model {name!r}", [_existing("there is no such model", sorted(known))])
        return model

    def _rows(self, model: Any) -> Sequence[Any]:
        return all_pages(self._client.list_model_versions, model=model.id, sort_by="asc:number", hydrate=True)

    def _version(self, name: str, number: int) -> Any:
        model = self._model(name)
        rows = self._client.list_model_versions(model=model.id, number=number, hydrate=True).items
        if not rows:
            known = [f"v{row.number}" for row in self._rows(model)]
            raise NotFoundError(f"version {number} of {name!r}", [_existing("there is no such version", known)])
        return rows[0]

    def _refuse_second_demotion(self, row: Any) -> None:
        # To ZenML a demoted version ("none") is not the same as one that was never staged (no stage), and it
        # holds at most one of them: with force it would archive the other.
        demoted = [other.number for other in self._rows(row.model) if other.stage == "none"]
        if demoted:
            raise RefusedError(
                "stage change",
                [f"ZenML keeps one demoted version a model, now v{demoted[0]}: archive v{row.number}"],
            )

    def _records(self, rows: Sequence[Any]) -> Records:
        """Records with artifacts and runs, in two calls for up to 100 versions instead of two a version."""
        artifacts: dict[UUID, dict[str, str]] = defaultdict(dict)
        runs: dict[UUID, Ids] = defaultdict(Ids)
        for start in range(0, len(rows), _LINKS_A_CALL):
            chosen = one_of(row.id for row in rows[start : start + _LINKS_A_CALL])
            filters = {"model_version_id": chosen, "sort_by": "asc:created"}
            for link in all_pages(self._client.list_model_version_artifact_links, **filters):
                artifact = link.artifact_version
                artifacts[link.model_version][artifact.artifact.name] = artifact.uri
            for link in all_pages(self._client.list_model_version_pipeline_run_links, **filters):
                runs[link.model_version].append(str(link.pipeline_run.id))
        return [_record(row, row.model.name, artifacts[row.id], runs[row.id]) for row in rows]


def _record(row: Any, name: str, artifacts: Mapping[str, str], run_ids: Sequence[str]) -> VersionRecord:
    return VersionRecord(
        name=name,
        number=row.number,
        uuid=str(row.id),
        stage=stage_of(row.stage),
        created=aware(row.created),
        updated=aware(row.updated),
        metadata=dict(row.run_metadata),
        tags=tuple(sorted(tag.name for tag in row.tags)),
        artifacts=dict(artifacts),
        run_ids=tuple(run_ids),
    )


def _existing(problem: str, known: Sequence[str]) -> str:
    shown = ", ".join(known[:20]) + (f" and {len(known) - 20} more" if len(known) > 20 else "")
    return f"{problem}; there is {shown}" if known else f"{problem}; there is none yet"
