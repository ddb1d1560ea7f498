"""What lies under a model in an image: a base image of a registry, or BusyBox from a file of this machine.

KServe hands a modelcar a script for ``sh`` with ``[``, ``echo``, ``ls``, ``ln`` and ``sleep``. Nothing is sent here.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fair_dagster.domain.errors import RefusedError, StorageError
from fair_dagster.oci.images.documents import Base, Platform, entry_for
from fair_dagster.oci.images.layers import Archive, Entry, File, Link
from fair_dagster.oci.references import Reference
from fair_dagster.oci.registry.registries import Registries

APPLETS = ("[", "cat", "date", "echo", "env", "false", "id", "ln", "ls", "mkdir", "sh", "sleep", "stat", "test", "true")
"""Names by which BusyBox is called in an image made here: KServe's scripts, and what helps who looks inside."""
_NEEDED = ("[", "echo", "ln", "ls", "sh", "sleep")
_MOST_BYTES = 16 << 20
_INTERPRETER = 3
_MACHINES = {3: "386", 21: "ppc64le", 22: "s390x", 40: "arm", 62: "amd64", 183: "arm64", 243: "riscv64"}


@dataclass(frozen=True)
class FoundBase:
    """A base for one platform.

    Attributes:
        source: where its layers are; None where it has none yet.
        archive: a layer that is still to be made.
    """

    base: Base = field(default_factory=Base)
    source: Reference | None = None
    archive: Archive | None = None


def find_bases(registries: Registries, wanted: str, platforms: Sequence[Platform]) -> dict[Platform, FoundBase]:
    """The base for each platform.

    Args:
        wanted: a reference of an image, or the path of a static BusyBox, which starts with ``/`` or ``.``.

    Raises:
        RefusedError: it is no such thing, or not for a platform.
        StorageError: the file cannot be read.
        As ``Registries``.
    """
    if wanted.startswith(("/", ".")):
        return _from_file(Path(wanted), platforms)
    return {platform: _from_registry(registries, Reference.parse(wanted), platform) for platform in platforms}


def _from_registry(registries: Registries, reference: Reference, platform: Platform) -> FoundBase:
    found = registries.manifest(reference)
    name = str(reference)
    if found.is_index:
        entry = reference.at(entry_for(found, platform, name))
        found = registries.image_manifest(entry)
    place = reference.at(found.digest)
    config = registries.read_blob(place, found.config)
    return FoundBase(Base.parse(found, config, name, platform), place)


def _from_file(path: Path, platforms: Sequence[Platform]) -> dict[Platform, FoundBase]:
    try:
        with path.open("rb") as stream:
            content = stream.read(_MOST_BYTES + 1)
    except OSError as error:
        raise StorageError(f"base {path} cannot be read: {error.strerror or error}") from error
    machine, problems = _elf(content)
    problems += [f"it has no {name!r}" for name in _NEEDED if machine and f"\0{name}\0".encode() not in content]
    problems += [
        f"it runs on linux/{machine}, not on {platform}: name a base image of a registry that is there for both"
        for platform in platforms
        if machine and (platform.os, platform.architecture) != ("linux", machine)
    ]
    if problems:
        raise RefusedError(f"base {path} (a static BusyBox is wanted: Debian's package busybox-static)", problems)
    entries: list[Entry] = [File("bin/busybox", content, is_program=True)]
    entries += [Link(f"bin/{name}", "busybox") for name in APPLETS]
    archive = Archive(tuple(sorted(entries, key=lambda entry: entry.path)))
    return dict.fromkeys(platforms, FoundBase(archive=archive))


def _elf(content: bytes) -> tuple[str, list[str]]:
    """The architecture of a program, as Go spells it, and what is wrong with it.

    https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.eheader.html
    """
    if len(content) > _MOST_BYTES:
        return "", [f"it has more than {_MOST_BYTES >> 20} MiB"]
    if content[:4] != b"\x7fELF" or len(content) < 64 or content[4] not in {1, 2}:
        return "", ["it is no program of Linux"]
    order = "<" if content[5] == 1 else ">"
    is_wide = content[4] == 2
    kind, number = struct.unpack_from(f"{order}HH", content, 16)
    place = (
        struct.unpack_from(f"{order}Q", content, 32)[0] if is_wide else struct.unpack_from(f"{order}I", content, 28)[0]
    )
    size, count = struct.unpack_from(f"{order}HH", content, 54 if is_wide else 42)
    machine = _MACHINES.get(number, "")
    problems = [] if machine and kind in {2, 3} else ["it is a program of an architecture that is not known here"]
    ends = place + size * count
    if ends > len(content):
        return machine, [*problems, "it is cut short"]
    headers = (struct.unpack_from(f"{order}I", content, place + size * one)[0] for one in range(count))
    if _INTERPRETER in headers:
        problems.append("it is linked to libraries, which an image without them cannot give it")
    return machine, problems
