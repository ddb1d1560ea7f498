"""Building images from models: files stream from registry to registry, wrapped as layers; nothing is laid down here.

Each layer's digest is counted while it is sent, the source's blobs are verified on the way, and the manifest goes last:
what is cut off or damaged leaves no image. Which bytes an image has stands in ``images`` and ``layers``.
"""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from fair_dagster.domain.errors import RefusedError, UnreachableError
from fair_dagster.oci.artifacts.copying import BlobReader
from fair_dagster.oci.artifacts.forms import METADATA_TITLES, METADATA_YAML, OLD_METADATA_YAML
from fair_dagster.oci.artifacts.listing import Artifact, file_title, look
from fair_dagster.oci.artifacts.titles import title_problems
from fair_dagster.oci.descriptors import Descriptor, Manifest
from fair_dagster.oci.images.bases import FoundBase, find_bases
from fair_dagster.oci.images.documents import (
    IMAGE_CONFIGS,
    USER,
    ImageLayer,
    Kind,
    Platform,
    Recipe,
    image_config,
    image_index,
    image_manifest,
)
from fair_dagster.oci.images.layers import MODELS, Archive, Piece, archives
from fair_dagster.oci.metadata import ModelMetadata
from fair_dagster.oci.references import Reference
from fair_dagster.oci.registry.blobs import Progress
from fair_dagster.oci.registry.registries import Registries
from fair_dagster.oci.registry.transfers import in_parallel
from fair_dagster.oci.registry.uploads import Opened

_NOTES = frozenset({*METADATA_TITLES, METADATA_YAML, OLD_METADATA_YAML})
_THREADS = 3


@dataclass(frozen=True)
class Built:
    """An image that was built: the manifests of its platforms, and the bytes of the layers with the model."""

    reference: Reference
    model: Reference
    manifest: Manifest
    manifests: Mapping[Platform, Manifest]
    size: int

    @property
    def digest(self) -> str:
        return self.manifest.digest

    @property
    def pinned(self) -> Reference:
        return self.reference.at(self.digest)


def image_reference(model: Reference, kind: Kind) -> Reference:
    """Where the image of a model goes without further word: beside it, so that it can refer to it."""
    base = model.tag or (model.digest or "").partition(":")[2][:12]
    return model.with_tag(f"{base[: 127 - len(kind)]}-{kind}")


def build_image(
    registries: Registries,
    source: Reference,
    target: Reference,
    *,
    kind: Kind = "modelcar",
    platforms: Sequence[Platform] = (Platform(),),
    base: str = "",
    user: str = USER,
    progress: Progress | None = None,
) -> Built:
    """Build an image of the model at ``source``, and write it to ``target``, a tag. Equal input gives equal digests.

    Args:
        platforms: several make an index of one image each; the model's layers are shared.
        base: of a modelcar, which cannot do without: a reference, or the path of a static BusyBox.
        progress: is called with the bytes of the model's layers.

    Raises:
        RefusedError: the artifact holds no model, has unsafe titles or is an index; the base does not fit; ``target``
            is where the model is. Every reason is named, and nothing was sent.
        As ``Registries``: ``target`` is what it was.
    """
    model = look(registries, source.at(registries.image_manifest(source).digest))
    model = replace(model, reference=source)
    recipe = Recipe(kind, model.manifest.descriptor, model.metadata or ModelMetadata(), user)
    _require(model, target, platforms, recipe)
    bases = dict.fromkeys(platforms, FoundBase())
    if kind == "modelcar":
        bases = find_bases(registries, base, platforms)
    work = _Build(registries, model, target, recipe)
    layers = work.model_layers(progress)
    manifests = {platform: work.image(platform, bases[platform], layers, len(platforms) == 1) for platform in platforms}
    if len(platforms) == 1:
        written = manifests[platforms[0]]
    else:
        written = image_index(work.recipe, manifests)
        registries.put_manifest(target, written)
    return Built(target, model.pinned, written, manifests, sum(layer.descriptor.size for layer in layers))


