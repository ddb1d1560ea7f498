"""Whatever happens to the files of a catalog, a repair makes it what it was, or says what it could not restore."""

import copy
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fair_dagster.domain import items
from fair_dagster.domain.items.patches import is_managed_property
from fair_dagster.domain.items.stac import Item, ItemKey
from fair_dagster.flows.publication import patching
from fair_dagster.flows.reconciliation.artifacts import named_by
from fair_dagster.flows.reconciliation.repair import repair
from fair_dagster.flows.reconciliation.report import report
from fair_dagster.storage.local import describe
from tests.installations import DATASET, MODEL, NAME, Installation

KEYS = (
    ItemKey(items.BASE_MODELS, MODEL),
    ItemKey(items.BASE_MODELS, f"{MODEL}-v1"),
    ItemKey(items.DATASETS, DATASET),
    ItemKey(items.LOCAL_MODELS, f"{NAME}-v1"),
    ItemKey(items.LOCAL_MODELS, f"{NAME}-v2"),
)
Items = dict[ItemKey, Item]
HISTORY = frozenset({"fair:patched", items.ZENML_UID, "fair:promotion", "created", "updated"})
"""What only the item knows: which fields are a user's, of which version, promotion order, when it was written."""


@dataclass(repr=False)
class Whole:
    """An installation as it should be, and the way back to it."""

    installation: Installation
    kept: Path
    items: Items

    def reset(self) -> None:
        for name in ("catalog", "artifacts"):
            shutil.rmtree(self.home / name)
            shutil.copytree(self.kept / name, self.home / name)
        self.installation.versions.__dict__["_models"] = copy.deepcopy(self.models)

    @property
    def home(self) -> Path:
        return self.installation.services.settings.home

    def path(self, key: ItemKey) -> Path:
        return Path(self.installation.services.catalog.href(key))

    def now(self) -> Items:
        catalog = self.installation.services.catalog
        return {ItemKey(name, item["id"]): item for name in items.COLLECTIONS for item in catalog.items(name)}

    def __post_init__(self) -> None:
        self.models = copy.deepcopy(self.installation.versions.__dict__["_models"])


@pytest.fixture
def whole(installation: Installation, tmp_path: Path) -> Whole:
    installation.promote(installation.trained())
    (installation.folder / "README.md").write_text("another release")
    installation.register_base_model()
    installation.promote(installation.trained())
    for key in KEYS:
        patching.patch(installation.services, key.id, {"properties": {"fair:pinned": True}})
    assert report(installation.services) == []
    home = installation.services.settings.home
    for name in ("catalog", "artifacts"):
        shutil.copytree(home / name, tmp_path / "kept" / name)
    made = Whole(installation, tmp_path / "kept", {})
    made.items = made.now()
    assert set(made.items) == set(KEYS)
    return made


@dataclass(frozen=True)
class Damage:
    """What is done to one file: ``where`` picks among those it can be done to."""

    kind: str
    key: ItemKey
    where: int

    def do(self, whole: Whole) -> None:
        acts: dict[str, Callable[[Whole], object]] = {
            "truncate": self._truncate,
            "delete": lambda w: w.path(self.key).unlink(missing_ok=True),
            "alter": self._alter,
            "document": self._document,
            "orphan": self._orphan,
            "artifact": self._artifact,
        }
        acts[self.kind](whole)

    def _truncate(self, whole: Whole) -> None:
        path = whole.path(self.key)
        if path.exists():
            path.write_bytes(path.read_bytes()[: self.where])

    def _alter(self, whole: Whole) -> None:
        path = whole.path(self.key)
        try:
            item = json.loads(path.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return
        names = [name for name in sorted(item["properties"]) if is_managed_property(name) and name not in HISTORY]
        name = names[self.where % len(names)]
        if self.where % 2:
            del item["properties"][name]
        else:
            item["properties"][name] = "altered"
        path.write_text(json.dumps(item))

    def _document(self, whole: Whole) -> None:
        root = whole.home / "catalog"
        path = (root / "catalog.json", root / self.key.collection / "collection.json")[self.where % 2]
        if self.where % 3:
            path.unlink(missing_ok=True)
        elif path.exists():
            path.write_bytes(path.read_bytes()[: self.where])

    def _orphan(self, whole: Whole) -> None:
        item_id = f"ghost-v{self.where % 3 + 1}"
        path = whole.home / "catalog" / items.LOCAL_MODELS / item_id / f"{item_id}.json"
        path.parent.mkdir(exist_ok=True)
        item = json.loads((whole.kept / "catalog" / items.LOCAL_MODELS / f"{NAME}-v1" / f"{NAME}-v1.json").read_text())
        item["id"] = item_id
        item["properties"][items.ZENML_UID] = f"0000000{self.where}-gone"
        path.write_text(json.dumps(item))

    def _artifact(self, whole: Whole) -> None:
        named = named_by(whole.installation.services.artifacts, whole.items[self.key])
        path = Path(named[self.where % len(named)].artifact.href)
        if path.is_dir():
            path = sorted(file for file in path.rglob("*") if file.is_file())[0]
        if self.where % 2 and path.exists():
            path.unlink()
        else:
            path.write_bytes(b"changed")


damages = st.lists(
    st.builds(
        Damage,
        st.sampled_from(["truncate", "delete", "alter", "document", "orphan", "artifact"]),
        st.sampled_from(KEYS),
        st.integers(0, 400),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(done=damages)
def test_a_repair_restores_the_catalog_or_says_what_it_could_not(whole: Whole, done: list[Damage]) -> None:
    whole.reset()
    services = whole.installation.services
    for damage in done:
        damage.do(whole)
    unread = {damage.key for damage in done if damage.kind in {"truncate", "delete"}}

    repair(services, report(services))

    assert {key: _content(item) for key, item in whole.now().items()} == {
        key: _content(item, pinned=key not in unread) for key, item in whole.items.items()
    }
    told = {finding.target for finding in report(services)}
    assert told == _broken(whole)
    before = {path: path.read_bytes() for path in (whole.home / "catalog").rglob("*.json")}
    again = repair(services, report(services))
    assert [str(one) for one in again if not one.failed] == []
    assert {path: path.read_bytes() for path in (whole.home / "catalog").rglob("*.json")} == before


def _content(item: Item, *, pinned: bool = True) -> dict[str, Any]:
    """An item without when it was written, and without what its user wrote where no file was left to read it from."""
    dropped = {"updated", "created"} | (set() if pinned else {"fair:pinned", "fair:patched"})
    properties = {name: value for name, value in item["properties"].items() if name not in dropped}
    return item | {"properties": properties, "links": sorted(item["links"], key=str)}


def _broken(whole: Whole) -> set[str]:
    """The artifacts that are not what they were."""
    named = [
        one.artifact for item in whole.items.values() for one in named_by(whole.installation.services.artifacts, item)
    ]
    return {one.href for one in named if not Path(one.href).exists() or describe(Path(one.href)) != one}
