"""Artifacts that travel: pushed, pulled, copied, made into images, deleted."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fair_dagster.domain.errors import RefusedError
from fair_dagster.fair.oci.client import RegistryPart, to_reference

if TYPE_CHECKING:
    from fair_dagster.oci.artifacts.copying import Copied
    from fair_dagster.oci.artifacts.deleting import Deleted
    from fair_dagster.oci.artifacts.forms import Form
    from fair_dagster.oci.images.building import Built
    from fair_dagster.oci.images.documents import Kind
    from fair_dagster.oci.metadata import ModelMetadata
    from fair_dagster.oci.pulling import Pulled
    from fair_dagster.oci.pushing import Pushed
    from fair_dagster.oci.references import Reference
    from fair_dagster.oci.registry.blobs import Progress


class Transfers(RegistryPart):
    """What ``Fair.oci`` moves."""

    def push(
        self,
        reference: "Reference | str",
        paths: Sequence[Path] = (),
        *,
        item: str | None = None,
        metadata: "ModelMetadata | Mapping[str, Any] | None" = None,
        form: "Form | None" = None,
        artifact_type: str | None = None,
        media_type: str | None = None,
        annotations: Mapping[str, str] | None = None,
        subject: "Reference | str | None" = None,
        progress: "Progress | None" = None,
    ) -> "Pushed":
        """Push files and folders, metadata alone, or a model of the catalog. What the registry has is not sent again.

        Args:
            paths: files, and folders, each file of which goes under its path.
            item: a model of the catalog, by id or name: its weights, ONNX, item, card and configuration.
            metadata: by default a metadata file among the paths. Alone it needs a ``uri``.
            form: ``omlmd``, ``fair`` or ``modelpack``; omlmd for a single file and fair otherwise, without.
            media_type: of the files; ``application/x-mlmodel`` without.
            subject: an artifact of the same repository that this one refers to.
            progress: called with the bytes that were sent, how many there are, and of what.

        Raises:
            NotFoundError: no such item.
            RefusedError: nothing can be pushed as asked for; every reason is named and nothing was sent.
        """
        from fair_dagster.oci.artifacts.forms import MODEL_TYPE
        from fair_dagster.oci.metadata import ModelMetadata
        from fair_dagster.oci.pushing import parts_of, push

        target = to_reference(reference)
        if item is not None and (paths or metadata is not None):
            raise RefusedError(f"push to {target}", ["an item brings files and metadata of its own: give neither"])
        options: dict[str, Any] = {
            "form": form,
            "artifact_type": artifact_type,
            "annotations": annotations,
            "subject": None if subject is None else to_reference(subject),
            "progress": progress,
        }
        registries = self.client(target)
        if item is not None:
            from fair_dagster.flows.registries.artifacts import push_item

            return push_item(self.services, item, target, registries=registries, **options)
        given = ModelMetadata.of(metadata) if isinstance(metadata, Mapping) else metadata
        return push(registries, target, parts_of(paths, media_type or MODEL_TYPE), given, **options)

    def pull(
        self,
        reference: "Reference | str",
        folder: Path,
        *,
        media_types: Sequence[str] = (),
        overwrite: bool = False,
        unpack: bool = False,
        progress: "Progress | None" = None,
    ) -> "Pulled":
        """Write the files of an artifact below ``folder``, verified; all of them or none.

        Files that are there already are not fetched again. A pull that was cut off is simply repeated: it goes on.

        Args:
            media_types: only files of these; all without.
            overwrite: replace files that are there and differ.
            unpack: write archives as the folders that oras or omlmd packed into them.

        Raises:
            RefusedError: it is an index, a name is unsafe, or a file is there and differs; nothing was written.
            StorageError: the folder cannot be written.
        """
        from fair_dagster.oci.pulling import pull

        source = to_reference(reference)
        return pull(
            self.client(source),
            source,
            folder,
            media_types=media_types,
            overwrite=overwrite,
            unpack=unpack,
            progress=progress,
        )

    def copy(
        self,
        source: "Reference | str",
        target: "Reference | str",
        *,
        referrers: bool = False,
        progress: "Progress | None" = None,
    ) -> "Copied":
        """Copy an artifact, an image or an index to another repository or registry. Its digest stays.

        Args:
            referrers: also what refers to it: signatures, attestations, images.

        Raises:
            RefusedError: ``target`` names another digest.
        """
        from fair_dagster.oci.artifacts.copying import copy

        first, second = to_reference(source), to_reference(target)
        return copy(self.client(first, second), first, second, referrers=referrers, progress=progress)

    def image(
        self,
        reference: "Reference | str",
        target: "Reference | str | None" = None,
        *,
        kind: "Kind" = "modelcar",
        platforms: Sequence[str] = ("linux/amd64",),
        base: str | None = None,
        user: str | None = None,
        progress: "Progress | None" = None,
    ) -> "Built":
        """Make an image of a model, its files below ``/models``, which refers to the model.

        The same model and base give the same digest. Nothing is written here: files stream from registry to registry.

        Args:
            target: where it goes; ``<tag>-<kind>`` beside the model without.
            kind: ``modelcar`` for KServe's ``oci://``; ``data`` for image volumes, with nothing but the files.
            platforms: e.g. ``linux/arm64``.
            base: of a modelcar: an image, or the path of a static BusyBox; that of the settings without.
            user: whom a modelcar runs as, e.g. ``1000:0``.

        Raises:
            RefusedError: it cannot be built as asked for, or the model is not signed where the settings want that.
        """
        from fair_dagster.flows.registries.images import make_image
        from fair_dagster.oci.images.documents import USER, Platform

        source, aim = to_reference(reference), None if target is None else to_reference(target)
        named = [to_reference(base)] if base and not base.startswith(("/", ".")) else []
        return make_image(
            self.services,
            source,
            aim,
            kind=kind,
            platforms=[Platform.parse(one) for one in platforms],
            base=base,
            user=user or USER,
            registries=self.client(source, *([aim] if aim else []), *named),
            progress=progress,
        )

    def delete(self, reference: "Reference | str", *, referrers: bool = False, all_tags: bool = False) -> "Deleted":
        """Delete an artifact; only its tag, where the registry can and a tag was named.

        Args:
            referrers: also what refers to it, which nobody would find any more.
            all_tags: also when other tags lead to it.

        Raises:
            RefusedError: other tags or referrers would be lost with it; nothing was deleted.
        """
        from fair_dagster.oci.artifacts.deleting import delete

        source = to_reference(reference)
        return delete(self.client(source), source, referrers=referrers, all_tags=all_tags)
