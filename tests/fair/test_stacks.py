"""``Fair.stacks``, on a ZenML that is a list."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from fair_dagster.domain.errors import RefusedError
from fair_dagster.fair import Fair
from fair_dagster.pipelines.zenml.stacks import StackRecord
from fair_dagster.settings import Settings

FILE = """
stack_name: team
components:
  orchestrator: {name: default, flavor: local}
  artifact_store: {name: bucket, flavor: s3, configuration: {path: "${BUCKET}"}}
"""


@dataclass
class FakeStacks:
    records: tuple[StackRecord, ...] = (StackRecord("default", "1", True, {}),)

    def all(self) -> tuple[StackRecord, ...]:
        return self.records

    def apply(self, wanted: Any) -> tuple[str, ...]:
        self.records += (StackRecord(wanted.name, "2", False, {}),)
        return (f"created stack {wanted.name}",)

    def use(self, name: str) -> StackRecord:
        self.records = tuple(replace(one, active=one.name == name) for one in self.records)
        return next(one for one in self.records if one.active)


@pytest.fixture
def fair(tmp_path: Path) -> Fair:
    found = Fair(Settings(home=tmp_path / "home"))
    found.services.__dict__["stacks"] = FakeStacks()
    return found


def test_a_file_is_applied_with_what_its_variables_are(fair: Fair, tmp_path: Path) -> None:
    path = tmp_path / "stack.yaml"
    path.write_text(FILE)
    with pytest.raises(RefusedError, match="BUCKET"):
        fair.stacks.apply(path, environment={})
    applied = fair.stacks.apply(path, environment={"BUCKET": "s3://fair"})
    assert (applied.stack.name, applied.stack.active, applied.changes) == ("team", False, ("created stack team",))


def test_a_stack_is_used_when_it_is_applied_or_later(fair: Fair, tmp_path: Path) -> None:
    path = tmp_path / "stack.yaml"
    path.write_text(FILE)
    assert fair.stacks.apply(path, use=True, environment={"BUCKET": "s3://fair"}).stack.active
    assert [one.active for one in fair.stacks.list()] == [False, True]
    assert fair.stacks.use("default").name == "default"
    assert fair.stacks.list()[0].active
