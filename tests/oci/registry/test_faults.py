"""Registries that fail half-way: what is gone on with, what is refused, and what is left behind."""

import errno
import os
from pathlib import Path

import pytest

from fair_dagster.domain.errors import (
    FairError,
    NotFoundError,
    RefusedError,
    ServiceError,
    StorageError,
    UnreachableError,
)
from fair_dagster.oci.artifacts.copying import copy
from fair_dagster.oci.artifacts.listing import list_artifacts
from fair_dagster.oci.artifacts.titles import STAGING
from fair_dagster.oci.metadata import ModelMetadata
from fair_dagster.oci.pulling import pull
from fair_dagster.oci.pushing import Part, Pushed, parts_of, push
from fair_dagster.oci.references import Reference
from fair_dagster.oci.registry import blobs, connections
from fair_dagster.oci.registry.registries import Registries
from tests.oci.faults import Faults, Order, faulty_registry
from tests.services.servers import RegistryServer

Faulty = tuple[Registries, Reference, Faults]
SIZE = 3 << 20
METADATA = ModelMetadata(name="m")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_pause", lambda *_: 0.0)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(os.urandom(SIZE))
    return path


@pytest.fixture
def pushed(registries: Registries, place: Reference, model: Path) -> Pushed:
    return push(registries, place, parts_of([model]), METADATA)


def model_blob(pushed: Pushed) -> str:
    return f"/blobs/{pushed.manifest.layers[0].digest}"


def test_a_download_that_breaks_off_is_gone_on_with(
    faulty: Faulty, pushed: Pushed, model: Path, tmp_path: Path
) -> None:
    registries, place, faults = faulty
    faults.orders = [Order(f"GET /v2/{place.repository}{model_blob(pushed)}", cut=1 << 20, times=2)]
    pull(registries, place, tmp_path / "out")
    assert (tmp_path / "out" / "model.onnx").read_bytes() == model.read_bytes()
    assert faults.ranges == ["bytes=1048576-", "bytes=2097152-"]


def test_a_server_without_ranges_is_asked_from_the_start(
    faulty: Faulty, pushed: Pushed, model: Path, tmp_path: Path
) -> None:
    registries, place, faults = faulty
    faults.without_ranges = True
    faults.orders = [Order(f"GET /v2/{place.repository}{model_blob(pushed)}", cut=1 << 20)]
    pull(registries, place, tmp_path / "out")
    assert (tmp_path / "out" / "model.onnx").read_bytes() == model.read_bytes()


def test_a_pull_that_was_cut_off_is_gone_on_with_by_the_next(
    faulty: Faulty, pushed: Pushed, model: Path, tmp_path: Path
) -> None:
    registries, place, faults = faulty
    out = tmp_path / "out"
    # The first piece comes; after that the registry falls silent.
    faults.orders = [Order(model_blob(pushed), cut=1 << 20), Order(model_blob(pushed), drop=True, times=9)]
    with pytest.raises(UnreachableError, match=f"registry {place.registry} cannot be asked for {place}"):
        pull(registries, place, out)
    assert [path.name for path in out.iterdir()] == [STAGING]
    faults.orders, faults.ranges = [], []
    pull(registries, place, out)
    assert (out / "model.onnx").read_bytes() == model.read_bytes()
    assert faults.ranges == ["bytes=1048576-"]
    assert not (out / STAGING).exists()


def test_what_an_earlier_pull_left_damaged_is_fetched_anew(
    faulty: Faulty, pushed: Pushed, model: Path, tmp_path: Path
) -> None:
    registries, place, _ = faulty
    staging = tmp_path / "out" / STAGING
    staging.mkdir(parents=True)
    (staging / f".{pushed.manifest.layers[0].hex}.partial").write_bytes(b"rubbish")
    pull(registries, place, tmp_path / "out")
    assert (tmp_path / "out" / "model.onnx").read_bytes() == model.read_bytes()


def test_a_tampered_blob_is_never_laid_down(faulty: Faulty, pushed: Pushed, tmp_path: Path) -> None:
    registries, place, faults = faulty
    blob = f"GET /v2/{place.repository}{model_blob(pushed)}"
    faults.orders = [Order(blob, alter=lambda body: bytes([body[0] ^ 1]) + body[1:], times=9)]
    with pytest.raises(ServiceError, match="arrived damaged: it is sha256:") as raised:
        pull(registries, place, tmp_path / "out")
    assert place.registry in str(raised.value)
    left = [path for path in (tmp_path / "out").rglob("*") if path.is_file() and STAGING not in path.parts]
    assert left == []
    assert not list((tmp_path / "out").rglob(f"*{pushed.manifest.layers[0].hex}*"))


