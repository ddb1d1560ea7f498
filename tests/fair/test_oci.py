"""``Fair.oci`` on a real registry, as Python users call it."""

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from fair_dagster.domain.errors import FairError, NotFoundError, RefusedError
from fair_dagster.fair import Fair, Reference
from fair_dagster.settings import Settings
from tests.oci.trust.conftest import KeyPair, MakeKey, key, make_key
from tests.services.servers import RegistryServer

__all__ = ["MakeKey", "key", "make_key"]


@pytest.fixture
def fair(tmp_path: Path, docker_registry: RegistryServer) -> Fair:
    return Fair(Settings(home=tmp_path / "home", offline=True, registries=(docker_registry.host,)))


@pytest.fixture
def place(docker_registry: RegistryServer) -> str:
    return f"{docker_registry.host}/python/{uuid4().hex[:12]}"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"weights")
    return path


def test_a_model_goes_to_a_registry_and_comes_back(fair: Fair, place: str, weights: Path, tmp_path: Path) -> None:
    pushed = fair.oci.push(f"{place}:v1", [weights], metadata={"name": "ramp", "accuracy": 0.9})
    assert (pushed.uploaded > 0, str(pushed.pinned)) == (True, f"{place}@{pushed.digest}")
    shown = fair.oci.show(f"{place}:v1")
    assert shown.metadata is not None
    assert (shown.metadata.name, shown.metadata.customProperties) == ("ramp", {"accuracy": 0.9})
    assert "model.onnx" in [name for name, _ in shown.files]
    assert fair.oci.digest(f"{place}:v1") == pushed.digest
    pulled = fair.oci.pull(pushed.pinned, tmp_path / "pulled")
    assert pulled.files[0].read_bytes() == b"weights"


def test_a_repository_is_listed_copied_and_emptied(fair: Fair, place: str, weights: Path) -> None:
    pushed = fair.oci.push(f"{place}:v1", [weights], annotations={"kind": "test"})
    copied = fair.oci.copy(f"{place}:v1", f"{place}-copy:v1")
    assert (copied.digest, copied.manifests) == (pushed.digest, (pushed.digest,))
    assert [one.reference.tag for one in fair.oci.list(place).artifacts] == ["v1"]
    assert fair.oci.list(place, annotations={"kind": "other"}).artifacts == []
    registry = Reference.parse(f"{place}:v1").registry
    assert place.removeprefix(f"{registry}/") in fair.oci.repositories(registry)
    fair.oci.push(f"{place}:about", metadata={"name": "a word", "uri": "https://example.org"}, subject=f"{place}:v1")
    assert len(fair.oci.referrers(f"{place}:v1")) == 1
    assert fair.oci.referrers(f"{place}:v1", artifact_type="application/vnd.none") == ()
    with pytest.raises(RefusedError, match="refer to it"):
        fair.oci.delete(f"{place}@{pushed.digest}")
    fair.oci.delete(f"{place}@{pushed.digest}", referrers=True, all_tags=True)
    with pytest.raises(NotFoundError):
        fair.oci.show(f"{place}:v1")


def test_a_crawl_is_asked_while_it_goes_on(fair: Fair, place: str, weights: Path) -> None:
    for tag, accuracy in (("v1", 0.8), ("v2", 0.95), ("v3", 0.9)):
        fair.oci.push(f"{place}:{tag}", [weights], metadata={"name": f"model {tag}", "accuracy": accuracy})
    best = fair.oci.crawl(place, condition="customProperties.accuracy >= 0.9", order=["-customProperties.accuracy"])
    assert [one.field("customProperties.accuracy") for one in best] == [0.95, 0.9]
    assert (best.looked_at, best.unseen(), best.failures) == (3, (), [])
    (highest,) = fair.oci.crawl(place, highest="customProperties.accuracy", keep=True)
    assert highest.reference.tag == "v2"
    (kept,) = fair.oci.crawl(from_index=True, lowest="customProperties.accuracy")
    assert kept.reference.tag == "v1"
    with fair.oci.crawl(place, condition="colour = 'red'") as none:
        assert list(none) == []
    assert none.unseen() == ("colour",)
    with fair.oci.crawl(place) as cut:
        assert next(iter(cut)).reference.repository in place


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({}, "name a target"),
        ({"targets": ["ghcr.io/x"], "keep": True, "from_index": True}, "not asked by both"),
        ({"targets": ["ghcr.io/x"], "highest": "a", "lowest": "b"}, "ask for one of them"),
        ({"targets": ["ghcr.io/x"], "highest": "a", "limit": 3}, "ask for one of them"),
    ],
)
def test_a_crawl_that_cannot_be_asked_is_refused(fair: Fair, options: dict[str, Any], reason: str) -> None:
    with pytest.raises(RefusedError, match=reason):
        fair.oci.crawl(*options.pop("targets", ()), **options)


