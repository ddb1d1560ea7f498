"""Archives of layers, read by the standard library's tarfile."""

import io
import tarfile

from hypothesis import given
from hypothesis import strategies as st

from fair_dagster.oci.descriptors import Descriptor
from fair_dagster.oci.images.layers import Archive, File, Link, archives

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\0", exclude_categories=["Cs", "Cc"]), min_size=1)
PATHS = st.lists(NAMES.filter(lambda name: name not in {".", ".."}), min_size=1, max_size=9).map("/".join)


def blob(size: int, name: str = "") -> Descriptor:
    return Descriptor.of(name.encode() + bytes(size - len(name)), "application/x-mlmodel")


def written(archive: Archive) -> bytes:
    return b"".join(piece if isinstance(piece, bytes) else bytes(piece.size) for piece in archive.pieces())


@given(st.dictionaries(PATHS, st.binary(max_size=1025), min_size=1, max_size=5))
def test_an_archive_holds_its_files_and_is_as_long_as_it_says(files: dict[str, bytes]) -> None:
    archive = Archive(tuple(File(path, content) for path, content in files.items()))
    assert archive.size == len(written(archive))
    with tarfile.open(fileobj=io.BytesIO(written(archive))) as tar:
        found = {one.name: one for one in tar if one.isfile()}
        assert found.keys() == files.keys()
        for name, one in found.items():
            stream = tar.extractfile(one)
            assert stream is not None
            assert stream.read() == files[name]


def test_nothing_of_this_machine_is_in_an_archive() -> None:
    archive = Archive((File("a/b", b"x", is_program=True), File("a/c", b"y"), Link("a/d", "b")))
    with tarfile.open(fileobj=io.BytesIO(written(archive))) as tar:
        told = [(one.name, oct(one.mode), one.mtime, one.uid, one.gid, one.uname, one.linkname) for one in tar]
    assert told == [
        ("a", "0o755", 0, 0, 0, "", ""),
        ("a/b", "0o755", 0, 0, 0, "", ""),
        ("a/c", "0o644", 0, 0, 0, "", ""),
        ("a/d", "0o777", 0, 0, 0, "", "b"),
    ]


def test_a_file_beyond_the_old_limit_of_tar_is_told_with_its_size() -> None:
    huge = Descriptor("application/x-mlmodel", f"sha256:{'0' * 64}", 20 << 30)
    header = next(piece for piece in list(Archive((File("m", huge),)).pieces()) if isinstance(piece, bytes))
    assert tarfile.TarInfo.frombuf(header[-512:], "utf-8", "strict").name == "m"
    assert str(20 << 30).encode() in header


def test_a_large_file_has_a_layer_of_its_own_and_small_ones_share_the_last() -> None:
    files = {"z.onnx": blob(2 << 20, "z"), "a.onnx": blob(1 << 20, "a"), "b.json": blob(2), "c.json": blob(3)}
    paths = [[entry.path for entry in archive.entries] for archive in archives(files)]
    assert paths == [["models/a.onnx"], ["models/z.onnx"], ["models/b.json", "models/c.json"]]
    assert archives(dict(reversed(files.items()))) == archives(files)


def test_many_large_files_stay_within_what_overlayfs_stacks() -> None:
    shared = blob(1 << 20)
    planned = archives({f"{number:03}.onnx": shared for number in range(200)})
    assert len(planned) == 64
    assert sum(len(archive.entries) for archive in planned) == 200