def test_a_full_disk_is_told_and_left_as_it_was(
    registries: Registries, pushed: Pushed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(blobs, "_write", full)
    with pytest.raises(StorageError, match="the disk is full; free some space"):
        pull(registries, pushed.reference, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_blob_that_stays_short_is_told_with_what_came(faulty: Faulty, pushed: Pushed, tmp_path: Path) -> None:
    registries, place, faults = faulty
    faults.without_ranges = True
    faults.orders = [Order(model_blob(pushed), alter=lambda body: body[:1000], times=99)]
    with pytest.raises(UnreachableError, match=f"sends 1,000 of the {SIZE:,} bytes of blob sha256:"):
        pull(registries, place, tmp_path / "out")


def test_an_altered_manifest_is_refused(faulty: Faulty, pushed: Pushed, tmp_path: Path) -> None:
    registries, place, faults = faulty
    faults.orders = [Order("/manifests/", alter=lambda body: body + b" ", times=9)]
    with pytest.raises(ServiceError, match="arrived altered"):
        pull(registries, place, tmp_path / "out")
    faults.orders = [Order("/manifests/", alter=lambda _: b"{", set_headers={"docker-content-digest": ""}, times=9)]
    with pytest.raises(FairError, match=r"altered|is not JSON"):
        pull(registries, place, tmp_path / "out")


def test_a_busy_registry_is_asked_again_with_what_it_asks_for(
    faulty: Faulty, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registries, place, faults = faulty
    waited: list[str] = []
    monkeypatch.setattr(connections, "_pause", lambda _, asked: waited.append(asked) or 0.0)
    faults.orders = [
        Order("POST", status=503),
        Order("PATCH", status=429, headers={"Retry-After": "7"}),
        Order("PUT /v2", status=500),
        Order("/manifests/", status=429, headers={"Retry-After": "3"}),
    ]
    push(registries, place, parts_of([model]), METADATA)
    assert {"7", "3"} <= set(waited)
    assert len(waited) == 4
    faults.orders = [Order("GET", status=503), Order(f"GET /v2/{place.repository}/blobs", status=502)]
    pull(registries, place, tmp_path / "out")
    assert (tmp_path / "out" / "model.onnx").read_bytes() == model.read_bytes()


def test_an_upload_that_breaks_off_is_made_again(faulty: Faulty, model: Path) -> None:
    registries, place, faults = faulty
    faults.orders = [Order("PATCH", drop=True), Order("digest=", drop=True)]
    push(registries, place, parts_of([model]), METADATA)
    assert registries.manifest(place).layers[0].size == SIZE
    # The answer to the end was lost, and not the blob: it is not sent a third time.
    assert faults.count("PATCH") == 2


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "does not let .* be written \\(401: no\\).*fair-dagster oci login"),
        (403, "does not let .* be written \\(403: no\\).*fair-dagster oci login"),
        (404, "answers 404: no"),
        (413, "answers 413: no"),
        (429, "lets nobody ask for .* now \\(429: no\\): try again later"),
        (507, "answers 507: no"),
    ],
)
def test_a_registry_that_refuses_is_not_pressed(faulty: Faulty, model: Path, status: int, words: str) -> None:
    registries, place, faults = faulty
    body = b'{"errors": [{"code": "DENIED", "message": "no"}]}'
    faults.orders = [Order("POST", status=status, body=body, times=99)]
    with pytest.raises(ServiceError, match=words) as raised:
        push(registries, place, parts_of([model]), METADATA)
    assert place.registry in str(raised.value)
    assert place.repository in str(raised.value)
    # One request for each of the blobs at work; several only where the registry is busy.
    assert faults.count("POST") == (3 if status == 429 else 1)
    assert faults.count("PUT") == 0


def test_a_token_that_expires_half_way_is_replaced(faulty: Faulty, model: Path, tmp_path: Path) -> None:
    registries, place, faults = faulty
    faults.secured = True

    def expire(body: bytes) -> bytes:
        faults.tokens.clear()
        return body

    faults.orders = [Order("POST", alter=expire), Order("PATCH", alter=expire)]
    push(registries, place, parts_of([model]), METADATA)
    faults.orders = [Order(f"GET /v2/{place.repository}/manifests", alter=expire)]
    pull(registries, place, tmp_path / "out")
    assert (tmp_path / "out" / "model.onnx").read_bytes() == model.read_bytes()
    assert faults.count("/token") >= 4


