"""Promoted models in a real registry: pushed once, named by their items, found missing and pushed again."""

import dataclasses
from collections.abc import Callable
from typing import cast
from uuid import uuid4

import pytest

from fair_dagster.domain import items
from fair_dagster.domain.errors import RefusedError, UnreachableError
from fair_dagster.domain.registries.assets import oci_href
from fair_dagster.domain.requests import OCI_KEY
from fair_dagster.flows import items as item_flow
from fair_dagster.flows.publication import families, patching
from fair_dagster.flows.reconciliation import repair, report
from fair_dagster.flows.registries import lineage
from fair_dagster.flows.registries.lineage import ARTIFACT, FINETUNE_TYPE, MODEL, base_of
from fair_dagster.flows.registries.publication import push_version, target_of
from fair_dagster.flows.services import Services
from fair_dagster.oci.artifacts.listing import look
from fair_dagster.oci.references import Reference
from fair_dagster.pipelines.zenml.model_versions import ModelVersions
from tests.installations import NAME, Installation
from tests.services.servers import RegistryServer


@pytest.fixture
def pushing(installation: Installation, docker_registry: RegistryServer) -> Installation:
    """The installation with a place of its own in a registry."""
    told = {
        "offline": False,
        # A registry that this setting names is trusted by it.
        "registries": (),
        "oci_repository": f"oci://{docker_registry.host}/{uuid4().hex[:8]}/",
    }
    services = Services(installation.services.settings.model_copy(update=told))
    services.__dict__["versions"] = cast(ModelVersions, installation.versions)
    return dataclasses.replace(installation, services=services)


def drift(pushing: Installation) -> list[tuple[str, str]]:
    found = report.report(pushing.services, report.DriftRequest((items.LOCAL_MODELS,)))
    return [(finding.item, finding.kind) for finding in found]


def test_a_promoted_version_is_pushed_once_and_its_item_names_it(pushing: Installation) -> None:
    version = pushing.trained()
    assert push_version(pushing.services, version.id).reference is None, "it is not published yet"
    pushing.promote(version)
    assert drift(pushing) == [(version.id, "unpushed artifact")]
    first = push_version(pushing.services, version.id)
    assert first.reference is not None
    assert first.uploaded > 0
    assert oci_href(pushing.active(items.LOCAL_MODELS, NAME)) == f"oci://{first.reference}"
    found = look(pushing.services.registries, first.reference)
    titles = {layer.title for layer in found.manifest.layers}
    assert {"model.onnx", "stac-item.json", "README.md", "training.yaml"} <= titles
    again = push_version(pushing.services, version.id)
    assert (again.reference, again.uploaded) == (first.reference, 0)
    assert drift(pushing) == []


def test_what_users_write_and_later_promotions_push_nothing_anew(pushing: Installation) -> None:
    first, second = pushing.trained(), pushing.trained()
    pushing.promote(first)
    pushed = push_version(pushing.services, first.id)
    patching.patch(pushing.services, first.id, {"properties": {"title": "Roofs"}})
    pushing.promote(second)
    again = push_version(pushing.services, first.id)
    assert (again.reference, again.uploaded) == (pushed.reference, 0)
    item = item_flow.find(pushing.services.catalog, first.id)
    assert oci_href(item) == f"oci://{pushed.reference}"
    assert not items.is_active(item)


def test_who_asks_for_the_referrers_of_a_base_model_finds_what_was_made_from_it(pushing: Installation) -> None:
    registries = pushing.services.registries
    versions = [pushing.trained(), pushing.trained()]
    for version in versions:
        pushing.promote(version)
        push_version(pushing.services, version.id)
        push_version(pushing.services, version.id)
    pushed = [f"{oci_href(item_flow.find(pushing.services.catalog, version.id))}" for version in versions]

    base = base_of(pushing.services.catalog, item_flow.find(pushing.services.catalog, versions[0].id))
    assert base is not None
    found = registries.referrers(target_of(pushing.services.settings, base))
    told = sorted((one.artifact_type, one.annotations[MODEL], one.annotations[ARTIFACT]) for one in found)
    assert told == [(FINETUNE_TYPE, version.id, href) for version, href in zip(versions, pushed, strict=True)]
    registries.delete_manifest(target_of(pushing.services.settings, base).at(found[0].digest))
    push_version(pushing.services, versions[0].id)
    push_version(pushing.services, versions[1].id)
    assert len(registries.referrers(target_of(pushing.services.settings, base))) == 2


