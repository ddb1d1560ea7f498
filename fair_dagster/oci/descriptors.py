"""What registries hold, as data: descriptors, manifests and indexes of the OCI image specification 1.1. Pure.

https://github.com/opencontainers/image-spec: descriptor.md, manifest.md, image-index.md. A manifest is its bytes: its
digest is theirs, and nothing here writes bytes anew that came from elsewhere. How they travel stands in ``registry``.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any, Self

from fair_dagster.domain.errors import RefusedError

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
INDEXES = frozenset({OCI_INDEX, DOCKER_LIST})
MANIFESTS = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})

TITLE = "org.opencontainers.image.title"
CREATED = "org.opencontainers.image.created"

DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_NOTHING: Mapping[str, str] = MappingProxyType({})


def digest_of(content: bytes) -> str:
    """``sha256:…`` of ``content``."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass(frozen=True)
class Descriptor:
    """What a manifest says of a blob or of another manifest. ``size`` is in bytes."""

    media_type: str
    digest: str
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict)
    artifact_type: str | None = None

    @classmethod
    def of(
        cls,
        content: bytes,
        media_type: str,
        annotations: Mapping[str, str] = _NOTHING,
        artifact_type: str | None = None,
    ) -> Self:
        """The descriptor of ``content``."""
        return cls(media_type, digest_of(content), len(content), dict(annotations), artifact_type)

    @classmethod
    def parse(cls, document: object, where: str) -> Self:
        """Read one as it stands in a manifest.

        Args:
            where: what to call it, e.g. ``layers[2]``.

        Raises:
            RefusedError: with every problem.
        """
        problems: list[str] = []
        if not isinstance(document, Mapping):
            raise RefusedError(where, ["is no JSON object"])
        media_type, digest, size = (document.get(name) for name in ("mediaType", "digest", "size"))
        if not isinstance(media_type, str) or not media_type:
            problems.append(f"mediaType is {media_type!r}")
        if not isinstance(digest, str) or not DIGEST.fullmatch(digest):
            problems.append(f"digest is {digest!r}")
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            problems.append(f"size is {size!r}")
        try:
            annotations = _annotations(document)
        except RefusedError as error:
            problems += error.problems
        if problems:
            raise RefusedError(where, problems)
        kind = document.get("artifactType")
        return cls(str(media_type), str(digest), int(str(size)), annotations, kind if isinstance(kind, str) else None)

    @property
    def title(self) -> str | None:
        """The file name that it was pushed with."""
        return self.annotations.get(TITLE)

    @property
    def hex(self) -> str:
        return self.digest.partition(":")[2]

    def document(self) -> dict[str, Any]:
        """As it stands in a manifest; keys in the order that omlmd writes."""
        written: dict[str, Any] = {"mediaType": self.media_type, "size": self.size, "digest": self.digest}
        if self.artifact_type is not None:
            written["artifactType"] = self.artifact_type
        if self.annotations:
            written["annotations"] = dict(self.annotations)
        return written


EMPTY_CONTENT = b"{}"
EMPTY = Descriptor.of(EMPTY_CONTENT, EMPTY_TYPE)
"""The config of an artifact that has none."""


