"""Images of models against a real registry, read by the programs that people have: skopeo and umoci."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from fair_dagster.domain.errors import FairError, NotFoundError, RefusedError, StorageError, UnreachableError
from fair_dagster.oci.artifacts.forms import CONFIG_TYPE as METADATA_TYPE
from fair_dagster.oci.artifacts.forms import Layer, Packed
from fair_dagster.oci.descriptors import Manifest
from fair_dagster.oci.images.building import Built, build_image, image_reference
from fair_dagster.oci.images.documents import KIND, MODEL, Platform
from fair_dagster.oci.metadata import ModelMetadata
from fair_dagster.oci.pushing import Part, Pushed, push
from fair_dagster.oci.references import Reference
from fair_dagster.oci.registry.registries import Registries
from tests.oci.faults import Faults, Order
from tests.oci.programs import Readers, program
from tests.oci.servers import push_as_it_is, push_image
from tests.services.servers import RegistryServer

WEIGHTS = os.urandom((2 << 20) + 77)
LONG = f"{'folder/' * 20}{'ü' * 60}.json"
FILES = {"model.onnx": WEIGHTS, "config.yaml": b"lr: 1\n", "empty.txt": b"", LONG: b"{}"}
NOTES = {"model_metadata.omlmd.json", "model_metadata.omlmd.yaml"}
METADATA = ModelMetadata.of({"name": "Ramp", "author": "HOT", "version": "3"})
AMD64, ARM64 = Platform(), Platform(architecture="arm64")
# What KServe hands a modelcar and its init container as arguments, without the names of a cluster.
INIT = '[ -d /models ] && [ "$(ls -A /models)" ] && echo valid || (echo invalid && exit 1)'


@pytest.fixture(scope="session")
def busybox(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return program("busybox", tmp_path_factory.mktemp("busybox"))


@pytest.fixture(scope="session")
def readers(tmp_path_factory: pytest.TempPathFactory) -> Readers:
    folder = tmp_path_factory.mktemp("readers")
    return Readers(program("skopeo", folder), program("umoci", folder), folder)


@pytest.fixture
def model(registries: Registries, place: Reference) -> Pushed:
    return push(registries, place, [Part(content, title) for title, content in FILES.items()], METADATA)


@pytest.fixture
def modelcar(registries: Registries, model: Pushed, busybox: Path) -> Built:
    return build_image(registries, model.reference, image_reference(model.reference, "modelcar"), base=str(busybox))


def data_image(registries: Registries, model: Pushed, *platforms: Platform) -> Built:
    target = image_reference(model.reference, "data")
    return build_image(registries, model.reference, target, kind="data", platforms=platforms or (AMD64,))


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_modelcar_holds_the_model_and_what_kserve_calls(modelcar: Built, readers: Readers) -> None:
    root = readers.root(modelcar.reference)
    found = files_below(root / "models")
    assert {title: content for title, content in found.items() if title not in NOTES} == FILES
    assert set(found) - set(FILES) == NOTES
    assert all(path.stat().st_mode & 0o005 == 0o005 for path in (root / "models").rglob("*") if path.is_dir())
    assert all(path.stat().st_mode & 0o777 == 0o644 for path in (root / "models").rglob("*") if path.is_file())

    if os.geteuid() == 0:
        script = f"{INIT} && sleep 0 && ln -sf /proc/$$/root/models /mnt"
        command = ["/usr/sbin/chroot", "--userspec=1010:0", str(root), "/bin/sh", "-c", script]
        said = subprocess.run(command, env={"PATH": "/bin"}, capture_output=True, text=True, check=False)
        assert said.stdout.strip() == "valid"
        # Nobody but root may write there: every program was found, and the system has refused.
        assert "Permission denied" in said.stderr
        assert "not found" not in said.stderr
    config = readers.config(modelcar.reference)
    # KServe gives its script as arguments: an entrypoint would take them for its own.
    assert "Entrypoint" not in config["config"]
    assert config["config"]["Cmd"][0] == "sh"
    assert len(config["history"]) == len(config["rootfs"]["diff_ids"]) == 3


def test_an_image_says_what_it_is_and_refers_to_its_model(
    registries: Registries, model: Pushed, modelcar: Built, readers: Readers
) -> None:
    told = readers.inspect(modelcar.reference)
    assert (told["Digest"], told["Architecture"], told["Os"]) == (modelcar.digest, "amd64", "linux")
    assert told["Labels"][MODEL] == model.digest
    assert told["Labels"][KIND] == "modelcar"
    assert told["Labels"]["org.opencontainers.image.title"] == "Ramp"
    assert told["Labels"]["org.opencontainers.image.version"] == "3"
    (referrer,) = registries.referrers(model.pinned)
    assert referrer.digest == modelcar.digest
    assert referrer.annotations[KIND] == "modelcar"


def test_the_same_model_gives_the_same_image_wherever_it_is_built(
    registries: Registries, model: Pushed, modelcar: Built, busybox: Path
) -> None:
    again = build_image(registries, model.pinned, modelcar.reference.with_tag("again"), base=str(busybox))
    assert again.manifest == modelcar.manifest
    elsewhere = Reference.parse(f"{model.reference.registry}/elsewhere/{model.reference.repository}:v1")
    assert build_image(registries, model.reference, elsewhere, base=str(busybox)).digest == modelcar.digest
    assert registries.digest_of(elsewhere) == modelcar.digest


def test_a_data_image_is_there_for_every_platform_and_holds_each_layer_once(
    registries: Registries, model: Pushed, readers: Readers
) -> None:
    built = data_image(registries, model, AMD64, ARM64)
    assert registries.manifest(built.reference).is_index
    first, second = (registries.manifest(built.reference.at(one.digest)) for one in built.manifest.manifests)
    assert first.layers == second.layers
    assert first.config != second.config
    assert [one.digest for one in registries.referrers(model.pinned)] == [built.digest]
    found = files_below(readers.root(built.reference, "--override-arch", "arm64"))
    assert found.keys() == {f"models/{title}" for title in FILES.keys() | NOTES}


def test_a_base_of_a_registry_lies_below_the_model(
    registries: Registries, model: Pushed, modelcar: Built, docker_registry: RegistryServer, readers: Readers
) -> None:
    base = Reference.parse(f"{docker_registry.host}/{model.reference.repository}/base:1")
    registries_copy(registries, modelcar.reference, base)
    built = build_image(
        registries, model.reference, modelcar.reference.with_tag("upon"), base=str(base), user="7", platforms=[AMD64]
    )
    assert built.manifest.layers[:3] == modelcar.manifest.layers
    assert built.manifest.annotations["org.opencontainers.image.base.name"] == str(base)
    assert built.manifest.annotations["org.opencontainers.image.base.digest"] == modelcar.digest
    assert readers.config(built.reference)["config"]["User"] == "7"
    assert files_below(readers.root(built.reference))["models/model.onnx"] == WEIGHTS


def registries_copy(registries: Registries, source: Reference, target: Reference) -> None:
    from fair_dagster.oci.artifacts.copying import copy

    copy(registries, source, target)


def test_a_base_has_to_be_an_image_for_the_platform(
    registries: Registries, model: Pushed, modelcar: Built, docker_registry: RegistryServer, tmp_path: Path
) -> None:
    repository = f"{model.reference.repository}/base"
    push_image(docker_registry.url, repository, "index", index=True)
    index = f"{docker_registry.host}/{repository}:index"
    dynamic = tmp_path / "sh"
    dynamic.write_bytes(Path("/bin/true").resolve().read_bytes())
    text = tmp_path / "text"
    text.write_text("#!/bin/sh\n")

    def refused(base: str, platform: Platform = AMD64) -> str:
        target = model.reference.with_tag("refused")
        with pytest.raises(FairError) as caught:
            build_image(registries, model.reference, target, base=base, platforms=[platform])
        with pytest.raises(NotFoundError):
            registries.digest_of(target)
        return str(caught.value)

    assert "not there for linux/arm64, but for linux/amd64" in refused(index, ARM64)
    assert "it is an artifact" in refused(str(model.reference))
    assert "it is for linux/amd64, not for linux/arm64" in refused(str(modelcar.reference), ARM64)
    assert "linked to libraries" in refused(str(dynamic))
    assert "has no 'ls'" in refused(str(dynamic))
    assert "it is no program of Linux" in refused(str(text))
    assert "cannot be read" in refused(str(tmp_path / "gone"))


def test_what_holds_no_model_makes_no_image(registries: Registries, place: Reference) -> None:
    push(registries, place, [], ModelMetadata.of({"name": "Elsewhere", "uri": "https://example.org/m.onnx"}))
    with pytest.raises(RefusedError, match=r"no file of a model, which is at https://example\.org/m\.onnx"):
        build_image(registries, place, place.with_tag("image"), kind="data")


def test_an_index_or_an_unsafe_title_or_the_models_own_tag_is_refused(
    registries: Registries, model: Pushed, place: Reference, docker_registry: RegistryServer
) -> None:
    with pytest.raises(RefusedError, match="would replace the model"):
        build_image(registries, model.reference, model.reference, kind="data")
    push_image(docker_registry.url, place.repository, "index", index=True)
    with pytest.raises(RefusedError, match="is no user or user:group"):
        build_image(registries, model.reference, place.with_tag("image"), user="root;")
    image = data_image(registries, model)
    with pytest.raises(RefusedError, match="an image already"):
        build_image(registries, image.reference, place.with_tag("image"), kind="data")
    with pytest.raises(RefusedError, match="it is an index"):
        build_image(registries, place.with_tag("index"), place.with_tag("image"), kind="data")
    bad = Layer.of(b"x", "application/x-mlmodel", "../../etc/passwd")
    config = Layer.of(b"{}", METADATA_TYPE)
    manifest = Manifest.make(config=config.descriptor, layers=[bad.descriptor])
    push_as_it_is(registries, place.with_tag("bad"), Packed(manifest, (config, bad)))
    with pytest.raises(RefusedError, match="leads out of the folder"):
        build_image(registries, place.with_tag("bad"), place.with_tag("image"), kind="data")
    with pytest.raises(NotFoundError):
        registries.digest_of(place.with_tag("image"))


@pytest.mark.parametrize(
    "alter",
    [lambda body: body[:-1] + bytes([body[-1] ^ 1]), lambda body: body + b"more", lambda body: body[:-5]],
    ids=["another byte", "too long", "too short"],
)
def test_a_blob_that_arrives_damaged_leaves_no_image(
    faulty: tuple[Registries, Reference, Faults],
    registries: Registries,
    model: Pushed,
    alter: Callable[[bytes], bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    through, place, faults = faulty
    monkeypatch.setattr(through.client.connections, "wait", lambda *_: None)
    weights = next(layer for layer in model.manifest.layers if layer.title == "model.onnx")
    faults.orders.append(Order(f"GET /v2/{place.repository}/blobs/{weights.digest}", times=99, alter=alter))
    target = place.with_tag("image")
    if alter(b"12345678") == b"12345678more":
        # What comes after the bytes that were asked for is not read.
        built = build_image(through, place, target, kind="data")
        assert built.digest == data_image(registries, model).digest
        return
    with pytest.raises(UnreachableError, match=weights.digest):
        build_image(through, place, target, kind="data")
    with pytest.raises(NotFoundError):
        registries.digest_of(model.reference.with_tag("image"))


def test_a_transfer_that_breaks_off_is_begun_again(
    faulty: tuple[Registries, Reference, Faults],
    registries: Registries,
    model: Pushed,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    through, place, faults = faulty
    monkeypatch.setattr(through.client.connections, "wait", lambda *_: None)
    weights = next(layer for layer in model.manifest.layers if layer.title == "model.onnx")
    faults.orders += [Order(f"blobs/{weights.digest}", cut=1 << 20), Order("PATCH", drop=True)]
    built = build_image(through, place, place.with_tag("image"), kind="data")
    assert built.digest == data_image(registries, model).digest


def test_a_folder_or_a_file_too_large_is_no_base(registries: Registries, model: Pushed, tmp_path: Path) -> None:
    large = tmp_path / "large"
    with large.open("wb") as stream:
        stream.truncate((16 << 20) + 1)
    with pytest.raises(RefusedError, match="more than 16 MiB"):
        build_image(registries, model.reference, model.reference.with_tag("x"), base=str(large))
    with pytest.raises(StorageError, match="cannot be read"):
        build_image(registries, model.reference, model.reference.with_tag("x"), base=str(tmp_path))
