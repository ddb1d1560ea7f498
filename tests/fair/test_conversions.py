"""What ``Fair`` returns as pystac, pandas and GeoPandas have it."""

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from fair_dagster.domain.errors import RefusedError
from fair_dagster.domain.items.stac import Item, ItemKey
from fair_dagster.domain.publication.findings import Finding
from fair_dagster.fair import Fair, read_predictions, to_frame, to_pystac
from fair_dagster.oci.crawl.walking import FoundArtifact
from fair_dagster.oci.references import Reference
from fair_dagster.orchestration.runs.run import Run
from fair_dagster.settings import Settings
from tests.factories import EPOCH, base_model, dataset, version

SQUARE = {"type": "Polygon", "coordinates": [[[85.0, 27.0], [85.1, 27.0], [85.1, 27.1], [85.0, 27.0]]]}


@pytest.fixture
def fair(tmp_path: Path) -> Fair:
    return Fair(Settings(home=tmp_path / "home", offline=True))


def linked() -> Item:
    return dataset() | {"links": [{"rel": "derived_from", "href": "catalog://base-models/ramp-v1"}]}


def test_an_item_keeps_everything_as_pystac() -> None:
    item = base_model()
    before = json.dumps(item)
    found = to_pystac(item)
    assert found.id == item["id"]
    assert found.properties["version"] == item["properties"]["version"]
    assert set(found.assets) == set(item["assets"])
    assert json.dumps(item) == before


def test_an_installation_says_where_an_item_and_its_relatives_are(fair: Fair) -> None:
    found = to_pystac(linked(), fair)
    assert found.get_self_href() == fair.href(dataset())
    (link,) = found.get_links("derived_from")
    assert link.href == fair.services.catalog.href(ItemKey("base-models", "ramp-v1"))
    assert to_pystac(linked()).get_links("derived_from")[0].href == "catalog://base-models/ramp-v1"


def test_items_are_rows_with_times_numbers_and_degrees() -> None:
    rated = base_model("ramp", 2) | {"bbox": [85.0, 27.0, 1300.0, 85.1, 27.1, 1400.0]}
    rated["properties"]["fair:metrics"] = {"accuracy": 1}
    frame = to_frame([rated, dataset()])
    assert list(frame.index) == [rated["id"], dataset()["id"]]
    assert isinstance(frame["datetime"].dtype, pd.DatetimeTZDtype)
    assert str(frame["datetime"].dt.tz) == "UTC"
    assert frame["version"].dtype == "Int64"
    assert frame["metric accuracy"].dtype == "float64"
    assert frame.loc[rated["id"], ["west", "south", "east", "north"]].tolist() == [85.0, 27.0, 85.1, 27.1]
    assert pd.isna(frame.loc[dataset()["id"], "metric accuracy"])


def test_versions_are_rows_with_their_parents_and_metrics() -> None:
    frame = to_frame([version(1), version(2)])
    assert list(frame.index) == [version(1).id, version(2).id]
    assert frame["number"].dtype == "Int64"
    assert frame["base_model_version"].dtype == "Int64"
    assert frame["created"].dt.tz is not None
    metrics = version(1).training.metrics
    assert {name for name in frame.columns if name.startswith("metric ")} == {f"metric {name}" for name in metrics}


def test_runs_are_rows_with_their_seconds() -> None:
    ended = Run("a", "predict", "SUCCESS", None, "ramp", EPOCH, EPOCH + timedelta(seconds=75))
    begun = datetime.now(UTC) - timedelta(seconds=10)
    going = Run("b", "predict", "STARTED", None, "ramp", begun, None, progress=(3, 10, "epoch"))
    waiting = Run("c", "predict", "QUEUED", None, None, None, None)
    frame = to_frame([ended, going, waiting])
    assert frame.loc["a", "seconds"] == 75.0
    assert 10 <= frame.loc["b", "seconds"] < 60
    assert pd.isna(frame.loc["c", "seconds"])
    assert frame.loc["b", "done"] == 3
    assert frame["total"].dtype == "Int64"


def test_artifacts_and_findings_are_rows() -> None:
    document = {"registry": "r.example", "size": 7, "metadata": {"name": "ramp", "customProperties": {"accuracy": 0.9}}}
    artifact = FoundArtifact(Reference.parse("r.example/ramp:v1"), "sha256:" + "a" * 64, document)
    frame = to_frame([artifact])
    assert frame.loc["r.example/ramp:v1", "customProperties.accuracy"] == 0.9
    assert frame["size"].dtype == "Int64"
    assert to_frame([Finding("datasets", "banepa", "missing", "is gone")])["kind"].tolist() == ["missing"]


@pytest.mark.parametrize("rows", [[version(1), dataset()], ["ramp"]])
def test_rows_of_several_kinds_or_of_none_are_refused(rows: list[Any]) -> None:
    with pytest.raises(TypeError, match="rows are of one kind"):
        to_frame(rows)


def test_nothing_is_an_empty_table() -> None:
    assert to_frame([]).empty


@pytest.fixture
def drawn(tmp_path: Path) -> Path:
    path = tmp_path / "out.geojson"
    feature = {"type": "Feature", "geometry": SQUARE, "properties": {"confidence": 0.8}}
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    return path


def test_predictions_are_geometries_in_longitude_and_latitude(drawn: Path) -> None:
    pytest.importorskip("geopandas", reason="the extra `geo` is not installed")
    frame = read_predictions(drawn)
    assert frame.crs.to_epsg() == 4326
    assert frame["confidence"].tolist() == [0.8]
    assert frame.geometry.iloc[0].bounds == (85.0, 27.0, 85.1, 27.1)


def test_no_prediction_is_an_empty_table_of_geometries(tmp_path: Path) -> None:
    pytest.importorskip("geopandas", reason="the extra `geo` is not installed")
    path = tmp_path / "none.geojson"
    path.write_text('{"type": "FeatureCollection", "features": []}')
    assert (len(read_predictions(path)), read_predictions(path).crs.to_epsg()) == (0, 4326)


@pytest.mark.parametrize("text", ["{", "[]", "{}", None])
def test_a_file_without_features_is_refused(tmp_path: Path, text: str | None) -> None:
    pytest.importorskip("geopandas", reason="the extra `geo` is not installed")
    path = tmp_path / "out.geojson"
    if text is not None:
        path.write_text(text)
    with pytest.raises(RefusedError, match=r"out\.geojson"):
        read_predictions(path)


def test_without_geopandas_the_extra_is_named(drawn: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "geopandas", None)
    with pytest.raises(RefusedError, match=r"fair-dagster\[geo\]"):
        read_predictions(drawn)