def test_an_item_and_files_are_not_pushed_together(fair: Fair, place: str, weights: Path) -> None:
    with pytest.raises(RefusedError, match="of its own"):
        fair.oci.push(f"{place}:v1", [weights], item="ramp")


def test_what_is_signed_is_verified_and_judged(
    fair: Fair, place: str, weights: Path, key: KeyPair, tmp_path: Path
) -> None:
    fair.oci.push(f"{place}:v1", [weights])
    with pytest.raises(RefusedError, match="no signature"):
        fair.oci.verify(f"{place}:v1", keys=[key.public])
    signed = fair.oci.sign(f"{place}:v1", fair.oci.signing_key(key.private))
    assert signed.fingerprint == key.signing.fingerprint
    fair.oci.pull(f"{place}:v1", tmp_path / "pulled")
    found = fair.oci.verify(f"{place}:v1", keys=[key.public], content=True, folder=tmp_path / "pulled")
    assert "model.onnx" in found.files
    registry = found.pinned.registry
    assert fair.oci.policy.check(artifacts=[f"{place}:v1"], keys=[key.public], allowed=[registry]).allowed
    denied = fair.oci.policy.check(artifacts=[f"{place}:v1"], keys=[key.public], allowed=["other.example"])
    assert (denied.allowed, list(denied.denied)) == (False, [str(found.pinned)])
    pod = b"kind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: a, image: docker.io/library/nginx}]}\n"
    judged = fair.oci.policy.check(contents={"a chart": pod}, keys=[key.public], allowed=[registry])
    assert list(judged.denied) == ["Pod/web"]
    with pytest.raises(RefusedError, match=r"(?s)missing\.yaml .*a chart "):
        fair.oci.policy.check([tmp_path / "missing.yaml"], contents={"a chart": b"{"}, keys=[key.public])
    assert fair.oci.policy.show("artifact").package
    assert "ConstraintTemplate" in fair.oci.policy.gatekeeper().yaml


def test_a_reference_of_anybody_leads_to_no_private_address(
    tmp_path: Path, docker_registry: RegistryServer, place: str, weights: Path
) -> None:
    strict = Fair(Settings(home=tmp_path / "strict", offline=True))
    with pytest.raises(FairError, match=r"private|FAIR_REGISTRIES"):
        strict.oci.show(f"{place}:v1")
    typed = strict.oci.trusting_references()
    typed.push(f"{place}:v1", [weights])
    assert typed.digest(f"{place}:v1").startswith("sha256:")
    assert typed.policy.trusts_references


def test_a_listener_without_a_secret_is_refused(fair: Fair) -> None:
    with pytest.raises(RefusedError, match="FAIR_OCI_LISTEN_SECRET"):
        fair.oci.listener(port=0)


def test_a_listener_says_where_registries_post_to(tmp_path: Path) -> None:
    fair = Fair(Settings(home=tmp_path / "home", oci_listen_secret="geheim"))  # type: ignore[arg-type]
    with fair.oci.listener(port=0) as listener:
        assert listener.url == f"http://127.0.0.1:{listener.server_address[1]}/notifications"