def _require(model: Artifact, target: Reference, platforms: Sequence[Platform], recipe: Recipe) -> None:
    distinct = dict.fromkeys((file_title(layer), layer.digest) for layer in model.manifest.layers)
    titles = [title for title, _ in distinct]
    problems = [*recipe.problems(), *title_problems(titles)]
    if model.manifest.config.media_type in IMAGE_CONFIGS:
        problems.append("it is an image already, and no model")
    elif _NOTES.issuperset(titles):
        uri = model.metadata.uri if model.metadata else None
        problems.append("it holds no file of a model" + (f", which is at {uri}: push its files" if uri else ""))
    if target.digest is not None:
        problems.append(f"{target} names a digest, which follows from the content: name a tag")
    if target.tag and target == model.reference.with_tag(target.tag) and target.tag == model.reference.tag:
        problems.append(f"the image would replace the model at {target}: name another tag")
    if not platforms or len(set(platforms)) != len(platforms):
        problems.append("the platforms have to be different ones, and one at least")
    if problems:
        raise RefusedError(f"image of {model.reference}", problems)


@dataclass(frozen=True)
class _Build:
    registries: Registries
    model: Artifact
    target: Reference
    recipe: Recipe

    def model_layers(self, progress: Progress | None) -> list[ImageLayer]:
        """Write the layers of the model's files."""
        files = {file_title(layer): layer for layer in self.model.manifest.layers}
        planned = archives(files)
        total = sum(archive.size for archive in planned)
        return in_parallel([self._writing(archive, MODELS) for archive in planned], progress, total, _THREADS)

    def image(self, platform: Platform, found: FoundBase, layers: Sequence[ImageLayer], is_only: bool) -> Manifest:
        """Write everything of one platform's image, and its manifest: under the tag where it is the only one."""
        if found.source is not None:
            for layer in found.base.layers:
                self._copy(found.source, layer)
        if found.archive is not None:
            layers = [self._writing(found.archive, "base")(lambda *_: None), *layers]
        config = image_config(self.recipe, platform, found.base, layers)
        manifest = image_manifest(self.recipe, found.base, layers, config, is_referrer=is_only)
        self.registries.upload(self.target, manifest.config, config)
        self.registries.put_manifest(self.target if is_only else self.target.at(manifest.digest), manifest)
        return manifest

    def _copy(self, source: Reference, layer: Descriptor) -> None:
        mount_from = source.repository if source.registry == self.target.registry else None
        reader = BlobReader(self.registries, source, layer)
        self.registries.uploads.pipe(self.target, layer, reader.opened, mount_from=mount_from)

    def _writing(self, archive: Archive, what: str) -> Callable[[Progress], ImageLayer]:
        source, size = self.model.pinned, archive.size

        def write(progress: Progress) -> ImageLayer:
            opened = _opened(self.registries, source, archive)
            digest = self.registries.uploads.stream(
                self.target, size, opened, lambda done: progress(done, size, archive.title)
            )
            return ImageLayer.of(digest, size, f"{what}: {archive.title}")

        return write


class _LayerReader:
    """An archive from its start: headers from memory, files from the source, each verified before its last byte."""

    def __init__(self, registries: Registries, source: Reference, archive: Archive, stack: ExitStack) -> None:
        self._registries, self._source = registries, source
        self._pieces = archive.pieces()
        self._stack = stack
        self._take: Callable[[memoryview], int] | None = None

    def fill(self, buffer: memoryview) -> int:
        while True:
            if self._take is not None and (count := self._take(buffer)):
                return count
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._take = self._opened(piece)

    def _opened(self, piece: Piece) -> Callable[[memoryview], int]:
        self._stack.close()
        if isinstance(piece, bytes):
            return io.BytesIO(piece).readinto
        reader = BlobReader(self._registries, self._source, piece)
        return self._exactly(piece, self._stack.enter_context(reader.opened()))

    def _exactly(self, blob: Descriptor, take: Callable[[memoryview], int]) -> Callable[[memoryview], int]:
        """As many bytes as the header of the file says, whatever the registry sends."""
        left = blob.size

        def taken(buffer: memoryview) -> int:
            nonlocal left
            if not left:
                return 0
            count = take(buffer[:left])
            if not count:
                raise UnreachableError(
                    f"registry {self._source.registry} sends {blob.size - left:,} of the {blob.size:,} bytes of blob "
                    f"{blob.digest} of {self._source}"
                )
            left -= count
            return count

        return taken


def _opened(registries: Registries, source: Reference, archive: Archive) -> Opened:
    @contextmanager
    def opened() -> Iterator[Callable[[memoryview], int]]:
        with ExitStack() as stack:
            yield _LayerReader(registries, source, archive, stack).fill

    return opened
