"""What every artifact store does, tried on a folder and on a bucket of a real server."""

from pathlib import Path

import pytest

from fair_dagster.domain.errors import StorageError
from fair_dagster.settings import Settings
from fair_dagster.storage.local import LocalArtifacts, describe
from fair_dagster.storage.opening import open_artifacts
from fair_dagster.storage.s3.parts import PART
from fair_dagster.storage.store import ArtifactStore, split_s3

RELEASE = "datasets/town/v1-12345678"


@pytest.fixture
def chips(tmp_path: Path) -> Path:
    folder = tmp_path / "chips"
    (folder / "sub").mkdir(parents=True)
    (folder / "a b.tif").write_bytes(b"a")
    (folder / "sub" / "ü.tif").write_bytes(b"bb")
    (folder / "empty.tif").write_bytes(b"")
    (folder / ".hidden").write_bytes(b"x")
    return folder


def test_a_folder_comes_back_as_it_was_under_one_checksum(store: ArtifactStore, chips: Path, tmp_path: Path) -> None:
    published = store.publish(chips, f"{RELEASE}/chips")

    wanted = describe(chips)
    assert (published.size, published.checksum) == (wanted.size, wanted.checksum)
    for read in (True, False):
        seen = store.look(f"{RELEASE}/chips", read=read)
        assert seen is not None
        assert seen.size == 3
        assert seen.checksum in ({wanted.checksum} if read else {wanted.checksum, None})
    fetched = store.fetch(f"{RELEASE}/chips", tmp_path / "fetched")
    assert fetched == published
    found = sorted(path.relative_to(tmp_path / "fetched").as_posix() for path in (tmp_path / "fetched").rglob("*.tif"))
    assert found == ["a b.tif", "empty.tif", "sub/ü.tif"]
    assert store.publish(chips, f"{RELEASE}/chips") == published


def test_a_file_of_several_parts_comes_back_whole(store: ArtifactStore, tmp_path: Path) -> None:
    source = tmp_path / "model.onnx"
    source.write_bytes(bytes(range(256)) * (PART // 256 * 2) + b"end")

    published = store.publish(source, f"{RELEASE}/model.onnx")

    assert published.checksum == describe(source).checksum
    assert store.size(f"{RELEASE}/model.onnx") == source.stat().st_size
    assert store.fetch(f"{RELEASE}/model.onnx", tmp_path / "copy") == published
    assert (tmp_path / "copy").read_bytes() == source.read_bytes()


def test_some_files_of_a_folder_are_published_and_what_was_there_more_goes(store: ArtifactStore, chips: Path) -> None:
    store.publish(chips, f"{RELEASE}/chips")
    wanted = [chips / "a b.tif"]

    assert store.restore(chips, f"{RELEASE}/chips", wanted).checksum == describe(chips, wanted).checksum
    assert store.size(f"{RELEASE}/chips") == 1


def test_what_is_published_is_listed_by_its_folders_and_has_an_age(store: ArtifactStore, chips: Path) -> None:
    store.publish(chips, f"{RELEASE}/chips")
    store.write(b"{}", "datasets/other/v2-12345678/labels.geojson")

    assert store.prefixes("datasets") == ["datasets/other", "datasets/town"]
    assert store.prefixes("datasets/town") == [RELEASE]
    assert store.prefixes("base-models") == []
    age = store.age(RELEASE)
    assert age is not None
    assert age < 600
    assert store.age("datasets/none") is None


def test_documents_are_written_over_and_read(store: ArtifactStore) -> None:
    first = store.write(b"one", f"{RELEASE}/.release.json")
    store.write(b"two", f"{RELEASE}/.release.json")

    assert store.read(f"{RELEASE}/.release.json") == b"two"
    assert store.read(f"{RELEASE}/nothing.json") is None
    assert first.size == 3


def test_removing_takes_everything_below_and_nothing_beside(store: ArtifactStore, chips: Path) -> None:
    store.publish(chips, f"{RELEASE}/chips")
    store.write(b"{}", f"{RELEASE}9/labels.geojson")

    store.remove(RELEASE)
    store.remove(RELEASE)

    assert store.size(f"{RELEASE}/chips") is None
    assert store.look(f"{RELEASE}/chips") is None
    assert store.age(RELEASE) is None
    assert store.size(f"{RELEASE}9/labels.geojson") == 2


@pytest.mark.parametrize("key", ["../x", "a/../../x", "/etc/x", "", "."])
def test_a_key_cannot_leave_the_root(store: ArtifactStore, key: str) -> None:
    for act in (store.href, store.place, store.size, store.remove, store.read):
        with pytest.raises(StorageError, match="relative path"):
            act(key)


def test_a_source_that_is_not_there_leaves_nothing_behind(store: ArtifactStore, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"missing.*No such file"):
        store.publish(tmp_path / "missing", f"{RELEASE}/model.onnx")

    assert store.size(f"{RELEASE}/model.onnx") is None
    assert store.unfinished() == []


def test_an_href_leads_back_to_its_key_in_every_spelling(tmp_path: Path) -> None:
    base = "https://models.example.org/a"
    stores = [
        LocalArtifacts(tmp_path, base),
        open_artifacts(Settings(home=tmp_path, artifacts="s3://bucket/prefix", artifacts_url=f"{base}/")),
    ]
    for store in stores:
        key = "base-models/m/v1-12345678/weights ü.bin"
        assert store.href(key) == f"{base}/base-models/m/v1-12345678/weights%20%C3%BC.bin"
        assert store.key_of(store.href(key)) == key
        for other in (
            "https://elsewhere.org/a/x",
            f"{base}/../x",
            f"{base}/x?y=z",
            base,
            f"{base}/",
            "s3://b/prefix/x",
        ):
            assert store.key_of(other) is None
    assert stores[0].key_of(str(tmp_path / "x" / "y")) == "x/y"
    assert stores[1].key_of("s3://bucket/prefix/x/y") == "x/y"
    assert stores[1].key_of("s3://bucket/prefixed/x") is None


@pytest.mark.parametrize("url", ["s3://", "s3://key:secret@bucket/x", "gs://bucket", "s3://bucket/../x"])
def test_a_place_that_cannot_be_used_is_refused_without_its_password(url: str, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="must be s3://<bucket>") as caught:
        open_artifacts(Settings(home=tmp_path, artifacts=url))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["https://user:secret@models.example.org", "ftp://x", "https://x/?a=b", "models"])
def test_a_public_address_that_no_item_may_name_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="FAIR_ARTIFACTS_URL") as caught:
        open_artifacts(Settings(home=tmp_path, artifacts_url=url))
    assert "secret" not in str(caught.value)


def test_a_bucket_is_split_from_its_prefix() -> None:
    assert split_s3("s3://bucket/a/b/") == ("bucket", "a/b")
    assert split_s3("s3://bucket") == ("bucket", "")
