"""Models to a real registry and back: every form, every kind of content."""

import hashlib
import json
import os
from pathlib import Path

import pytest

from fair_dagster.domain.errors import NotFoundError, RefusedError
from fair_dagster.oci.artifacts.forms import FAIR_MODEL, MODELPACK, OLD_MODEL_TYPE, Layer, pack_referrer
from fair_dagster.oci.artifacts.listing import list_artifacts, look
from fair_dagster.oci.artifacts.titles import STAGING
from fair_dagster.oci.descriptors import Descriptor, Manifest
from fair_dagster.oci.metadata import ModelMetadata
from fair_dagster.oci.pulling import pull
from fair_dagster.oci.pushing import Part, parts_of, push
from fair_dagster.oci.references import Reference
from fair_dagster.oci.registry.credentials import Credentials
from fair_dagster.oci.registry.registries import Registries
from tests.oci.servers import push_as_it_is, push_image
from tests.services.servers import RegistryServer

LARGE = 3 << 20
METADATA = ModelMetadata.of({"name": "Mnist", "author": "Jo", "accuracy": 0.9, "uri": "https://example.org/m"})


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "in" / "model.onnx"
    path.parent.mkdir()
    path.write_bytes(os.urandom(LARGE))
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_file_comes_back_with_its_metadata(
    registries: Registries, place: Reference, model: Path, tmp_path: Path
) -> None:
    seen: list[tuple[int, int]] = []
    pushed = push(
        registries, place, parts_of([model]), METADATA, progress=lambda done, total, _: seen.append((done, total))
    )
    assert pushed.reused == 0
    assert seen[-1] == (LARGE, LARGE)
    assert registries.digest_of(place) == pushed.digest
    assert look(registries, place).metadata == METADATA

    pulled = pull(registries, place, tmp_path / "out")
    assert pulled.digest == pushed.digest
    assert contents(tmp_path / "out") == {
        "model.onnx": model.read_bytes(),
        "model_metadata.omlmd.json": METADATA.json(),
        "model_metadata.omlmd.yaml": METADATA.yaml(),
    }
    again = pull(registries, place, tmp_path / "out")
    assert set(again.kept) == set(pulled.files)


def test_what_the_registry_has_is_not_sent_again(registries: Registries, place: Reference, model: Path) -> None:
    first = push(registries, place, parts_of([model]), METADATA)
    second = push(registries, place.with_tag("v2"), parts_of([model]), METADATA)
    assert (second.digest, second.uploaded, second.reused) == (first.digest, 0, first.uploaded)


