"""Pushing models: files, folders, or metadata alone; and what refers to an artifact.

The manifest goes last: what is cut off leaves blobs that nobody sees, and the next push finds them there. Which
manifest it is stands in ``forms``, how blobs travel in ``blobs``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fair_dagster.domain.errors import RefusedError
from fair_dagster.oci.artifacts.forms import (
    METADATA_JSON,
    METADATA_TITLES,
    METADATA_YAML,
    MODEL_TYPE,
    OLD_METADATA_YAML,
    Form,
    Layer,
    Packed,
    pack,
    pack_referrer,
)
from fair_dagster.oci.artifacts.titles import title_problems
from fair_dagster.oci.descriptors import TITLE, Descriptor, Manifest
from fair_dagster.oci.metadata import ModelMetadata
from fair_dagster.oci.references import Reference
from fair_dagster.oci.registry.blobs import Progress, file_digest
from fair_dagster.oci.registry.registries import Registries
from fair_dagster.oci.registry.transfers import in_parallel

_OWN_TITLES = frozenset({METADATA_JSON, METADATA_YAML, *METADATA_TITLES, OLD_METADATA_YAML})


@dataclass(frozen=True)
class Part:
    """A file to push, or its content, and the title under which it is pulled."""

    source: Path | bytes
    title: str
    media_type: str = MODEL_TYPE


@dataclass(frozen=True)
class Pushed:
    """What was pushed. ``uploaded`` and ``reused`` are the bytes that were sent, and that were there already."""

    reference: Reference
    manifest: Manifest
    uploaded: int
    reused: int

    @property
    def digest(self) -> str:
        return self.manifest.digest

    @property
    def pinned(self) -> Reference:
        return self.reference.at(self.manifest.digest)


def push(
    registries: Registries,
    reference: Reference,
    parts: Sequence[Part],
    metadata: ModelMetadata | None = None,
    *,
    form: Form | None = None,
    artifact_type: str | None = None,
    annotations: Mapping[str, str] | None = None,
    subject: Reference | None = None,
    progress: Progress | None = None,
) -> Pushed:
    """Push a model.

    Args:
        metadata: None takes a metadata file among the parts, as an earlier pull laid it down.
        form: None is omlmd's for one file, or for metadata alone, and ours for several files.
        subject: an artifact of the same repository that this one refers to.
        progress: is called with the bytes of all files.

    Raises:
        RefusedError: nothing can be pushed as asked for; every reason is named and nothing was sent.
        As ``Registries``: the tag is what it was.
    """
    files = [part for part in parts if part.title not in _OWN_TITLES]
    if metadata is None:
        metadata = _found_metadata(parts)
    _require(reference, files, metadata, subject)
    form = form or ("fair" if len(files) > 1 else "omlmd")
    aim = _subject(registries, subject)
    sent = _send_files(registries, reference, files, progress)
    packed = pack(
        form,
        [layer for layer, _ in sent],
        metadata,
        artifact_type=artifact_type,
        annotations=annotations,
        subject=aim,
    )
    return _finish(registries, reference, packed, sent)


def attach(
    registries: Registries,
    subject: Reference,
    artifact_type: str,
    parts: Sequence[Part],
    annotations: Mapping[str, str] | None = None,
) -> Pushed:
    """Push files that say something of the manifest at ``subject``, untagged: who asks for referrers finds them.

    Raises:
        As ``push``.
    """
    if problems := _file_problems(parts):
        raise RefusedError(f"push of what refers to {subject}", problems)
    aim = _subject(registries, subject)
    sent = _send_files(registries, subject, parts, None)
    packed = pack_referrer([layer for layer, _ in sent], artifact_type, subject=aim, annotations=annotations)
    return _finish(registries, subject.at(packed.manifest.digest), packed, sent)


def parts_of(paths: Sequence[Path], media_type: str = MODEL_TYPE) -> list[Part]:
    """Files under their names, and every file of folders under its path below the folder; hidden ones are left out.

    Raises:
        RefusedError: a path is not there, is no file or folder, or a folder holds no files; all are named.
    """
    parts, problems = [], []
    for path in paths:
        if path.is_file():
            parts.append(Part(path, path.name, media_type))
            continue
        if not path.is_dir():
            problems.append(f"{path} is {'neither file nor folder' if path.exists() else 'not there'}")
            continue
        found = [Part(one, str(one.relative_to(path).as_posix()), media_type) for one in _files(path)]
        problems += [] if found else [f"{path} holds no files"]
        parts += found
    if problems:
        raise RefusedError("push", problems)
    return parts


def _files(folder: Path) -> list[Path]:
    found = []
    for path in sorted(folder.rglob("*")):
        is_hidden = any(part.startswith(".") or part == "__pycache__" for part in path.relative_to(folder).parts)
        if path.is_file() and not is_hidden:
            found.append(path)
    return found


def _require(reference: Reference, files: Sequence[Part], metadata: ModelMetadata, subject: Reference | None) -> None:
    problems = _file_problems(files)
    if reference.digest is not None:
        problems.append("a digest follows from the content: name a tag, or nothing")
    if not files and not metadata.uri:
        problems.append("there is no file, and the metadata has no uri that says where the model is")
    if subject is not None and subject.name != reference.name:
        problems.append(f"subject {subject} is in another repository: registries know referrers only within one")
    if problems:
        raise RefusedError(f"push to {reference}", problems)


def _file_problems(files: Sequence[Part]) -> list[str]:
    missing = [part.source for part in files if isinstance(part.source, Path) and not part.source.is_file()]
    return title_problems([part.title for part in files]) + [f"{path} is not a file" for path in missing]


def _found_metadata(parts: Sequence[Part]) -> ModelMetadata:
    for title in METADATA_TITLES:
        for part in parts:
            if part.title == title:
                content = part.source if isinstance(part.source, bytes) else part.source.read_bytes()
                return ModelMetadata.parse(content, str(part.source if isinstance(part.source, Path) else title))
    return ModelMetadata()


def _subject(registries: Registries, subject: Reference | None) -> Descriptor | None:
    return None if subject is None else registries.manifest(subject).descriptor


Sent = tuple[Layer, bool]
"""A layer, and whether its blob had to be sent."""


def _send_files(
    registries: Registries, reference: Reference, files: Sequence[Part], progress: Progress | None
) -> list[Sent]:
    total = sum(len(part.source) if isinstance(part.source, bytes) else part.source.stat().st_size for part in files)
    return in_parallel([_sending(registries, reference, part) for part in files], progress, total)


def _sending(registries: Registries, reference: Reference, part: Part) -> Callable[[Progress], Sent]:
    def send(progress: Progress) -> Sent:
        annotations = {TITLE: part.title} if part.title else {}
        if isinstance(part.source, bytes):
            descriptor = Descriptor.of(part.source, part.media_type, annotations)
        else:
            descriptor = Descriptor(part.media_type, *file_digest(part.source), annotations)
        is_sent = registries.upload(reference, descriptor, part.source, progress=progress)
        return Layer(descriptor, part.source), is_sent

    return send


def _finish(registries: Registries, reference: Reference, packed: Packed, sent: Sequence[Sent]) -> Pushed:
    """Send what is missing, and then the manifest."""
    uploaded = sum(layer.descriptor.size for layer, is_sent in sent if is_sent)
    reused = sum(layer.descriptor.size for layer, is_sent in sent if not is_sent)
    there = {layer.descriptor.digest for layer, _ in sent}
    for layer in packed.layers:
        if layer.descriptor.digest in there:
            continue
        there.add(layer.descriptor.digest)
        if registries.upload(reference, layer.descriptor, layer.source):
            uploaded += layer.descriptor.size
        else:
            reused += layer.descriptor.size
    registries.put_manifest(reference, packed.manifest)
    return Pushed(reference, packed.manifest, uploaded, reused)
