"""Images made of models, as data: config, manifest and index of the OCI image specification 1.1. Pure.

A ``modelcar`` is what KServe runs beside a model server (``oci://`` as ``storageUri``): the model below ``/models``, on
a base with a shell, because KServe hands the container a script. A ``data`` image has the same files and nothing else:
for image volumes of Kubernetes. The same model and base give the same bytes. Layers stand in ``layers``.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from fair_dagster.domain.errors import RefusedError
from fair_dagster.oci.descriptors import OCI_INDEX, Descriptor, Manifest
from fair_dagster.oci.images.layers import LAYER_TYPE
from fair_dagster.oci.metadata import ModelMetadata

Kind = Literal["modelcar", "data"]
KINDS: tuple[Kind, ...] = ("modelcar", "data")

CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
IMAGE_CONFIGS = frozenset({CONFIG_TYPE, "application/vnd.docker.container.image.v1+json"})
KIND = "vnd.fair-dagster.image.kind"
MODEL = "vnd.fair-dagster.image.model"
"""Label: the digest of the model's manifest, for who sees only the running container."""
USER = "65532:65532"
"""Nobody in particular; every file can be read by anybody, as KServe and OpenShift choose users of their own."""

_BASE_NAME = "org.opencontainers.image.base.name"
_BASE_DIGEST = "org.opencontainers.image.base.digest"
_STANDARD = "org.opencontainers.image."
_EPOCH = "1970-01-01T00:00:00Z"
_ALIVE = ("sh", "-c", "sleep infinity")
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(?::[A-Za-z0-9_][A-Za-z0-9_.-]*)?")
_PLATFORM = re.compile(r"(?P<os>[a-z0-9]+)/(?P<architecture>[a-z0-9_]+)(?:/(?P<variant>[a-z0-9.]+))?")
_LAYERS = {
    "application/vnd.docker.image.rootfs.diff.tar": LAYER_TYPE,
    "application/vnd.docker.image.rootfs.diff.tar.gzip": f"{LAYER_TYPE}+gzip",
    LAYER_TYPE: LAYER_TYPE,
    f"{LAYER_TYPE}+gzip": f"{LAYER_TYPE}+gzip",
    f"{LAYER_TYPE}+zstd": f"{LAYER_TYPE}+zstd",
}
"""Layers of base images, and the names of the same bytes in an OCI manifest."""


@dataclass(frozen=True, order=True)
class Platform:
    """What an image runs on, as Go spells it."""

    os: str = "linux"
    architecture: str = "amd64"
    variant: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``linux/amd64`` or ``linux/arm/v7``.

        Raises:
            RefusedError: it has another form.
        """
        found = _PLATFORM.fullmatch(text)
        if found is None:
            raise RefusedError(f"platform {text!r}", ["write it as linux/amd64, linux/arm64 or linux/arm/v7"])
        return cls(**found.groupdict())

    def document(self) -> dict[str, str]:
        told = {"architecture": self.architecture, "os": self.os}
        return told | {"variant": self.variant} if self.variant else told

    def fits(self, document: object) -> bool:
        """Whether an entry of an index, or a config, is for this platform."""
        if not isinstance(document, Mapping):
            return False
        if (document.get("os"), document.get("architecture")) != (self.os, self.architecture):
            return False
        return self.variant is None or document.get("variant") == self.variant

    def __str__(self) -> str:
        return "/".join(filter(None, (self.os, self.architecture, self.variant)))


@dataclass(frozen=True)
class ImageLayer:
    """A layer that was written: its blob, and the digest of its archive (the same where nothing is compressed)."""

    descriptor: Descriptor
    diff_id: str
    created_by: str

    @classmethod
    def of(cls, digest: str, size: int, created_by: str) -> Self:
        return cls(Descriptor(LAYER_TYPE, digest, size), digest, created_by)


@dataclass(frozen=True)
class Base:
    """What lies under the model: layers, and what the config says of them.

    Attributes:
        name, digest: of the image it came from; empty for one that was made here.
    """

    layers: tuple[Descriptor, ...] = ()
    diff_ids: tuple[str, ...] = ()
    history: tuple[Mapping[str, Any], ...] = ()
    environment: tuple[str, ...] = (_PATH,)
    name: str = ""
    digest: str = ""

    @classmethod
    def parse(cls, manifest: Manifest, config: bytes, name: str, platform: Platform) -> Self:
        """Read an image that is to be a base.

        Raises:
            RefusedError: it is none, or for another platform; every problem is named.
        """
        problems = [
            f"layer {layer.digest} is {layer.media_type}, which cannot be copied"
            for layer in manifest.layers
            if layer.media_type not in _LAYERS
        ]
        document = _read_config(config, problems)
        diff_ids = _at(document, "rootfs", "diff_ids") or []
        if len(diff_ids) != len(manifest.layers):
            problems.append(f"its config knows {len(diff_ids)} layers, and its manifest {len(manifest.layers)}")
        if document and not platform.fits(document):
            problems.append(f"it is for {document.get('os')}/{document.get('architecture')}, not for {platform}")
        if problems:
            raise RefusedError(f"base image {name}", problems)
        layers = (Descriptor(_LAYERS[one.media_type], one.digest, one.size) for one in manifest.layers)
        environment = tuple(_at(document, "config", "Env") or (_PATH,))
        return cls(
            tuple(layers), tuple(diff_ids), tuple(document.get("history") or ()), environment, name, manifest.digest
        )


@dataclass(frozen=True)
class Recipe:
    """What an image is made of, apart from its layers.

    Attributes:
        model: the descriptor of the model's manifest.
        user: whom its process runs as, as in a Dockerfile; of a modelcar only.
    """

    kind: Kind
    model: Descriptor
    metadata: ModelMetadata = field(default_factory=ModelMetadata)
    user: str = USER

    def problems(self) -> list[str]:
        """Why there can be no such image."""
        is_user = _USER.fullmatch(self.user) is not None
        return [] if is_user else [f"user {self.user!r} is no user or user:group, like 1000:0"]

    def annotations(self) -> dict[str, str]:
        """What the image and its index say of themselves."""
        version = self.metadata.customProperties.get("version")
        told = {
            "title": self.metadata.name,
            "description": self.metadata.description,
            "authors": self.metadata.author,
            "version": version if isinstance(version, str) else None,
        }
        return {_STANDARD + name: value for name, value in told.items() if value} | {KIND: self.kind}


def image_config(recipe: Recipe, platform: Platform, base: Base, layers: Sequence[ImageLayer]) -> bytes:
    """The config of an image. KServe's script comes as arguments, so that there is no entrypoint to swallow it."""
    run: dict[str, Any] = {"Labels": {**recipe.annotations(), MODEL: recipe.model.digest}}
    if recipe.kind == "modelcar":
        run |= {"User": recipe.user, "Env": list(base.environment), "Cmd": list(_ALIVE), "WorkingDir": "/"}
    document = {
        "created": _EPOCH,
        **platform.document(),
        "config": run,
        "rootfs": {"type": "layers", "diff_ids": [*base.diff_ids, *(layer.diff_id for layer in layers)]},
        "history": [
            *base.history,
            *({"created": _EPOCH, "created_by": f"fair-dagster: {layer.created_by}"} for layer in layers),
        ],
    }
    return json.dumps(document, sort_keys=True).encode()


