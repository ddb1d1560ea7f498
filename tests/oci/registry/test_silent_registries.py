"""A registry that does not answer is waited for once."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from fair_dagster.domain.errors import ServiceError, UnreachableError
from fair_dagster.domain.items.images import IMAGE
from fair_dagster.domain.publication.changes import ChangeSet
from fair_dagster.domain.publication.desired import slug_of
from fair_dagster.flows.base_models.images import find_pins, image_findings
from fair_dagster.flows.publication import road
from fair_dagster.flows.reconciliation.repair import repair
from fair_dagster.flows.services import Services
from fair_dagster.oci.references import Reference
from tests.factories import base_model

DIGEST = "sha256:" + "a" * 64
IMAGES = [f"{host}/model-{n}" for host in ("dead.example.org", "strict.example.org") for n in range(3)]


class Registries:
    """One that never answers, and one that refuses each image by itself."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def digest_of(self, reference: Reference) -> str:
        self.asked.append(reference.registry)
        if reference.registry == "dead.example.org":
            raise UnreachableError("registry dead.example.org cannot be asked: timed out")
        raise ServiceError("registry strict.example.org does not let it be read (401)")


def asking(registries: Registries) -> Services:
    return cast(
        Services, SimpleNamespace(settings=SimpleNamespace(offline=False), registries=registries, artifacts=None)
    )


def model(number: int, image: str) -> dict[str, Any]:
    item = base_model(f"model-{number}")
    item["assets"]["mlm:training"] |= {"href": f"docker://{image}:v1", IMAGE: f"{image}@{DIGEST}"}
    return item


def test_reconciliation_asks_a_registry_that_does_not_answer_once_and_others_for_each_image() -> None:
    registries = Registries()
    models = [model(number, image) for number, image in enumerate(IMAGES)]
    found = image_findings(
        asking(registries).registries, asking(registries).settings, models, ["base-models"], lambda *_: None
    )
    assert registries.asked == ["dead.example.org"] + 3 * ["strict.example.org"]
    assert [finding.kind for finding in found] == 6 * ["unchecked image"]
    assert "did not answer before" in found[1].detail


def test_a_repair_asks_a_registry_that_does_not_answer_once_for_all_models(monkeypatch: pytest.MonkeyPatch) -> None:
    registries = Registries()
    models = [model(number, image) for number, image in enumerate(IMAGES)]
    for one in models:
        del one["assets"]["mlm:training"][IMAGE]
    findings = image_findings(
        asking(registries).registries, asking(registries).settings, models, ["base-models"], lambda *_: None
    )
    assert [finding.kind for finding in findings] == 6 * ["unpinned image"]
    services = asking(registries)
    monkeypatch.setattr(road, "apply", lambda *_: ChangeSet())
    services.__dict__["validator"] = None
    services.__dict__["catalog"] = SimpleNamespace(
        family=lambda _, slug: [one for one in models if slug_of(one) == slug],
        document_problems=lambda _: [],
    )
    done = repair(services, findings)
    assert registries.asked == ["dead.example.org"] + 3 * ["strict.example.org"]
    assert [one.failed for one in done] == 6 * [True]
    assert "did not answer before" in done[1].reason


def test_pinning_waits_once_as_well() -> None:
    registries = Registries()
    pins = find_pins(
        asking(registries).registries, asking(registries).settings, [f"docker://{image}:v1" for image in IMAGES]
    )
    assert registries.asked == ["dead.example.org"] + 3 * ["strict.example.org"]
    assert len(pins.problems) == 6