def test_blobs_are_fetched_where_the_registry_sends_and_credentials_stay(
    faulty: Faulty, docker_registry: RegistryServer, pushed: Pushed, model: Path, tmp_path: Path
) -> None:
    _, place, faults = faulty
    faults.secured = True
    path = f"/v2/{place.repository}{model_blob(pushed)}"
    with faulty_registry(docker_registry.url) as (elsewhere, storage):
        sent_on = Order(f"GET {path}", status=307, headers={"Location": f"http://{elsewhere}{path}"}, times=2)
        faults.orders = [sent_on]
        trusting = Registries((place.registry, elsewhere), lambda _: None)
        pull(trusting, place, tmp_path / "out")
        assert (tmp_path / "out" / "model.onnx").read_bytes() == model.read_bytes()
        assert storage.authorizations == [""]
        assert "Bearer" in faults.authorizations[-1]
        # A registry that nobody has named may not send us to other servers of this machine.
        wary = Registries((place.registry,), lambda _: None)
        with pytest.raises(ServiceError, match="only https is spoken"):
            pull(wary, place, tmp_path / "other")


def test_a_file_that_changes_while_it_is_pushed_is_refused(
    faulty: Faulty, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registries, place, faults = faulty

    def change(body: bytes) -> bytes:
        model.write_bytes(os.urandom(SIZE))
        return body

    faults.orders = [Order("POST", alter=change)]
    with pytest.raises(RefusedError, match=r"model\.onnx changed while it was read"):
        push(registries, place, parts_of([model]), METADATA)
    with pytest.raises(NotFoundError):
        registries.manifest(place)


def test_one_blob_that_fails_ends_the_push(faulty: Faulty) -> None:
    registries, place, faults = faulty
    faults.orders = [Order("POST", times=99, status=403, body=b"{}")]
    parts = [Part(os.urandom(10), f"{number}.bin") for number in range(40)]
    with pytest.raises(ServiceError, match="403"):
        push(registries, place, parts, METADATA)
    assert faults.count("POST") <= 8


def test_ten_thousand_tags_are_read_in_pages(faulty: Faulty) -> None:
    registries, place, faults = faulty
    names = [f"v{number}" for number in range(10_000)] + [f"sha256-{'a' * 64}"]
    for start in range(0, len(names), 1000):
        page = str(names[start : start + 1000]).replace("'", '"')
        following = {"Link": f'</v2/{place.repository}/tags/list?n=1000&last={start + 1000}>; rel="next"'}
        faults.orders.append(
            Order(
                f"last={start}" if start else "tags/list?n=1000",
                status=200,
                headers=following if start + 1000 < len(names) else {},
                body=f'{{"name": "x", "tags": {page}}}'.encode(),
            )
        )
    faults.orders.reverse()
    assert list(registries.tags(place)) == names[:-1]
    assert len(list(registries.repositories(place.registry))) > 0


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({"Link": "<https://elsewhere.example.org/v2/>; rel=next"}, "another server"),
        ({"Link": "<?n=1000>; rel=next"}, "same page again"),
    ],
)
def test_pages_do_not_lead_away_or_around(faulty: Faulty, headers: dict[str, str], words: str) -> None:
    registries, place, faults = faulty
    faults.orders = [Order("tags/list", status=200, headers=headers, body=b'{"tags": ["v1"]}', times=9)]
    with pytest.raises(ServiceError, match=words):
        list(registries.tags(place))


def test_a_list_of_another_form_is_told(faulty: Faulty) -> None:
    registries, place, faults = faulty
    faults.orders = [Order("tags/list", status=200, body=b"<html>")]
    with pytest.raises(ServiceError, match="no list of tags"):
        list(registries.tags(place))


def test_a_tag_that_cannot_be_read_hinders_no_other(faulty: Faulty, pushed: Pushed, registries: Registries) -> None:
    client, place, faults = faulty
    for tag in ("v2", "v3"):
        registries.put_manifest(pushed.reference.with_tag(tag), pushed.manifest)
    faults.orders = [Order("manifests/v2", status=500, body=b"{}", times=9)]
    found = list_artifacts(client, place)
    assert {one.reference.tag for one in found.artifacts} == {"v1", "v3"}
    assert "answers 500" in found.problems["v2"]


def test_a_copy_goes_on_where_either_side_fails(
    faulty: Faulty, registries: Registries, pushed: Pushed, place: Reference
) -> None:
    _, source, faults = faulty
    trusting = Registries((source.registry, place.registry), lambda _: None)
    target = Reference.parse(f"{place.registry}/{place.repository}-copy:v9")
    faults.orders = [Order(f"GET /v2/{source.repository}{model_blob(pushed)}", cut=1 << 20)]
    done = copy(trusting, source, target)
    assert registries.digest_of(target) == pushed.digest == done.digest
    assert done.uploaded == pushed.uploaded

    faults.orders = [
        Order(
            f"GET /v2/{source.repository}{model_blob(pushed)}",
            alter=lambda body: bytes([body[0] ^ 1]) + body[1:],
            times=9,
        )
    ]
    other = Reference.parse(f"{place.registry}/{place.repository}-other:v9")
    with pytest.raises(UnreachableError, match=f"registry {source.registry} cannot be asked .* arrived damaged"):
        copy(trusting, source, other)
    with pytest.raises(NotFoundError):
        registries.manifest(other)