def image_manifest(
    recipe: Recipe, base: Base, layers: Sequence[ImageLayer], config: bytes, *, is_referrer: bool
) -> Manifest:
    """The manifest of an image for one platform.

    Args:
        is_referrer: whether it refers to the model; of several platforms only their index does.
    """
    told = recipe.annotations()
    if base.name:
        told |= {_BASE_NAME: base.name, _BASE_DIGEST: base.digest}
    return Manifest.make(
        config=Descriptor.of(config, CONFIG_TYPE),
        layers=[*base.layers, *(layer.descriptor for layer in layers)],
        subject=recipe.model if is_referrer else None,
        annotations=told,
    )


def image_index(recipe: Recipe, manifests: Mapping[Platform, Manifest]) -> Manifest:
    """The index of one image for several platforms, which refers to the model."""
    entries = [
        {"mediaType": one.media_type, "size": one.size, "digest": one.digest, "platform": platform.document()}
        for platform, one in sorted(manifests.items(), key=lambda entry: str(entry[0]))
    ]
    model = recipe.model
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": entries,
        "subject": {"mediaType": model.media_type, "size": model.size, "digest": model.digest},
        "annotations": recipe.annotations(),
    }
    return Manifest(json.dumps(document).encode(), OCI_INDEX)


def entry_for(index: Manifest, platform: Platform, name: str) -> str:
    """The digest of an index's entry for a platform.

    Raises:
        RefusedError: it has none; those that it has are named.
    """
    entries = [one for one in index.document["manifests"] if isinstance(one, Mapping)]
    for entry in entries:
        if platform.fits(entry.get("platform")):
            return str(entry["digest"])
    known = sorted({_platform_text(one["platform"]) for one in entries if isinstance(one.get("platform"), Mapping)})
    raise RefusedError(f"base image {name}", [f"it is not there for {platform}, but for {', '.join(known) or 'none'}"])


def _platform_text(document: Mapping[str, Any]) -> str:
    return "/".join(str(document[name]) for name in ("os", "architecture", "variant") if document.get(name))


def _read_config(config: bytes, problems: list[str]) -> Mapping[str, Any]:
    try:
        document = json.loads(config)
    except ValueError:
        document = None
    if isinstance(document, Mapping) and document.get("rootfs") is not None:
        return document
    problems.append("its config is none of an image: it is an artifact")
    return {}


def _at(document: Mapping[str, Any], *names: str) -> Any:
    found: Any = document
    for name in names:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found