def test_a_base_model_that_cannot_be_pushed_keeps_no_model_back(
    pushing: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = pushing.trained()
    pushing.promote(version)

    def refuse(*_: object, **__: object) -> None:
        raise RefusedError("push of ramp", ["its weights are gone"])

    monkeypatch.setattr(lineage, "push_item", refuse)
    outcome = push_version(pushing.services, version.id)
    assert outcome.reference is not None
    assert "its base model is not in the registry" in outcome.note
    assert "its weights are gone" in outcome.note


def test_docker_hub_is_one_place_however_it_is_spelled(pushing: Installation) -> None:
    pushing.promote(pushing.trained())
    for root in ("index.docker.io/fair", "docker.io/fair", "fair"):
        object.__setattr__(pushing.services.settings, "oci_repository", root)
        target = target_of(pushing.services.settings, pushing.active(items.LOCAL_MODELS, NAME))
        assert str(target) == f"docker.io/fair/{NAME}:v1"


def test_a_version_that_went_out_of_use_is_not_pushed_for_the_first_time(pushing: Installation) -> None:
    first, second = pushing.trained(), pushing.trained()
    pushing.promote(first)
    pushing.promote(second)
    assert push_version(pushing.services, first.id).reference is None
    assert drift(pushing) == [(second.id, "unpushed artifact")]


@pytest.mark.parametrize("lost", ["manifest", "asset", "repository"])
def test_reconciliation_finds_what_is_missing_and_repairs_it(pushing: Installation, lost: str) -> None:
    version = pushing.trained()
    pushing.promote(version)
    pushed = push_version(pushing.services, version.id).reference
    assert pushed is not None
    wanted: dict[str, tuple[str, Callable[[], None]]] = {
        "manifest": ("missing artifact", lambda: pushing.services.registries.delete_manifest(pushed)),
        "asset": ("altered", lambda: take_out_asset(pushing, version.id)),
        "repository": ("unpushed artifact", lambda: move_on(pushing)),
    }
    kind, lose = wanted[lost]
    lose()
    assert (version.id, kind) in drift(pushing)
    findings = report.report(pushing.services, report.DriftRequest((items.LOCAL_MODELS,)))
    assert not [one for one in repair.repair(pushing.services, findings) if one.failed]
    assert drift(pushing) == []
    href = oci_href(pushing.active(items.LOCAL_MODELS, NAME))
    assert href is not None
    assert pushing.services.registries.digest_of(Reference.parse(href)) == pushed.digest, "the content is the same"


def take_out_asset(pushing: Installation, item_id: str) -> None:
    from fair_dagster.domain.publication.drift import to_edit

    item = item_flow.find(pushing.services.catalog, item_id)
    without = item | {"assets": {key: asset for key, asset in item["assets"].items() if key != "oci"}}
    pushing.services.catalog.apply(to_edit(item, without))


def move_on(pushing: Installation) -> None:
    root = f"{pushing.services.settings.oci_repository.strip('/')}-moved"
    object.__setattr__(pushing.services.settings, "oci_repository", root)


def test_what_a_rollback_pushes_again_has_the_digest_that_others_have_pinned(pushing: Installation) -> None:
    first, second = pushing.trained(), pushing.trained()
    pushing.promote(first)
    pushed = push_version(pushing.services, first.id).reference
    assert pushed is not None
    pushing.promote(second)
    pushing.promote(first)
    pushing.services.registries.delete_manifest(pushed)
    assert push_version(pushing.services, first.id).reference == pushed


def test_a_push_that_was_cut_off_after_its_record_is_finished(pushing: Installation) -> None:
    version = pushing.trained()
    pushing.promote(version)
    pushed = push_version(pushing.services, version.id)
    take_out_asset(pushing, version.id)
    assert push_version(pushing.services, version.id).uploaded == 0
    assert oci_href(pushing.active(items.LOCAL_MODELS, NAME)) == f"oci://{pushed.reference}"


def test_a_registry_that_is_away_hinders_no_promotion_and_no_repair(pushing: Installation) -> None:
    first, second = pushing.trained(), pushing.trained()
    pushing.promote(first)
    push_version(pushing.services, first.id)
    away = Services(pushing.services.settings.model_copy(update={"oci_repository": "127.0.0.1:9/fair"}))
    away.__dict__["versions"] = pushing.services.versions
    families.set_stage(away, NAME, second.number, "production")
    families.recompute(away, NAME)
    with pytest.raises(UnreachableError):
        push_version(away, second.id)
    assert OCI_KEY not in pushing.versions.get(NAME, second.number).metadata
    assert oci_href(item_flow.find(away.catalog, second.id)) is None
    ask = report.DriftRequest((items.LOCAL_MODELS,))
    found = {finding.kind for finding in report.report(away, ask)}
    assert found == {"unpushed artifact"}


def test_an_artifact_of_a_deleted_version_stays_in_the_registry(pushing: Installation) -> None:
    version = pushing.trained()
    pushing.promote(version)
    pushed = push_version(pushing.services, version.id).reference
    assert pushed is not None
    pushing.versions.delete(NAME, version.number)
    families.recompute(pushing.services, NAME)
    assert pushing.published() == {}
    assert pushing.services.registries.digest_of(pushed) == pushed.digest
    # ZenML gives the number again: the next version is another artifact under the same tag.
    again = pushing.trained()
    pushing.promote(again)
    second = push_version(pushing.services, again.id).reference
    assert second is not None
    assert second.digest != pushed.digest
