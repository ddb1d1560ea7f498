"""ZenML's model versions in memory, with the manners of the real ones that flows rely on."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from fair_dagster.domain.errors import FairError, NotFoundError
from fair_dagster.domain.versions import Stage, VersionRecord
from fair_dagster.pipelines.filenames import CHECKPOINT_FILENAME, ONNX_FILENAME

Records = list[VersionRecord]


class FakeVersions:
    """Stands for ``ModelVersions``: numbers are used again, and promoting archives the former production version."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._models: dict[str, Records] = {}
        self.broken: dict[str, FairError] = {}
        """Errors by method name, raised instead of doing anything."""

    def create(self, model_name: str, *, tags: Sequence[str] = ()) -> VersionRecord:
        self._check("create")
        known = self._models.setdefault(model_name, [])
        number = max((version.number for version in known), default=0) + 1
        now = datetime.now(UTC)
        known.append(VersionRecord(model_name, number, str(uuid4()), "none", now, now, {}, tuple(tags)))
        return known[-1]

    def train(self, name: str, number: int, **metadata: Any) -> VersionRecord:
        """What a training leaves: metadata, and artifacts in ZenML's store."""
        version = self.get(name, number)
        artifacts = {}
        for artifact, file in (("onnx_model", ONNX_FILENAME), ("trained_model", CHECKPOINT_FILENAME)):
            path = self.folder / version.uuid / artifact
            path.mkdir(parents=True)
            (path / file).write_bytes(f"{artifact} of {version.uuid}".encode())
            artifacts[artifact] = str(path)
        logged = {"fair/building_iou": 0.5, "fair/split": {"strategy": "spatial_block"}} | metadata
        return self.keep(replace(version, artifacts=artifacts, metadata={**version.metadata, **logged}))

    def log(self, version_uuid: str, metadata: Mapping[str, Any]) -> None:
        self._check("log")
        for versions in self._models.values():
            for version in versions:
                if version.uuid == version_uuid:
                    self.keep(replace(version, metadata={**version.metadata, **metadata}))
                    return
        raise NotFoundError(version_uuid, ["no such version"])

    def get(self, name: str, number: int) -> VersionRecord:
        self._check("get")
        for version in self._models.get(name, []):
            if version.number == number:
                return version
        raise NotFoundError(f"version {number} of {name!r}", ["there is no such version"])

    def list(self, name: str) -> Records:
        self._check("list")
        if name not in self._models:
            raise NotFoundError(f"model {name!r}", ["there is no such model"])
        return list(self._models[name])

    def list_many(self, names: Sequence[str]) -> dict[str, Records]:
        self._check("list_many")
        return {name: list(self._models[name]) for name in names if name in self._models}

    def families(self) -> tuple[str, ...]:
        return tuple(sorted(self._models))

    def requested_with(self, slug: str) -> Records:
        self._check("requested_with")
        records = [version for versions in self._models.values() for version in versions]
        return [record for record in records if slug in (record.request or {}).values()]

    def set_stage(self, name: str, number: int, stage: Stage) -> VersionRecord:
        self._check("set_stage")
        for version in self.list(name):
            if version.number != number and version.stage == stage and stage in {"production", "staging"}:
                self.keep(replace(version, stage="archived"))
        return self.keep(replace(self.get(name, number), stage=stage))

    def delete(self, name: str, number: int) -> None:
        self._check("delete")
        self._models[name].remove(self.get(name, number))

    def delete_model(self, name: str) -> None:
        del self._models[name]

    def stages(self, name: str) -> dict[int, Stage]:
        return {version.number: version.stage for version in self.list(name)}

    def keep(self, version: VersionRecord) -> VersionRecord:
        known = self._models[version.name]
        known[[other.number for other in known].index(version.number)] = version
        return version

    def _check(self, method: str) -> None:
        if method in self.broken:
            raise self.broken[method]
