"""References to images and artifacts in registries: what a name, a tag and a digest say. Pure.

Spellings are those of Docker and of items in the wild: ``ghcr.io/hotosm/ramp:v1``, ``docker://…``, ``oci://…``,
``https://ghcr.io/…``, and Docker Hub's short names. No registry is asked here.
"""

import re
from dataclasses import dataclass, replace
from typing import Self

from fair_dagster.domain.errors import RefusedError

DEFAULT_TAG = "latest"
_DOCKER_HUB = "docker.io"
_DOCKER_HUB_NAMES = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"})
_DOCKER_HUB_API = "registry-1.docker.io"

_SCHEME = re.compile(r"^(docker|oci|https)://")
# https://github.com/distribution/reference: a first component with a dot, a colon or the name localhost is a registry.
_HOST = re.compile(r"(?:localhost|[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?")
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_HIDDEN_TAG = re.compile(r"sha(?:256|512)-[0-9a-f]{64,128}(?:\.(?:sig|att|sbom))?")
_LONGEST_REPOSITORY = 255


@dataclass(frozen=True)
class Reference:
    """An image or artifact in a registry.

    Attributes:
        registry: host, with a port where one is named; ``docker.io`` for Docker Hub.
        tag: None where only a digest is given.
        digest: ``sha256:…``; None where only a tag is given.
    """

    registry: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a reference; without tag and digest it means the tag ``latest``.

        Raises:
            RefusedError: it has another form; every problem is named.
        """
        name, digest = _split(_SCHEME.sub("", text), "@")
        name, tag = _split_tag(name)
        registry, repository = _split_registry(name)
        problems = [] if _HOST.fullmatch(registry) else [f"{registry!r} is no host of a registry"]
        if not _REPOSITORY.fullmatch(repository) or len(repository) > _LONGEST_REPOSITORY:
            problems.append(f"{repository!r} is no name of a repository: lower case letters, digits and . _ - /")
        if tag is not None and not _TAG.fullmatch(tag):
            problems.append(f"{tag!r} is no tag")
        if digest is not None and not _DIGEST.fullmatch(digest):
            problems.append(f"{digest!r} is no digest, like sha256:… with 64 digits")
        if problems:
            raise RefusedError(f"image reference {text!r}", problems)
        return cls(registry, repository, tag if tag or digest else DEFAULT_TAG, digest)

    def at(self, digest: str) -> Self:
        """The same repository at ``digest``, without a tag."""
        return replace(self, tag=None, digest=digest)

    def with_tag(self, tag: str) -> Self:
        """The same repository at ``tag``, without a digest.

        Raises:
            RefusedError: it is no tag.
        """
        if not _TAG.fullmatch(tag):
            raise RefusedError(f"image reference {self}", [f"{tag!r} is no tag"])
        return replace(self, tag=tag, digest=None)

    @property
    def name(self) -> str:
        """Registry and repository."""
        return f"{self.registry}/{self.repository}"

    @property
    def version(self) -> str:
        """What a registry is asked for: the digest where there is one."""
        return self.digest or self.tag or DEFAULT_TAG

    @property
    def api_host(self) -> str:
        """The host that serves the registry's API."""
        return _DOCKER_HUB_API if self.registry == _DOCKER_HUB else self.registry

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.registry}/{self.repository}{tag}{digest}"


def is_hidden_tag(tag: str) -> bool:
    """Whether a tag is none of a person's: the index of referrers of a digest, or what cosign keeps beside one."""
    return _HIDDEN_TAG.fullmatch(tag) is not None


def referrers_tag(digest: str) -> str:
    """The tag of the index of referrers on registries without an API for it: the specification's fallback.

    https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#referrers-tag-schema
    """
    algorithm, _, digits = digest.partition(":")
    return f"{algorithm[:32]}-{digits[:64]}"


def _split(text: str, mark: str) -> tuple[str, str | None]:
    before, found, after = text.partition(mark)
    return (before, after) if found else (text, None)


def _split_tag(name: str) -> tuple[str, str | None]:
    """A colon before the last slash belongs to a port."""
    head, slash, last = name.rpartition("/")
    last, tag = _split(last, ":")
    return f"{head}{slash}{last}", tag


def _split_registry(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost"):
        first, rest = _DOCKER_HUB, name
    if first in _DOCKER_HUB_NAMES:
        return _DOCKER_HUB, rest if "/" in rest else f"library/{rest}"
    return first, rest
