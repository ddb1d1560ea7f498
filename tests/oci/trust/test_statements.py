"""What signed statements say, without a registry: forms that are taken, and those that are refused."""

import base64
import json
from typing import Any

import pytest

from fair_dagster.oci.descriptors import EMPTY, TITLE, Descriptor, Manifest
from fair_dagster.oci.trust.bundles import Bundle, make_bundle
from fair_dagster.oci.trust.provenance import ProvenTraining, provenance_problems, provenance_statement, summary
from fair_dagster.oci.trust.statements import SignedModel, files_of, signature_statement
from tests.oci.fixtures import KeyPair

FILES = {"model.onnx": "ab" * 32, "labels.txt": "cd" * 32}


def manifest_of(*titles: str, digest: str = f"sha256:{'ab' * 32}") -> Manifest:
    layers = [Descriptor("application/x-mlmodel", digest, 3, {TITLE: title} if title else {}) for title in titles]
    return Manifest.make(config=EMPTY, layers=layers)


def changed(**fields: Any) -> dict[str, Any]:
    statement = signature_statement("town", FILES, manifest_of("model.onnx").descriptor)
    predicate = {**statement["predicate"], **{name: value for name, value in fields.items() if name != "subject"}}
    return {**statement, "predicate": predicate, **({"subject": fields["subject"]} if "subject" in fields else {})}


def resource(name: str = "a", digest: str = "ab" * 32, algorithm: str = "sha256") -> dict[str, str]:
    return {"name": name, "algorithm": algorithm, "digest": digest}


def test_what_is_signed_is_read_back() -> None:
    manifest = manifest_of("model.onnx")
    found = SignedModel.parse(signature_statement("town", FILES, manifest.descriptor))
    assert found == SignedModel("town", dict(sorted(FILES.items())), manifest.digest)


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ({"predicateType": "https://example.org/opinion"}, "something else"),
        (changed(resources=[resource()]), "contradicts itself"),
        (changed(resources=[resource(), resource()]), "names a file twice"),
        (changed(resources=[resource(digest="xy")]), "what is no digest"),
        (changed(resources=[resource(algorithm="blake3")]), "only SHA-256"),
        (changed(resources=[{"name": "a"}]), "another form"),
        (changed(serialization={"method": "shards", "hash_type": "sha256"}), "only SHA-256 of whole files"),
        (changed(subject=[]), "another form"),
        (changed(manifest={}), "another form"),
        (changed(manifest="sha256"), "another form"),
    ],
)
def test_a_statement_of_another_form_is_refused(statement: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        SignedModel.parse(statement)


@pytest.mark.parametrize("title", ["../../x", "/etc/passwd", "a\\b"])
def test_an_artifact_with_unsafe_titles_is_not_signed(title: str) -> None:
    with pytest.raises(ValueError, match="title"):
        files_of(manifest_of(title))


def test_only_files_known_by_sha256_are_signed() -> None:
    with pytest.raises(ValueError, match="SHA-256"):
        files_of(manifest_of("model.onnx", digest=f"sha512:{'ab' * 64}"))


def test_the_layers_of_an_image_are_signed_by_their_digests() -> None:
    assert files_of(manifest_of("")) == {f"sha256-{'ab' * 32}": "ab" * 32}


def bundle(key: KeyPair, **changes: Any) -> bytes:
    document = json.loads(make_bundle(signature_statement("town", FILES), key.signing))
    document["dsseEnvelope"] |= changes
    return json.dumps(document).encode()


def test_a_bundle_has_one_signature_of_one_statement(key: KeyPair) -> None:
    """Of two, one reader would check the first and another the last."""
    one = json.loads(bundle(key))["dsseEnvelope"]["signatures"][0]
    for signatures in ([], [one, one]):
        with pytest.raises(ValueError, match=f"{len(signatures)} signatures"):
            Bundle.parse(bundle(key, signatures=signatures))
    with pytest.raises(ValueError, match="text/plain"):
        Bundle.parse(bundle(key, payloadType="text/plain"))


@pytest.mark.parametrize("payload", [b"weights", b"[]", b'{"_type": "https://example.org/other"}'])
def test_what_is_signed_has_to_be_a_statement(key: KeyPair, payload: bytes) -> None:
    from fair_dagster.oci.trust.bundles import pre_authentication

    signature = base64.b64encode(key.signing.sign(pre_authentication(payload))).decode()
    signed = bundle(key, payload=base64.b64encode(payload).decode(), signatures=[{"sig": signature}])
    with pytest.raises(ValueError, match="what it signs"):
        Bundle.parse(signed).verify(key.trusted)


def test_provenance_is_of_one_manifest() -> None:
    manifest, other = manifest_of("model.onnx"), manifest_of("model.onnx", "labels.txt")
    training = ProvenTraining({"model": "town-v1"}, {}, (), "zenml:1")
    statement = provenance_statement("registry.example/town", manifest, training)
    assert provenance_problems(statement, manifest.digest) == []
    assert "of another artifact" in provenance_problems(statement, other.digest)[0]
    assert ("model", "town-v1") in summary(statement)
    for broken in ({}, {"subject": [{"digest": []}]}, {**statement, "predicate": {}}):
        assert "another form" in provenance_problems(broken, manifest.digest)[0]
    without = {**statement["predicate"], "runDetails": {"builder": {"id": ""}}}
    assert "no build" in provenance_problems({**statement, "predicate": without}, manifest.digest)[0]
