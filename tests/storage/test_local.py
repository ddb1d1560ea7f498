import hashlib
import os
from pathlib import Path

import pytest

from fair_dagster.domain.errors import StorageError
from fair_dagster.storage.local import LocalArtifacts, describe


def test_a_file_is_copied_with_size_and_multihash(tmp_path: Path) -> None:
    source = tmp_path / "model.onnx"
    source.write_bytes(b"weights")

    published = LocalArtifacts(tmp_path / "store").publish(source, "local-models/a/v1/model.onnx")

    assert Path(published.href).read_bytes() == b"weights"
    assert published.size == 7
    assert published.checksum == "1220" + hashlib.sha256(b"weights").hexdigest()


def test_a_published_artifact_is_never_copied_twice(tmp_path: Path) -> None:
    source = tmp_path / "model.onnx"
    source.write_bytes(b"first")
    store = LocalArtifacts(tmp_path / "store")
    first = store.publish(source, "a/model.onnx")
    before = Path(first.href).stat()

    assert store.publish(source, "a/model.onnx") == first
    after = Path(first.href).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_what_was_changed_after_it_was_published_is_not_adopted(tmp_path: Path) -> None:
    source = tmp_path / "chips"
    source.mkdir()
    for name in ("a.tif", "b.tif", "notes.txt"):
        (source / name).write_bytes(name.encode())
    chips = [source / "a.tif", source / "b.tif"]
    store = LocalArtifacts(tmp_path / "store")
    first = store.publish(source, "d/chips", chips)
    (Path(first.href) / "a.tif").write_bytes(b"other")

    assert store.publish(source, "d/chips", chips) == first == describe(Path(first.href))
    assert (Path(first.href) / "a.tif").read_bytes() == b"a.tif"


def test_a_folder_has_one_checksum_that_follows_names_and_content(tmp_path: Path) -> None:
    folder = tmp_path / "chips"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.tif").write_bytes(b"a")
    (folder / "sub" / "b.tif").write_bytes(b"bb")
    (folder / ".hidden").write_bytes(b"x")
    store = LocalArtifacts(tmp_path / "store")

    published = store.publish(folder, "d/chips")

    assert published.size == 3
    assert not (Path(published.href) / ".hidden").exists()
    assert published.checksum == describe(folder).checksum
    (folder / "a.tif").rename(folder / "c.tif")
    assert describe(folder).checksum != published.checksum


@pytest.mark.parametrize("key", ["../x", "a/../../x", "/etc/x", "", "."])
def test_a_key_cannot_leave_the_root(tmp_path: Path, key: str) -> None:
    with pytest.raises(StorageError, match="relative path"):
        LocalArtifacts(tmp_path).path(key)


def test_a_source_that_is_not_there_leaves_nothing_behind(tmp_path: Path) -> None:
    store = LocalArtifacts(tmp_path / "store")

    with pytest.raises(StorageError, match="cannot publish"):
        store.publish(tmp_path / "missing", "a/model.onnx")

    assert not [path for path in (tmp_path / "store").rglob("*") if path.is_file()]


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "model.onnx"
    source.write_bytes(b"weights")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        LocalArtifacts(tmp_path / "store").publish(source, "a/model.onnx")

    assert not [path for path in (tmp_path / "store").rglob("*") if path.is_file()]


def test_writing_replaces_and_removing_twice_is_no_error(tmp_path: Path) -> None:
    store = LocalArtifacts(tmp_path)
    store.write(b"one", "a/b.json")
    assert Path(store.write(b"two", "a/b.json").href).read_bytes() == b"two"

    store.remove("a")
    store.remove("a")
    assert not (tmp_path / "a").exists()