def test_a_folder_keeps_its_shape(registries: Registries, place: Reference, tmp_path: Path) -> None:
    source = tmp_path / "source"
    for name in ("a.bin", "sub/b.bin", "sub/deep/a.bin", ".hidden", "__pycache__/c.pyc"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(b"same" if name.endswith("a.bin") else name.encode())
    pushed = push(registries, place, parts_of([source]), METADATA, annotations={"org.example": "x"})
    assert pushed.manifest.artifact_type == FAIR_MODEL
    assert pushed.manifest.annotations["org.opencontainers.image.title"] == "Mnist"
    assert pushed.manifest.annotations["org.example"] == "x"
    pull(registries, place, tmp_path / "out")
    found = contents(tmp_path / "out")
    assert {name for name in found if "metadata" not in name} == {"a.bin", "sub/b.bin", "sub/deep/a.bin"}
    assert found["sub/deep/a.bin"] == b"same"
    assert not (tmp_path / "out" / STAGING).exists()


def test_metadata_alone_names_where_the_model_is(registries: Registries, place: Reference, tmp_path: Path) -> None:
    push(registries, place, [], METADATA)
    assert look(registries, place).metadata == METADATA
    pull(registries, place, tmp_path)
    assert json.loads((tmp_path / "model_metadata.omlmd.json").read_bytes())["uri"] == "https://example.org/m"
    with pytest.raises(RefusedError, match="no uri that says where the model is"):
        push(registries, place.with_tag("v2"), [], ModelMetadata())


def test_a_folder_that_was_pulled_is_pushed_as_what_it_was(
    registries: Registries, place: Reference, model: Path, tmp_path: Path
) -> None:
    first = push(registries, place, parts_of([model]), METADATA)
    pull(registries, place, tmp_path / "out")
    again = push(registries, place.with_tag("v2"), parts_of([tmp_path / "out"]))
    assert again.digest == first.digest
    other = push(registries, place.with_tag("v3"), parts_of([tmp_path / "out"]), ModelMetadata(name="Other"))
    found = look(registries, other.reference).metadata
    assert found is not None
    assert found.name == "Other"


def test_modelpack_is_a_form(registries: Registries, place: Reference, model: Path, tmp_path: Path) -> None:
    (model.parent / "README.md").write_text("# Card")
    (model.parent / "run.yaml").write_text("a: 1")
    pushed = push(registries, place, parts_of([model.parent]), METADATA, form="modelpack")
    assert pushed.manifest.artifact_type == MODELPACK
    assert pushed.manifest.config.media_type == "application/vnd.cncf.model.config.v1+json"
    kinds = {str(one.title): one.media_type.split(".model.")[1] for one in pushed.manifest.layers}
    assert kinds["model.onnx"] == "weight.v1.raw"
    assert kinds["README.md"] == "doc.v1.raw"
    assert kinds["run.yaml"] == "weight.config.v1.raw"
    config = json.loads(registries.read_blob(place, pushed.manifest.config))
    assert config["descriptor"]["name"] == "Mnist"
    assert config["modelfs"]["diffIds"] == [one.digest for one in pushed.manifest.layers]
    assert look(registries, place).metadata == METADATA
    pull(registries, place, tmp_path / "out")
    assert (tmp_path / "out" / "model.onnx").read_bytes() == model.read_bytes()


def test_old_names_and_types_are_read(registries: Registries, place: Reference, tmp_path: Path) -> None:
    layers = [
        Layer.of(b"model", OLD_MODEL_TYPE, "model.joblib"),
        Layer.of(METADATA.json(), "application/json", "model_metadata.json"),
    ]
    push_as_it_is(registries, place, pack_referrer(layers, "application/x-old", subject=None))
    assert look(registries, place).metadata == METADATA
    pull(registries, place, tmp_path)
    assert (tmp_path / "model.joblib").read_bytes() == b"model"


def test_an_empty_file_and_a_layer_without_title_arrive(
    registries: Registries, place: Reference, tmp_path: Path
) -> None:
    layers = [Layer.of(b"", "text/plain", "empty"), Layer.of(b"nameless", "text/plain")]
    push_as_it_is(registries, place, pack_referrer(layers, "application/x-any", subject=None))
    pull(registries, place, tmp_path)
    nameless = f"sha256-{hashlib.sha256(b'nameless').hexdigest()}"
    assert contents(tmp_path) == {"empty": b"", nameless: b"nameless"}


def test_only_some_media_types_are_pulled(
    registries: Registries, place: Reference, model: Path, tmp_path: Path
) -> None:
    push(registries, place, parts_of([model]), METADATA)
    pull(registries, place, tmp_path / "out", media_types=["application/x-mlmodel"])
    with pytest.raises(RefusedError, match="no files of these media types"):
        pull(registries, place, tmp_path / "none", media_types=["application/x-other"])
    assert list(contents(tmp_path / "out")) == ["model.onnx"]


def pushed_with(registries: Registries, place: Reference, *titles: str) -> Manifest:
    """An artifact that no honest tool makes."""
    layers = [Layer.of(title.encode(), "text/plain", title) for title in titles]
    return push_as_it_is(registries, place, pack_referrer(layers, "application/x-evil", subject=None))


def test_unsafe_titles_are_refused_before_anything_is_written(
    registries: Registries, place: Reference, tmp_path: Path
) -> None:
    pushed_with(registries, place, "../../x", "/abs", "a", "a/b")
    with pytest.raises(RefusedError) as raised:
        pull(registries, place, tmp_path / "out")
    assert len(raised.value.problems) == 3
    assert str(place) in str(raised.value)
    assert not (tmp_path / "out").exists()


def test_a_link_does_not_lead_out_of_the_folder(registries: Registries, place: Reference, tmp_path: Path) -> None:
    pushed_with(registries, place, "sub/x", "y")
    (tmp_path / "elsewhere").mkdir()
    out = tmp_path / "out"
    out.mkdir()
    (out / "sub").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RefusedError, match="leads out of"):
        pull(registries, place, out)
    assert not list((tmp_path / "elsewhere").iterdir())
    (out / "sub").unlink()
    (out / "y").symlink_to(tmp_path / "elsewhere" / "target")
    with pytest.raises(RefusedError, match="no file of its own"):
        pull(registries, place, out, overwrite=True)


def test_files_that_differ_are_replaced_only_when_asked_for(
    registries: Registries, place: Reference, tmp_path: Path
) -> None:
    pushed_with(registries, place, "a", "b")
    (tmp_path / "a").write_text("mine")
    with pytest.raises(RefusedError, match="is there and differs"):
        pull(registries, place, tmp_path)
    assert contents(tmp_path) == {"a": b"mine"}
    pull(registries, place, tmp_path, overwrite=True)
    assert contents(tmp_path) == {"a": b"a", "b": b"b"}


