"""Folders that other tools packed: laid down as folders, and nowhere else."""

import io
import subprocess
import tarfile
from pathlib import Path

import pytest

from fair_dagster.domain.errors import RefusedError, StorageError
from fair_dagster.oci.artifacts.unpacking import unpack
from fair_dagster.oci.pulling import pull
from fair_dagster.oci.references import Reference
from fair_dagster.oci.registry.registries import Registries


def archive(path: Path, *members: tuple[str, str, bytes]) -> Path:
    """A tar.gz of members: kind, name, and content or target of a link."""
    kinds = {"file": tarfile.REGTYPE, "link": tarfile.SYMTYPE, "device": tarfile.CHRTYPE, "folder": tarfile.DIRTYPE}
    with tarfile.open(path, "w:gz") as stream:
        for kind, name, content in members:
            member = tarfile.TarInfo(name)
            member.type = kinds[kind]
            if kind == "file":
                member.size = len(content)
                stream.addfile(member, io.BytesIO(content))
            else:
                member.linkname = content.decode()
                stream.addfile(member)
    return path


def test_a_folder_of_omlmd_is_a_folder_again(
    registries: Registries, place: Reference, omlmd: Path, tmp_path: Path
) -> None:
    source = tmp_path / "model"
    (source / "sub").mkdir(parents=True)
    (source / "a.bin").write_bytes(b"a")
    (source / "sub" / "b.bin").write_bytes(b"b")
    command = [str(omlmd), "push", "--plain-http", str(place), str(source), "--empty-metadata"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=120)
    pull(registries, place, tmp_path / "packed")
    assert (tmp_path / "packed" / "model").is_file()
    pull(registries, place, tmp_path / "out", unpack=True)
    assert (tmp_path / "out" / "model" / "a.bin").read_bytes() == b"a"
    assert (tmp_path / "out" / "model" / "sub" / "b.bin").read_bytes() == b"b"
    with pytest.raises(RefusedError, match="is there, and is no file"):
        pull(registries, place, tmp_path / "out", unpack=True)


@pytest.mark.parametrize(
    "member",
    [
        ("file", "../../x", b"x"),
        ("file", "model/../../x", b"x"),
        ("link", "x", b"../../elsewhere"),
        ("link", "x", b"/etc/passwd"),
        ("device", "x", b""),
    ],
)
def test_members_do_not_leave_the_folder(tmp_path: Path, member: tuple[str, str, bytes]) -> None:
    packed = archive(tmp_path / "packed", member)
    with pytest.raises(RefusedError, match="archive 'model'"):
        unpack(packed, "model", tmp_path / "deep" / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"packed", "deep"}
    assert list((tmp_path / "deep" / "out").iterdir()) == []


def too_long_to_resolve(path: Path) -> Path:
    """Links through folders whose real path is longer than the system resolves, and a file behind them."""
    folder, steps = "d" * 247, "abcdefghijklmnop"
    members: list[tuple[str, str, bytes]] = []
    above = ""
    for step in steps:
        members += [("folder", f"{above}{folder}", b""), ("link", f"{above}{step}", folder.encode())]
        above += f"{folder}/"
    up = f"{'/'.join(steps)}/{'l' * 254}"
    members += [("link", up, b"../" * len(steps)), ("link", "out", f"{up}/../../..".encode())]
    return archive(path, *members, ("file", "out/x", b"x"))


def test_links_that_cannot_be_resolved_do_not_lead_out(tmp_path: Path) -> None:
    packed = too_long_to_resolve(tmp_path / "packed")
    with pytest.raises(RefusedError, match="is reached through a link"):
        unpack(packed, "model", tmp_path / "some" / "deep" / "out")
    assert not list(tmp_path.glob("**/x"))


@pytest.mark.parametrize(
    "target",
    [b"here/..", b"here/../..", b"../here/.."],
)
def test_a_link_does_not_go_up_through_another(tmp_path: Path, target: bytes) -> None:
    packed = archive(tmp_path / "packed", ("link", "a/here", b".."), ("link", "a/x", target))
    with pytest.raises(RefusedError, match="may lead out of its folder"):
        unpack(packed, "model", tmp_path / "out")


def test_inner_links_are_laid(tmp_path: Path) -> None:
    packed = archive(
        tmp_path / "packed", ("file", "model/one/a", b"a"), ("link", "model/two/b", b"../one/a"), ("link", "c", b"one")
    )
    unpack(packed, "model", tmp_path / "out")
    assert (tmp_path / "out" / "two" / "b").read_bytes() == b"a"
    assert (tmp_path / "out" / "c" / "a").read_bytes() == b"a"


def test_an_absolute_member_stays_below(tmp_path: Path) -> None:
    unpack(archive(tmp_path / "packed", ("file", "/etc/x", b"x")), "model", tmp_path / "out")
    assert (tmp_path / "out" / "etc" / "x").read_bytes() == b"x"


def test_a_bomb_and_a_broken_archive_are_told(tmp_path: Path) -> None:
    packed = archive(tmp_path / "packed", ("file", "a", b"x" * 100), ("file", "b", b"x" * 100))
    with pytest.raises(RefusedError, match="more than 150 bytes"):
        unpack(packed, "model", tmp_path / "one", largest=150)
    packed.write_bytes(packed.read_bytes()[:-20])
    with pytest.raises(StorageError, match="cannot be"):
        unpack(packed, "model", tmp_path / "two")
