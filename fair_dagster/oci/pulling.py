"""Pulling models: every file of an artifact below a folder, all of them or none.

Files wait in a hidden folder until the last is there and verified. What a pull that was cut off has left there is gone
on with. Which names are safe stands in ``titles``, how blobs travel in ``blobs``.
"""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fair_dagster.domain.errors import ProblemsError, RefusedError, StorageError
from fair_dagster.net.files import reason_of
from fair_dagster.oci.artifacts.listing import Artifact, file_title
from fair_dagster.oci.artifacts.titles import STAGING, title_problems
from fair_dagster.oci.artifacts.unpacking import is_archive
from fair_dagster.oci.artifacts.unpacking import unpack as unpack_archive
from fair_dagster.oci.descriptors import Descriptor
from fair_dagster.oci.references import Reference
from fair_dagster.oci.registry.blobs import Progress, is_content
from fair_dagster.oci.registry.registries import Registries
from fair_dagster.oci.registry.transfers import in_parallel


@dataclass(frozen=True)
class Pulled:
    """What was pulled. ``kept`` were there already, as they are in the artifact."""

    artifact: Artifact
    files: tuple[Path, ...]
    kept: tuple[Path, ...]

    @property
    def digest(self) -> str:
        return self.artifact.manifest.digest


def pull(
    registries: Registries,
    reference: Reference,
    folder: Path,
    *,
    media_types: Sequence[str] = (),
    overwrite: bool = False,
    unpack: bool = False,
    progress: Progress | None = None,
) -> Pulled:
    """Lay the files of an artifact below ``folder``, which is made if need be.

    Args:
        media_types: only layers of these; all without.
        overwrite: replace files that are there and differ.
        unpack: lay archives down as the folders that other tools packed into them; folders that are there stay.
        progress: is called with the bytes of all files.

    Raises:
        RefusedError: it is an index, a title is unsafe, or a file is there and differs; every reason is named and
            nothing was written.
        StorageError: the folder cannot be written.
        As ``Registries``: no file was laid down.
    """
    manifest = registries.image_manifest(reference)
    layers = [layer for layer in manifest.layers if not media_types or layer.media_type in media_types]
    targets = _targets(reference, folder, layers, is_narrowed=len(layers) < len(manifest.layers))
    there = _there(reference, targets, overwrite)
    wanted = {path: layer for path, layer in targets.items() if path not in there}
    try:
        with _staging(folder) as staging:
            total = sum(layer.size for layer in wanted.values())
            distinct = {layer.digest: layer for layer in wanted.values()}
            tasks = [_fetching(registries, reference, layer, staging) for layer in distinct.values()]
            in_parallel(tasks, progress, total)
            if unpack:
                _unpack(wanted, staging)
            _lay(wanted, staging)
    except OSError as error:
        raise StorageError(f"{folder} cannot be written: {reason_of(error, advise=True)}") from error
    return Pulled(Artifact(reference, manifest), tuple(targets), tuple(there))


def _targets(
    reference: Reference, folder: Path, layers: Sequence[Descriptor], *, is_narrowed: bool
) -> dict[Path, Descriptor]:
    """Where each layer goes. Equal layers of one name are one file."""
    distinct = {(file_title(layer), layer.digest): layer for layer in layers}
    titles = [title for title, _ in distinct]
    problems = title_problems(titles)
    if not layers:
        problems.append("it holds no files of these media types" if is_narrowed else "it holds no files")
    root = folder.resolve()
    targets = {folder / title: layer for (title, _), layer in distinct.items()}
    problems += [
        f"{path} leads out of {folder} by a link"
        for path in targets
        if not problems and not path.parent.resolve().is_relative_to(root)
    ]
    if problems:
        raise RefusedError(f"pull of {reference}", problems)
    return targets


def _there(reference: Reference, targets: dict[Path, Descriptor], overwrite: bool) -> list[Path]:
    """The files that need not be fetched."""
    there, problems = [], []
    for path, layer in targets.items():
        if not path.exists() and not path.is_symlink():
            continue
        if not path.is_file() or path.is_symlink():
            problems.append(f"{path} is there, and is no file of its own")
        elif is_content(path, layer):
            there.append(path)
        elif not overwrite:
            problems.append(f"{path} is there and differs: remove it, or ask for it to be overwritten")
    if problems:
        raise RefusedError(f"pull of {reference}", problems)
    return there


def _fetching(
    registries: Registries, reference: Reference, layer: Descriptor, staging: Path
) -> Callable[[Progress], None]:
    def fetch(progress: Progress) -> None:
        target = staging / layer.hex
        if not is_content(target, layer):
            registries.download(reference, layer, target, progress)

    return fetch


def _unpack(wanted: dict[Path, Descriptor], staging: Path) -> None:
    """Make folders of the archives among what has come."""
    for path, layer in wanted.items():
        archive = staging / layer.hex
        if is_archive(archive):
            folder = staging / f"{layer.hex}.folder"
            shutil.rmtree(folder, ignore_errors=True)
            unpack_archive(archive, path.name, folder)


def _lay(wanted: dict[Path, Descriptor], staging: Path) -> None:
    """Move what has come to its place; a blob that several files are of is copied for all but the last."""
    left = [layer.digest for layer in wanted.values()]
    for path, layer in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        left.remove(layer.digest)
        source, folder = staging / layer.hex, staging / f"{layer.hex}.folder"
        if folder.exists():
            folder.rename(path)
            continue
        if layer.digest in left:
            copied = staging / f"{layer.hex}.copy"
            shutil.copyfile(source, copied)
            source = copied
        source.replace(path)


@contextmanager
def _staging(folder: Path) -> Iterator[Path]:
    """A folder beside the files, for one pull at a time; what came of blobs is kept when a pull is cut off."""
    is_new = not folder.exists()
    made = folder / STAGING
    handle = _hold_lock(made)
    try:
        yield made
    except BaseException as error:
        # What will fail again has no use for what came, and a full disk needs the room.
        if isinstance(error, ProblemsError | StorageError | OSError) or not any(made.iterdir()):
            shutil.rmtree(made, ignore_errors=True)
            if is_new and not any(folder.iterdir()):
                folder.rmdir()
        raise
    else:
        shutil.rmtree(made, ignore_errors=True)
    finally:
        os.close(handle)


def _hold_lock(folder: Path) -> int:
    """Make a folder, or wait until nobody else uses it; it is free again when the descriptor is closed."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        fcntl.flock(handle, fcntl.LOCK_EX)
        # Who had it before us has removed it at the end, and somebody else may have made another.
        if folder.is_dir() and os.path.samestat(os.fstat(handle), folder.stat()):
            return handle
        os.close(handle)
