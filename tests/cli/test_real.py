"""Commands on a real installation, as far as they need neither ZenML nor Dagster."""

import inspect
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fair_dagster.catalog.json.store import JsonStore
from fair_dagster.cli.root import root
from fair_dagster.domain.items.fields import DATASETS
from fair_dagster.domain.items.stac import ItemKey
from fair_dagster.domain.publication.changes import Change, ChangeSet
from fair_dagster.fair import Fair
from tests import factories
from tests.cli.fakes import FakeFair


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FAIR_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FAIR_OFFLINE", "true")
    return tmp_path / "home"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(root, list(arguments))


METHODS = [name for name, member in vars(FakeFair).items() if inspect.isfunction(member) and not name.startswith("_")]


@pytest.mark.parametrize("name", METHODS)
def test_the_fake_takes_what_the_real_one_takes(name: str) -> None:
    assert _shape(FakeFair, name) == _shape(Fair, name)


def _shape(owner: type, name: str) -> list[tuple[str, object, bool]]:
    """Names, kinds and whether there is a default; annotations and the defaults' own forms may differ."""
    parameters = inspect.signature(getattr(owner, name)).parameters.values()
    return [(p.name, p.kind, p.default is inspect.Parameter.empty) for p in parameters]


@pytest.mark.usefixtures("home")
def test_a_broken_base_model_folder_is_told_whole(tmp_path: Path) -> None:
    folder = tmp_path / "broken_model"
    folder.mkdir()
    (folder / "stac-item.json").write_text("{")
    (folder / "pipeline.py").write_text("def predict(session, input_images, params): ...\n")
    result = run("base-model", "validate", str(folder), "--json")
    assert result.exit_code == 1
    (found,) = json.loads(result.stdout)
    problems = "\n".join(found["problems"])
    assert "JSON" in problems
    assert "training_pipeline" in problems


@pytest.mark.usefixtures("home")
def test_an_unknown_base_model_folder_is_told_with_those_that_exist() -> None:
    result = run("base-model", "validate", "no-such-model")
    assert result.exit_code == 1
    assert "texture-segmentation" in result.stderr


def test_a_dataset_is_described_from_synthetic_chips(home: Path, tmp_path: Path) -> None:
    from fair_dagster.imagery.synthesize import synthesize

    town = synthesize(tmp_path / "town", chips=2, size=64)
    result = run(
        *("dataset", "create", "town", "--chips", str(town.train_chips), "--labels", str(town.labels)),
        "--synthetic",
    )
    assert result.exit_code == 0, result.output
    item = json.loads((town.labels.parent / "stac-item.json").read_text())
    assert item["id"] == "town"
    assert item["properties"]["label:methods"] == ["synthetic"]
    assert not home.exists(), "describing a dataset changes nothing at home"


@pytest.mark.usefixtures("home")
def test_a_dataset_that_cannot_be_used_is_refused_with_every_reason(tmp_path: Path) -> None:
    (tmp_path / "chips").mkdir()
    (tmp_path / "labels.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    arguments = ("--chips", str(tmp_path / "chips"), "--labels", str(tmp_path / "labels.geojson"))
    result = run("dataset", "create", "Bad/Slug", *arguments, "--json")
    assert result.exit_code == 1
    assert len(json.loads(result.stdout)["problems"]) >= 3
    assert not (tmp_path / "stac-item.json").exists()


def test_an_empty_catalog_is_shown_and_valid(home: Path) -> None:
    shown = json.loads(run("catalog", "show", "--json").stdout)
    assert shown["collections"] == {"base-models": [], "local-models": [], "datasets": []}
    assert run("catalog", "validate").exit_code == 0
    assert not home.exists(), "looking makes nothing"


def test_the_option_home_wins_over_the_environment(home: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shown = json.loads(run("--home", str(other), "catalog", "show", "--json").stdout)
    assert shown["catalog"] == str(other / "catalog")


@pytest.fixture
def damaged(home: Path) -> Path:
    """A catalog of two datasets, of which ``banepa`` is damaged."""
    store = JsonStore(home / "catalog")
    for slug in ("banepa", "town"):
        store.apply(ChangeSet((Change("create", ItemKey(DATASETS, slug), "registered", factories.dataset(slug)),)))
    path = Path(store.href(ItemKey(DATASETS, "banepa")))
    path.write_text(path.read_text()[:100])
    return path


@pytest.mark.usefixtures("damaged")
@pytest.mark.parametrize("command", [("dataset", "list"), ("catalog", "show")])
def test_a_damaged_item_is_told_and_the_others_are_shown(command: tuple[str, str]) -> None:
    result = run(*command, "--json")
    assert result.exit_code == 0
    assert "town" in result.stdout
    assert "datasets/banepa cannot be read" in result.stderr
    assert "fair-dagster catalog reconcile --repair" in result.stderr
    json.loads(result.stdout)


@pytest.mark.usefixtures("damaged")
def test_a_damaged_item_is_a_warning_in_python() -> None:
    with pytest.warns(UserWarning, match="datasets/banepa cannot be read"):
        (item,) = Fair().datasets()
    assert item["id"] == "town"
