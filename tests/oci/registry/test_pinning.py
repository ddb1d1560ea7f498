"""Base models whose images are pinned to digests at registration, against Debian's registry."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from fair_dagster.domain import items
from fair_dagster.domain.errors import RefusedError
from fair_dagster.domain.items.images import IMAGE, image_of
from fair_dagster.domain.items.stac import Item
from fair_dagster.domain.publication.findings import Finding
from fair_dagster.domain.training_config import docker_settings
from fair_dagster.flows.base_models import registration
from fair_dagster.flows.reconciliation.repair import repair
from fair_dagster.flows.reconciliation.report import DriftRequest, report
from fair_dagster.flows.services import Services
from tests.installations import MODEL, Installation
from tests.oci.servers import push_image, remove_image
from tests.services.servers import RegistryServer

IMAGES = ("unpinned image", "missing image", "unchecked image")
Made = tuple[Installation, Callable[..., Item]]


@pytest.fixture
def made(make: Callable[[], Installation], docker_registry: RegistryServer) -> Made:
    """An installation that may ask the registry, and registers the base model with an image for training."""
    installation = asking(make(), docker_registry.host)

    def register(href: str, warn: Callable[[str], None] = lambda _: None, **fields: Any) -> Item:
        path = installation.folder / "stac-item.json"
        item = json.loads(path.read_text())
        image = {"href": href, "type": "application/vnd.oci.image.index.v1+json", **fields}
        item["assets"]["training-runtime"] |= image
        path.write_text(json.dumps(item))
        registration.register(installation.services, installation.folder, warn=warn)
        return installation.active(items.BASE_MODELS, MODEL)

    return installation, register


def image_findings(installation: Installation) -> list[Finding]:
    found = report(installation.services, DriftRequest(checksums=False))
    assert [finding for finding in found if finding.kind not in IMAGES] == []
    return found


def asking(installation: Installation, *registries: str) -> Installation:
    """The same installation, that asks registries. Schemas stay those of the tests' cache."""
    services = Services(installation.services.settings.model_copy(update={"offline": False, "registries": registries}))
    services.__dict__["versions"] = installation.services.versions
    services.__dict__["validator"] = installation.services.validator
    return replace(installation, services=services)


def test_an_image_is_pinned_beside_the_tag_and_stays_where_the_tag_moves(
    made: Made, docker_registry: RegistryServer
) -> None:
    installation, register = made
    digest = push_image(docker_registry.url, "team/moving", "v1", "first")
    asked = f"docker://{docker_registry.host}/team/moving:v1"
    item = register(asked)
    asset = item["assets"]["training-runtime"]
    assert asset["href"] == asked
    assert asset[IMAGE] == f"{docker_registry.host}/team/moving@{digest}"
    assert docker_settings(item, items.TRAINING) == {"parent_image": asset[IMAGE], "skip_build": True}
    assert image_findings(installation) == []

    push_image(docker_registry.url, "team/moving", "v1", "second")
    assert register(asked) == item
    assert image_findings(installation) == []


def test_what_an_author_writes_into_the_field_of_the_pin_does_not_count(
    made: Made, docker_registry: RegistryServer
) -> None:
    _, register = made
    digest = push_image(docker_registry.url, "team/faked", "v1")
    item = register(f"{docker_registry.host}/team/faked:v1", **{IMAGE: "evil.example/x@sha256:" + "0" * 64})
    assert item["assets"]["training-runtime"][IMAGE] == f"{docker_registry.host}/team/faked@{digest}"


def test_a_reference_by_digest_is_its_own_pin(made: Made, docker_registry: RegistryServer) -> None:
    _, register = made
    digest = push_image(docker_registry.url, "team/exact", "v1")
    item = register(f"oci://{docker_registry.host}/team/exact:v1@{digest}")
    assert item["assets"]["training-runtime"][IMAGE] == f"{docker_registry.host}/team/exact@{digest}"


def test_an_image_that_is_built_after_the_merge_is_pinned_by_a_repair(
    made: Made, docker_registry: RegistryServer
) -> None:
    installation, register = made
    warnings: list[str] = []
    asked = f"{docker_registry.host}/team/late:v1"
    item = register(asked, warnings.append)
    assert IMAGE not in item["assets"]["training-runtime"]
    assert "has no such image" in warnings[0]
    (finding,) = image_findings(installation)
    assert (finding.kind, finding.is_error) == ("unpinned image", False)
    (failed,) = repair(installation.services, [finding])
    assert failed.failed
    assert "has no such image" in failed.reason

    digest = push_image(docker_registry.url, "team/late", "v1")
    assert [done.action for done in repair(installation.services, image_findings(installation))] == ["update"]
    pinned = installation.active(items.BASE_MODELS, MODEL)
    assert image_of(pinned["assets"]["training-runtime"]) == f"{docker_registry.host}/team/late@{digest}"
    assert image_findings(installation) == []


def test_registering_again_pins_what_could_not_be_pinned(made: Made, docker_registry: RegistryServer) -> None:
    installation, register = made
    asked = f"{docker_registry.host}/team/again:v1"
    register(asked)
    digest = push_image(docker_registry.url, "team/again", "v1")
    item = register(asked)
    assert item["assets"]["training-runtime"][IMAGE] == f"{docker_registry.host}/team/again@{digest}"
    assert item["properties"]["version"] == "1"
    assert image_findings(installation) == []


def test_a_digest_that_vanished_is_found(made: Made, docker_registry: RegistryServer) -> None:
    installation, register = made
    digest = push_image(docker_registry.url, "team/vanished", "v1", "vanished")
    register(f"{docker_registry.host}/team/vanished:v1")
    remove_image(docker_registry.url, "team/vanished", digest)
    (finding,) = image_findings(installation)
    assert (finding.kind, finding.is_error, finding.repair) == ("missing image", True, "")
    assert digest in finding.detail


def test_a_registry_that_is_away_makes_no_image_a_missing_one(made: Made, docker_registry: RegistryServer) -> None:
    installation, register = made
    push_image(docker_registry.url, "team/away", "v1")
    register(f"{docker_registry.host}/team/away:v1")
    (finding,) = image_findings(asking(installation))
    assert (finding.kind, finding.is_error) == ("unchecked image", False)
    assert "not a public address" in finding.detail


def test_strict_registration_refuses_what_cannot_be_pinned(made: Made, docker_registry: RegistryServer) -> None:
    installation, register = made
    with pytest.raises(RefusedError, match="is no name of a repository"):
        register(f"{docker_registry.host}/Team/Image:v1")
    register(f"{docker_registry.host}/team/none:v1")
    with pytest.raises(RefusedError, match=r"is not pinned to a digest: registry .* has no such image"):
        registration.register(installation.services, installation.folder, strict=True)


def test_offline_no_registry_is_asked(bare: Installation) -> None:
    path = bare.folder / "stac-item.json"
    item = json.loads(path.read_text())
    item["assets"]["training-runtime"] |= {"href": "ghcr.io/team/image:v1", "type": "application/vnd.oci.image.index"}
    path.write_text(json.dumps(item))
    warnings: list[str] = []
    registration.register(bare.services, bare.folder, warn=warnings.append)
    assert warnings == [
        "image ghcr.io/team/image:v1 is not pinned to a digest: no registry is asked while FAIR_OFFLINE is set"
    ]
    (finding,) = image_findings(bare)
    assert finding.kind == "unpinned image"


@pytest.fixture
def bare(make: Callable[[], Installation]) -> Installation:
    return make()
