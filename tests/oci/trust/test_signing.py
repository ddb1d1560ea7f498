"""Signing artifacts in a registry and verifying them there: what counts, and every reason why something does not."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from fair_dagster.domain.errors import RefusedError, ServiceError
from fair_dagster.oci.descriptors import Manifest
from fair_dagster.oci.pulling import pull
from fair_dagster.oci.pushing import Part, attach
from fair_dagster.oci.references import Reference, referrers_tag
from fair_dagster.oci.registry.registries import Registries
from fair_dagster.oci.trust.bundles import BUNDLE_TYPE, make_bundle
from fair_dagster.oci.trust.provenance import ProvenTraining, provenance_statement
from fair_dagster.oci.trust.signing import attest, sign
from fair_dagster.oci.trust.statements import files_of, signature_statement
from fair_dagster.oci.trust.verifying import check_content, check_folder, verify
from tests.oci.fixtures import KeyPair, MakeKey, PushModel
from tests.services.servers import RegistryServer

CURVES = [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()]


def lay_down(registries: Registries, subject: Reference, bundle: bytes) -> str:
    """Put a bundle beside an artifact, as anybody may who can push."""
    return attach(registries, subject, BUNDLE_TYPE, [Part(bundle, "b.json", BUNDLE_TYPE)]).digest


def refusal(registries: Registries, reference: Reference, key: KeyPair) -> str:
    with pytest.raises(RefusedError) as caught:
        verify(registries, reference, key.trusted).require()
    return str(caught.value)


@pytest.mark.parametrize("curve", CURVES, ids=lambda curve: curve.name)
def test_a_signed_artifact_verifies_by_the_key_that_signed(
    registries: Registries, push_model: PushModel, make_key: MakeKey, curve: ec.EllipticCurve
) -> None:
    key, pushed = make_key("release", curve), push_model()
    signed = sign(registries, pushed.reference, key.signing)
    found = verify(registries, pushed.reference, key.trusted).require()
    assert found.pinned == signed.pinned == pushed.pinned
    assert [(one.key.name, one.referrer) for one in found.signatures] == [("release", signed.referrer.digest)]
    assert set(found.files) >= {"model.onnx", "labels.txt"}
    assert not found.ignored


def test_signing_twice_by_one_key_leaves_one_signature(
    registries: Registries, push_model: PushModel, key: KeyPair, make_key: MakeKey
) -> None:
    pushed, other = push_model(), make_key("second")
    first = sign(registries, pushed.reference, key.signing)
    assert sign(registries, pushed.reference, key.signing) == first
    sign(registries, pushed.reference, other.signing)
    found = verify(registries, pushed.reference, (*key.trusted, *other.trusted))
    assert sorted(one.key.name for one in found.signatures) == ["release", "second"]


def test_what_nobody_signed_is_refused(registries: Registries, push_model: PushModel, key: KeyPair) -> None:
    assert "no signature of a trusted key" in refusal(registries, push_model().reference, key)


def test_without_a_trusted_key_nothing_is_trusted(registries: Registries, push_model: PushModel, key: KeyPair) -> None:
    pushed = push_model()
    sign(registries, pushed.reference, key.signing)
    with pytest.raises(RefusedError, match="FAIR_TRUSTED_KEYS"):
        verify(registries, pushed.reference, ())


def test_another_key_is_refused_and_named(
    registries: Registries, push_model: PushModel, key: KeyPair, make_key: MakeKey
) -> None:
    pushed, stranger = push_model(), make_key("stranger")
    sign(registries, pushed.reference, stranger.signing)
    told = refusal(registries, pushed.reference, key)
    assert "signed by another key" in told
    assert stranger.signing.fingerprint[:12] in told


def test_a_stranger_who_claims_to_be_the_trusted_key_is_refused(
    registries: Registries, push_model: PushModel, key: KeyPair, make_key: MakeKey
) -> None:
    """The hint in a bundle is not signed."""
    pushed, stranger = push_model(), make_key("stranger")
    statement = signature_statement("town", files_of(pushed.manifest), pushed.manifest.descriptor)
    document = json.loads(make_bundle(statement, stranger.signing))
    document["verificationMaterial"]["publicKey"]["hint"] = key.signing.fingerprint
    lay_down(registries, pushed.pinned, json.dumps(document).encode())
    assert "altered" in refusal(registries, pushed.reference, key)


def test_a_bundle_that_was_moved_to_another_artifact_is_refused(
    registries: Registries, push_model: PushModel, key: KeyPair
) -> None:
    first, second = push_model("v1", **{"model.onnx": b"good"}), push_model("v2", **{"model.onnx": b"bad"})
    statement = signature_statement("town", files_of(first.manifest), first.manifest.descriptor)
    lay_down(registries, second.pinned, make_bundle(statement, key.signing))
    told = refusal(registries, second.reference, key)
    assert f"it signs the manifest {first.digest}: it was moved here" in told


def test_a_referrer_of_another_artifact_in_the_index_of_this_one_is_refused(
    registries: Registries, push_model: PushModel, key: KeyPair
) -> None:
    """The index of referrers is a tag, which anybody may write who can push."""
    first, second = push_model("v1", **{"model.onnx": b"good"}), push_model("v2", **{"model.onnx": b"bad"})
    signed = sign(registries, first.reference, key.signing)
    index = Manifest.make_index([registries.manifest(signed.referrer).descriptor])
    registries.manifests.put(second.reference.with_tag(referrers_tag(second.digest)), index)
    assert "its manifest refers to another artifact" in refusal(registries, second.reference, key)


def test_an_attestation_of_one_artifact_does_not_count_beside_another(
    registries: Registries, push_model: PushModel, key: KeyPair
) -> None:
    first, second = push_model("v1", **{"model.onnx": b"good"}), push_model("v2", **{"model.onnx": b"bad"})
    statement = provenance_statement("town", first.manifest, ProvenTraining({}, {}, (), "zenml:1"))
    with pytest.raises(RefusedError, match="about something else"):
        attest(registries, second.reference, key.signing, statement)
    lay_down(registries, second.pinned, make_bundle(statement, key.signing))
    sign(registries, second.reference, key.signing)
    found = verify(registries, second.reference, key.trusted).require()
    assert ["of another artifact" in one for one in found.ignored] == [True]
    with pytest.raises(RefusedError, match="no provenance"):
        found.require(provenance=True)


def test_a_signature_of_files_alone_does_not_vouch_for_a_manifest(
    registries: Registries, push_model: PushModel, key: KeyPair
) -> None:
    """The manifest holds metadata and annotations as well, and equal files are in more than one."""
    pushed = push_model()
    lay_down(
        registries, pushed.pinned, make_bundle(signature_statement("town", files_of(pushed.manifest)), key.signing)
    )
    assert "names no manifest" in refusal(registries, pushed.reference, key)


def test_a_signature_of_other_files_is_refused(registries: Registries, push_model: PushModel, key: KeyPair) -> None:
    pushed = push_model()
    files = files_of(pushed.manifest) | {"model.onnx": "0" * 64}
    statement = signature_statement("town", files, pushed.manifest.descriptor)
    lay_down(registries, pushed.pinned, make_bundle(statement, key.signing))
    assert "does not name the files of the manifest: model.onnx" in refusal(registries, pushed.reference, key)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no Sigstore bundle: not JSON"),
        (b"[]", "no Sigstore bundle"),
        (b'{"mediaType": "x", "dsseEnvelope": {}, "verificationMaterial": {}}', "no Sigstore bundle"),
        (b"[" * 100_000, "no Sigstore bundle"),
    ],
)
def test_what_is_no_bundle_is_refused_and_hides_no_signature(
    registries: Registries, push_model: PushModel, key: KeyPair, content: bytes, reason: str
) -> None:
    pushed = push_model()
    lay_down(registries, pushed.pinned, content + b" ")
    assert reason in refusal(registries, pushed.reference, key)
    sign(registries, pushed.reference, key.signing)
    found = verify(registries, pushed.reference, key.trusted).require()
    assert len(found.ignored) == 1


@pytest.mark.parametrize("part", ["payload", "sig"])
def test_an_altered_bundle_is_refused(registries: Registries, push_model: PushModel, key: KeyPair, part: str) -> None:
    pushed = push_model()
    statement = signature_statement("town", files_of(pushed.manifest), pushed.manifest.descriptor)
    document = json.loads(make_bundle(statement, key.signing))
    envelope = document["dsseEnvelope"]
    other = json.loads(make_bundle(statement | {"predicateType": "x"}, key.signing))["dsseEnvelope"]
    if part == "payload":
        envelope["payload"] = other["payload"]
    else:
        envelope["signatures"] = other["signatures"]
    lay_down(registries, pushed.pinned, json.dumps(document).encode())
    assert "altered" in refusal(registries, pushed.reference, key)


def test_a_blob_that_was_altered_in_the_registry_is_found_by_reading_it(
    registries: Registries, push_model: PushModel, key: KeyPair, docker_registry: RegistryServer
) -> None:
    pushed = push_model(**{"model.onnx": b"the good weights"})
    sign(registries, pushed.reference, key.signing)
    found = verify(registries, pushed.reference, key.trusted).require()
    check_content(registries, found)
    layer = next(one for one in pushed.manifest.layers if one.title == "model.onnx")
    blob = next(docker_registry.data.rglob(f"blobs/sha256/*/{layer.hex}/data"))
    blob.write_bytes(b"the evil weights")
    with pytest.raises(RefusedError, match=r"model\.onnx was altered in the registry"):
        check_content(registries, found)
    blob.unlink()
    with pytest.raises(RefusedError, match=r"model\.onnx .* is gone"):
        check_content(registries, found)


def test_a_signature_that_was_damaged_in_the_registry_is_told_and_does_not_count(
    registries: Registries, push_model: PushModel, key: KeyPair, make_key: MakeKey, docker_registry: RegistryServer
) -> None:
    """What a registry cannot give is an error of it: signing again would leave the same bytes there."""
    pushed, other = push_model(), make_key("second")
    signed = sign(registries, pushed.reference, key.signing)
    (bundle,) = registries.manifest(signed.referrer).layers
    blob = next(docker_registry.data.rglob(f"blobs/sha256/*/{bundle.hex}/data"))
    content = blob.read_bytes()
    blob.write_bytes(content.replace(b"e", b"f"))
    with pytest.raises(ServiceError, match="damaged"):
        verify(registries, pushed.reference, key.trusted)
    sign(registries, pushed.reference, other.signing)
    found = verify(registries, pushed.reference, other.trusted).require()
    assert ["damaged" in one for one in found.ignored] == [True]
    blob.unlink()
    assert "has the manifest and not its blob" in refusal(registries, pushed.reference, key)


def test_a_pulled_folder_is_compared_with_what_was_signed(
    registries: Registries, push_model: PushModel, key: KeyPair, tmp_path: Path
) -> None:
    pushed, folder = push_model(), tmp_path / "pulled"
    sign(registries, pushed.reference, key.signing)
    found = verify(registries, pushed.reference, key.trusted).require()
    pull(registries, pushed.reference, folder)
    check_folder(found, folder)
    (folder / "model.onnx").write_bytes(b"others")
    (folder / "labels.txt").unlink()
    with pytest.raises(RefusedError, match=r"(?s)labels.txt is not there.*model.onnx is not what was signed"):
        check_folder(found, folder)


@pytest.mark.parametrize("tampered", [False, True])
def test_the_plain_tool_of_model_signing_verifies_what_was_pulled(
    registries: Registries, push_model: PushModel, key: KeyPair, tmp_path: Path, tampered: bool
) -> None:
    pushed, folder = push_model(**{"model.onnx": b"weights", "data/classes.txt": b"roof"}), tmp_path / "pulled"
    signed = sign(registries, pushed.reference, key.signing)
    pull(registries, pushed.reference, folder)
    (bundle,) = pull(registries, signed.referrer, tmp_path / "signature").files
    if tampered:
        (folder / "model.onnx").write_bytes(b"others!")
    command = [sys.executable, "-m", "model_signing", "verify", "key", str(folder)]
    command += ["--signature", str(bundle), "--public_key", str(key.public)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) is not tampered, done.stderr
    if tampered:
        assert "Hash mismatch for" in done.stdout + done.stderr


def test_a_signature_by_the_plain_tool_is_read(key: KeyPair, tmp_path: Path) -> None:
    """Of files that are in no registry; see ``flows.trust``."""
    from model_signing.signing import Config

    from fair_dagster.oci.trust.bundles import Bundle
    from fair_dagster.oci.trust.statements import SignedModel

    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(b"weights")
    Config().use_elliptic_key_signer(private_key=key.private).sign(folder, tmp_path / "model.sig")
    _, statement = Bundle.parse((tmp_path / "model.sig").read_bytes()).verify(key.trusted)
    model = SignedModel.parse(statement)
    assert (model.name, set(model.files), model.manifest) == ("model", {"model.onnx"}, None)


def test_an_index_is_not_signed(registries: Registries, push_model: PushModel, key: KeyPair) -> None:
    pushed = push_model()
    index = pushed.reference.with_tag("all")
    registries.put_manifest(index, Manifest.make_index([pushed.manifest.descriptor]))
    with pytest.raises(RefusedError, match="index of 1 manifests"):
        sign(registries, index, key.signing)


def test_a_copy_keeps_its_signatures(registries: Registries, push_model: PushModel, key: KeyPair) -> None:
    from fair_dagster.oci.artifacts.copying import copy

    pushed = push_model()
    sign(registries, pushed.reference, key.signing)
    target = replace(pushed.reference, repository=f"{pushed.reference.repository}-copy")
    copy(registries, pushed.reference, target, referrers=True)
    verify(registries, target, key.trusted).require()
