"""Fixtures of registries that tests of several rooms use: a client, a place, keys, signed artifacts."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from fair_dagster.oci.metadata import ModelMetadata
from fair_dagster.oci.pushing import Part, Pushed, push
from fair_dagster.oci.references import Reference
from fair_dagster.oci.registry.registries import Registries
from fair_dagster.oci.trust.keys import SigningKey, TrustedKey, load_signing_key, load_trusted
from tests.services.servers import RegistryServer


@pytest.fixture
def registries(docker_registry: RegistryServer) -> Iterator[Registries]:
    """A client of the real registry, without credentials."""
    made = Registries((docker_registry.host,), lambda _: None)
    yield made
    made.close()


@pytest.fixture
def place(docker_registry: RegistryServer) -> Reference:
    """A tag in a repository of the test's own."""
    return Reference.parse(f"{docker_registry.host}/test/{uuid4().hex[:12]}:v1")


@dataclass(frozen=True)
class KeyPair:
    """Two PEM files."""

    private: Path
    public: Path

    @property
    def signing(self) -> SigningKey:
        return load_signing_key(self.private)

    @property
    def trusted(self) -> tuple[TrustedKey, ...]:
        return load_trusted([self.public])


MakeKey = Callable[..., KeyPair]


@pytest.fixture
def make_key(tmp_path: Path) -> MakeKey:
    def make(name: str = "release", curve: ec.EllipticCurve | None = None, password: str = "") -> KeyPair:
        key = ec.generate_private_key(curve or ec.SECP256R1())
        encryption = BestAvailableEncryption(password.encode()) if password else NoEncryption()
        pair = KeyPair(tmp_path / f"{name}.key", tmp_path / f"{name}.pub")
        pair.private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        pair.public.write_bytes(public)
        return pair

    return make


@pytest.fixture
def key(make_key: MakeKey) -> KeyPair:
    """The key that tests trust."""
    return make_key()


PushModel = Callable[..., Pushed]


@pytest.fixture
def push_model(registries: Registries, place: Reference) -> PushModel:
    """Push files with metadata to a tag of the test's repository."""

    def make(tag: str = "v1", **files: bytes) -> Pushed:
        content = files or {"model.onnx": b"weights", "labels.txt": b"building"}
        parts = [Part(cast(bytes, value), name) for name, value in content.items()]
        return push(registries, place.with_tag(tag), parts, ModelMetadata(name="town", author="a mapper"))

    return make
