"""Folders that other tools pushed as archives: oras and omlmd pack a folder into one layer under its name.

Nothing of an archive leaves the folder of its name. Our own pushes make no archives.
"""

import tarfile
from pathlib import Path, PurePosixPath

from fair_dagster.domain.errors import RefusedError, StorageError

LARGEST = 100 << 30
"""Bytes of all files of an archive: more is taken for an attack on the disk."""


def is_archive(path: Path) -> bool:
    """Whether a file is a tar archive, compressed or not."""
    return tarfile.is_tarfile(path)


def unpack(archive: Path, title: str, target: Path, *, largest: int = LARGEST) -> None:
    """Lay the members of an archive below the new folder ``target``.

    Args:
        title: of the layer. Members below its last part, as oras packs a folder, are laid without it.

    Raises:
        RefusedError: a member would leave the folder, is no file, folder or inner link, or all are too large;
            ``target`` may hold a part of it.
        StorageError: it cannot be read or written.
    """
    target.mkdir(parents=True)
    name = PurePosixPath(title).name
    try:
        with tarfile.open(archive) as members:
            size = 0
            for member in members:
                size += member.size
                if size > largest:
                    raise RefusedError(f"archive {title!r}", [f"its files have more than {largest} bytes"])
                member.name = _below(member.name, name)
                if member.islnk():
                    member.linkname = _below(member.linkname, name)
                members.extract(member, target, filter="data", set_attrs=False)
    except tarfile.FilterError as error:
        raise RefusedError(f"archive {title!r}", [f"a member leads out of its folder: {error}"]) from error
    except (tarfile.TarError, EOFError) as error:
        raise StorageError(f"archive {title!r} cannot be read: {error}") from error
    except OSError as error:
        raise StorageError(f"archive {title!r} cannot be unpacked: {error.strerror or error}") from error


def _below(member: str, name: str) -> str:
    path = PurePosixPath(member)
    return str(path.relative_to(name)) if path.parts[:1] == (name,) else member