@dataclass(frozen=True)
class Manifest:
    """A manifest or an index. Two with the same bytes are the same."""

    body: bytes
    media_type: str

    @classmethod
    def parse(cls, body: bytes, media_type: str, where: str) -> Self:
        """Read one that came from a registry, and everything that it points at.

        Raises:
            RefusedError: it is none; every problem is named.
        """
        read = cls(body, media_type)
        try:
            found = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise RefusedError(f"the manifest of {where}", [f"is not JSON: {error}"]) from error
        if not isinstance(found, Mapping):
            raise RefusedError(f"the manifest of {where}", ["is no JSON object"])
        told = found.get("mediaType", media_type)
        problems = [] if told == media_type else [f"it came as {media_type}, and calls itself {told!r}"]
        if media_type not in MANIFESTS | INDEXES:
            problems.append(f"{media_type or 'a document without a media type'} is no manifest")
        else:
            problems += _problems(found, read.is_index)
        if problems:
            raise RefusedError(f"the manifest of {where}", problems)
        return read

    @classmethod
    def make(
        cls,
        *,
        config: Descriptor,
        layers: Sequence[Descriptor] = (),
        artifact_type: str | None = None,
        subject: Descriptor | None = None,
        annotations: Mapping[str, str] | None = None,
    ) -> Self:
        """A new OCI manifest. Equal arguments give equal bytes."""
        document: dict[str, Any] = {"schemaVersion": 2, "mediaType": OCI_MANIFEST}
        if artifact_type is not None:
            document["artifactType"] = artifact_type
        document["config"] = config.document()
        document["layers"] = [layer.document() for layer in layers]
        if subject is not None:
            document["subject"] = _bare(subject)
        if annotations is not None:
            document["annotations"] = dict(annotations)
        # The default separators are those of oras-py, and thereby of omlmd: equal input, equal digest.
        return cls(json.dumps(document, allow_nan=False).encode(), OCI_MANIFEST)

    @classmethod
    def make_index(cls, manifests: Sequence[Descriptor], annotations: Mapping[str, str] | None = None) -> Self:
        """A new OCI index."""
        document: dict[str, Any] = {"schemaVersion": 2, "mediaType": OCI_INDEX}
        document["manifests"] = [entry.document() for entry in manifests]
        if annotations:
            document["annotations"] = dict(annotations)
        return cls(json.dumps(document).encode(), OCI_INDEX)

    @cached_property
    def digest(self) -> str:
        return digest_of(self.body)

    @property
    def size(self) -> int:
        """Bytes of the manifest itself."""
        return len(self.body)

    @cached_property
    def document(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = json.loads(self.body)
        return found

    @property
    def is_index(self) -> bool:
        return self.media_type in INDEXES

    @property
    def config(self) -> Descriptor:
        """The config of a manifest; an index has none."""
        return Descriptor.parse(self.document.get("config"), "config")

    @cached_property
    def layers(self) -> tuple[Descriptor, ...]:
        return tuple(Descriptor.parse(one, "layer") for one in self.document.get("layers") or ())

    @cached_property
    def manifests(self) -> tuple[Descriptor, ...]:
        """The entries of an index."""
        return tuple(Descriptor.parse(one, "entry") for one in self.document.get("manifests") or ())

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """Config and layers, each digest once."""
        if self.is_index:
            return ()
        return tuple({blob.digest: blob for blob in (self.config, *self.layers)}.values())

    @property
    def annotations(self) -> Mapping[str, str]:
        return _annotations(self.document)

    @property
    def artifact_type(self) -> str | None:
        """What kind of artifact it is: the media type of its config where it does not say."""
        told = self.document.get("artifactType")
        if isinstance(told, str) and told:
            return told
        return None if self.is_index else self.config.media_type

    @property
    def subject(self) -> Descriptor | None:
        """The manifest that this one refers to."""
        found = self.document.get("subject")
        return None if found is None else Descriptor.parse(found, "subject")

    @property
    def descriptor(self) -> Descriptor:
        """Of itself, as an index of referrers holds it."""
        return Descriptor(self.media_type, self.digest, self.size, dict(self.annotations), self.artifact_type)


def _bare(descriptor: Descriptor) -> dict[str, Any]:
    return {"mediaType": descriptor.media_type, "digest": descriptor.digest, "size": descriptor.size}


def _problems(document: Mapping[str, Any], is_index: bool) -> list[str]:
    wanted = [("subject", document["subject"])] if document.get("subject") is not None else []
    key = "manifests" if is_index else "layers"
    entries = document.get(key, [] if not is_index else None)
    problems = []
    if isinstance(entries, Sequence) and not isinstance(entries, str):
        wanted += [(f"{key}[{number}]", entry) for number, entry in enumerate(entries)]
    else:
        problems.append(f"{key} is no list")
    if not is_index:
        wanted.append(("config", document.get("config")))
    for where, entry in wanted:
        try:
            Descriptor.parse(entry, where)
        except RefusedError as error:
            problems += [f"{where}: {problem}" for problem in error.problems]
    try:
        _annotations(document)
    except RefusedError as error:
        problems += error.problems
    return problems


def _annotations(document: Mapping[str, Any]) -> dict[str, str]:
    found = document.get("annotations")
    if found is None:
        return {}
    if not isinstance(found, Mapping) or not all(isinstance(value, str) for value in found.values()):
        raise RefusedError("annotations", ["annotations is no object of strings"])
    return dict(found)
