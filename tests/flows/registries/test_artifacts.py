"""Models of the catalog pushed to a real registry: what goes, what stays, and that equal content is an equal digest."""

import json
from pathlib import Path
from uuid import uuid4

import pytest

from fair_dagster.domain import items
from fair_dagster.domain.errors import NotFoundError, RefusedError
from fair_dagster.domain.registries.artifacts import model_card
from fair_dagster.flows.items import find
from fair_dagster.flows.registries.artifacts import push_item
from fair_dagster.oci.artifacts.forms import FAIR_MODEL
from fair_dagster.oci.artifacts.listing import look
from fair_dagster.oci.pulling import pull
from fair_dagster.oci.references import Reference
from fair_dagster.oci.registry.registries import Registries
from tests.installations import MODEL, NAME, Installation
from tests.services.servers import RegistryServer


@pytest.fixture
def registries(docker_registry: RegistryServer) -> Registries:
    return Registries((docker_registry.host,), lambda _: None)


@pytest.fixture
def place(docker_registry: RegistryServer) -> Reference:
    return Reference.parse(f"{docker_registry.host}/models/{uuid4().hex[:12]}:v1")


def test_a_promoted_model_goes_with_all_that_belongs_to_it(
    installation: Installation, registries: Registries, place: Reference, tmp_path: Path
) -> None:
    installation.promote(installation.trained())
    item = installation.active(items.LOCAL_MODELS, NAME)
    pushed = push_item(installation.services, NAME, place, registries=registries)
    assert pushed.manifest.artifact_type == FAIR_MODEL
    annotations = pushed.manifest.annotations
    assert annotations["org.opencontainers.image.title"] == NAME
    assert annotations["org.opencontainers.image.version"] == "1"
    assert annotations["org.opencontainers.image.created"] == item["properties"]["datetime"]

    found = look(registries, place).metadata
    assert found is not None
    assert found.customProperties["stac_id"] == item["id"]
    assert found.customProperties["base_model"] == MODEL
    assert found.customProperties | item["properties"]["fair:metrics"] == found.customProperties

    pull(registries, place, tmp_path / "out")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"stac-item.json", "README.md", "model.onnx"} < names
    pulled = json.loads((tmp_path / "out" / "stac-item.json").read_text())
    for key, asset in pulled["assets"].items():
        if asset["href"].startswith("./"):
            assert (tmp_path / "out" / asset["href"]).is_file(), key
    assert items.onnx_asset(pulled) is not None
    assert (tmp_path / "out" / "README.md").read_text() == model_card(item)


def test_a_model_that_is_pushed_again_stays_what_it_is_whatever_becomes_of_it(
    installation: Installation, registries: Registries, place: Reference
) -> None:
    installation.promote(installation.trained())
    item_id = installation.active(items.LOCAL_MODELS, NAME)["id"]
    first = push_item(installation.services, item_id, place, registries=registries)
    installation.promote(installation.trained())
    assert not items.is_active(find(installation.services.catalog, item_id))
    again = push_item(installation.services, item_id, place.with_tag("again"), registries=registries)
    assert (again.digest, again.uploaded) == (first.digest, 0)


def test_a_base_model_goes_with_its_own_card(
    installation: Installation, registries: Registries, place: Reference, tmp_path: Path
) -> None:
    push_item(installation.services, MODEL, place, registries=registries)
    pull(registries, place, tmp_path / "out")
    assert (tmp_path / "out" / "README.md").read_bytes() == (installation.folder / "README.md").read_bytes()
    assert (tmp_path / "out" / "checkpoint.skops").is_file()


def test_what_is_no_model_or_has_no_files_is_refused(
    installation: Installation, registries: Registries, place: Reference
) -> None:
    with pytest.raises(NotFoundError, match="town"):
        push_item(installation.services, "town", place, registries=registries)
    installation.promote(installation.trained())
    item = installation.active(items.LOCAL_MODELS, NAME)
    for asset in item["assets"].values():
        path = Path(asset["href"])
        if path.is_file() and path.is_relative_to(installation.services.settings.artifacts_path):
            path.unlink()
    with pytest.raises(RefusedError, match="asset model is gone") as raised:
        push_item(installation.services, NAME, place, registries=registries)
    assert len(raised.value.problems) > 1
    with pytest.raises(NotFoundError):
        registries.manifest(place)
