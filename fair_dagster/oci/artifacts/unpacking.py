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
            links: set[PurePosixPath] = set()
            for member in members:
                size += member.size
                if size > largest:
                    raise RefusedError(f"archive {title!r}", [f"its files have more than {largest} bytes"])
                member.name = _below(member.name, name)
                if member.islnk():
                    member.linkname = _below(member.linkname, name)
                _require_inside(member, title, links)
                members.extract(member, target, filter="data", set_attrs=False)
    except tarfile.FilterError as error:
        raise RefusedError(f"archive {title!r}", [f"a member leads out of its folder: {error}"]) from error
    except (tarfile.TarError, EOFError) as error:
        raise StorageError(f"archive {title!r} cannot be read: {error}") from error
    except OSError as error:
        raise StorageError(f"archive {title!r} cannot be unpacked: {error.strerror or error}") from error


def _require_inside(member: tarfile.TarInfo, title: str, links: set[PurePosixPath]) -> None:
    """Refuse what only the file system could tell to stay inside, and remember symbolic links.

    The filter of ``tarfile`` asks it as well, but many versions of Python believe it where a path is too long to be
    resolved (CVE-2025-4517). Here nothing is laid through a link, and a link goes up no further than its folder is
    deep, and not again after it went down: so it stays inside, whatever other links it leads through.
    """
    path = PurePosixPath(member.name.lstrip("/"))
    ways = [path, PurePosixPath(member.linkname.lstrip("/"))] if member.islnk() else [path]
    if any(part in links for way in ways for part in (way, *way.parents)):
        raise RefusedError(f"archive {title!r}", [f"member {member.name[:200]!r} is reached through a link"])
    if any(".." in way.parts for way in ways):
        raise RefusedError(f"archive {title!r}", [f"member {member.name[:200]!r} may lead out of its folder"])
    if member.issym():
        target = PurePosixPath(member.linkname).parts
        rises = target.count("..")
        if member.linkname.startswith("/") or ".." in target[rises:] or rises > len(path.parent.parts):
            raise RefusedError(f"archive {title!r}", [f"link {member.name[:200]!r} may lead out of its folder"])
        links.add(path)


def _below(member: str, name: str) -> str:
    path = PurePosixPath(member)
    return str(path.relative_to(name)) if path.parts[:1] == (name,) else member