def test_an_index_is_no_artifact(docker_registry: RegistryServer, registries: Registries, tmp_path: Path) -> None:
    push_image(docker_registry.url, "test/index", "v1", "x", index=True)
    reference = Reference.parse(f"{docker_registry.host}/test/index:v1")
    with pytest.raises(RefusedError, match="an index of 1 manifests: name one of them by its digest"):
        pull(registries, reference, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert look(registries, reference).manifest.is_index


def test_a_push_that_cannot_be_says_all_reasons_and_leaves_the_tag(
    registries: Registries, place: Reference, tmp_path: Path
) -> None:
    with pytest.raises(RefusedError) as raised:
        parts_of([tmp_path / "none", tmp_path])
    assert len(raised.value.problems) == 2
    with pytest.raises(RefusedError) as raised:
        push(
            registries,
            place,
            [Part(tmp_path / "gone", "a"), Part(b"x", "a"), Part(b"x", "../x")],
            METADATA,
            subject=Reference.parse(f"{place.registry}/other:v1"),
        )
    assert len(raised.value.problems) == 4
    with pytest.raises(NotFoundError):
        registries.manifest(place)
    with pytest.raises(RefusedError, match="a digest follows from the content"):
        push(registries, place.at("sha256:" + "a" * 64), [Part(b"x", "a")], METADATA)


def test_a_missing_artifact_leaves_no_folder(registries: Registries, place: Reference, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="has no such artifact"):
        pull(registries, place, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_blob_that_the_registry_lost_is_named(
    docker_registry: RegistryServer, registries: Registries, place: Reference, tmp_path: Path
) -> None:
    manifest = pushed_with(registries, place, "a", f"b-{place.repository}")
    lost = manifest.layers[1]
    data = docker_registry.data / "docker/registry/v2/blobs/sha256" / lost.hex[:2] / lost.hex / "data"
    data.unlink()
    with pytest.raises(NotFoundError, match=f"has the manifest and not its blob {lost.digest}"):
        pull(registries, place, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_repository_is_listed_by_type_and_annotation(registries: Registries, place: Reference) -> None:
    push(registries, place, [Part(b"1", "m")], METADATA, annotations={"stage": "prod"})
    push(registries, place.with_tag("v2"), [Part(b"2", "m"), Part(b"2", "n")], METADATA, annotations={"stage": "dev"})
    everything = list_artifacts(registries, place)
    assert {one.reference.tag for one in everything.artifacts} == {"v1", "v2"}
    assert [one.reference.tag for one in list_artifacts(registries, place, artifact_type=FAIR_MODEL).artifacts] == [
        "v2"
    ]
    found = list_artifacts(registries, place, annotations={"stage": "prod", "name": None})
    assert [one.reference.tag for one in found.artifacts] == ["v1"]
    assert list_artifacts(registries, place, annotations={"absent": None}).artifacts == []
    nowhere = Reference.parse(f"{place.registry}/never/pushed")
    with pytest.raises(NotFoundError, match=f"repository {nowhere.name} was not found"):
        list_artifacts(registries, nowhere)


def test_a_protected_registry_takes_pushes_of_who_may(
    protected_registry: RegistryServer, model: Path, tmp_path: Path
) -> None:
    host = protected_registry.host
    reference = Reference.parse(f"{host}/test/closed:v1")
    own = Credentials(protected_registry.username, protected_registry.password)
    registries = Registries((host,), lambda _: own)
    push(registries, reference, parts_of([model]), METADATA)
    pull(registries, reference, tmp_path / "out")
    assert (tmp_path / "out" / "model.onnx").read_bytes() == model.read_bytes()
    stranger = Registries((host,), lambda _: Credentials("fair", "wrong"))
    with pytest.raises(Exception, match=f"fair-dagster oci login {host}") as raised:
        push(stranger, reference, parts_of([model]), METADATA)
    assert "wrong" not in str(raised.value)


def test_a_manifest_is_stored_as_it_is(registries: Registries, place: Reference) -> None:
    """Bytes of others are never written anew: spaces and order belong to the digest."""
    config = Descriptor.of(b"{}", "application/x-config")
    registries.upload(place, config, b"{}")
    body = json.dumps(json.loads(Manifest.make(config=config).body), indent=3).encode()
    manifest = Manifest.parse(body, "application/vnd.oci.image.manifest.v1+json", "x")
    registries.put_manifest(place, manifest)
    assert registries.manifest(place).body == body
