"""Keys in PEM files: private ones that sign, public ones and certificates that are trusted.

Elliptic keys on P-256, P-384 and P-521, as https://github.com/sigstore/model-transparency takes them. What is signed
stands in ``bundles``, chains of certificates in ``certificates``.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fair_dagster.domain.errors import RefusedError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey, EllipticCurvePublicKey
    from cryptography.x509 import Certificate

_CURVES = ("secp256r1", "secp384r1", "secp521r1")
_LARGEST = 1 << 16
"""Of a PEM file, in bytes. A longer one is something else."""


@dataclass(frozen=True)
class TrustedKey:
    """A public key, or a certificate, that somebody decided to trust.

    Attributes:
        name: the name of its file without the suffix.
        public: the key itself; of a certificate the key that it certifies.
        certificate: where the file holds one; it may also vouch for others.
    """

    name: str
    public: "EllipticCurvePublicKey"
    certificate: "Certificate | None" = None

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.public)

    def __str__(self) -> str:
        return f"{self.name} ({self.fingerprint[:12]})"


@dataclass(frozen=True)
class SigningKey:
    """A private key, and the certificates that say whose it is: its own first, then those of who issued it."""

    private: "EllipticCurvePrivateKey"
    certificates: "tuple[Certificate, ...]" = ()

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.private.public_key())

    def sign(self, content: bytes) -> bytes:
        """An ECDSA signature in DER. The same key gives the same for the same content (RFC 6979)."""
        return self.private.sign(content, signature_algorithm(self.private.public_key(), deterministic=True))


def fingerprint(public: "EllipticCurvePublicKey") -> str:
    """SHA-256 of the key's PEM: what a bundle calls it by."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(pem).hexdigest()


def signature_algorithm(public: "EllipticCurvePublicKey", *, deterministic: bool = False) -> "ECDSA":
    """The hash that belongs to the size of a key. ``deterministic`` counts for signing alone."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA

    fitting = {256: hashes.SHA256(), 384: hashes.SHA384(), 521: hashes.SHA512()}
    return ECDSA(fitting[public.curve.key_size], deterministic_signing=deterministic)


def load_trusted(paths: Iterable[Path]) -> tuple[TrustedKey, ...]:
    """The keys and certificates of PEM files.

    Raises:
        RefusedError: a file cannot be used; every one is named.
    """
    found: list[TrustedKey] = []
    problems: list[str] = []
    for path in paths:
        try:
            found += _trusted(path)
        except ValueError as error:
            problems.append(f"{path} {error}")
    if problems:
        raise RefusedError("trusted keys", problems)
    return tuple({(one.fingerprint, one.certificate): one for one in found}.values())


def load_signing_key(
    path: Path, password: Callable[[], str] | None = None, certificates: Sequence[Path] = ()
) -> SigningKey:
    """The private key of a PEM file.

    Args:
        password: asked where the key is encrypted.
        certificates: files with the key's certificate first, then those of its issuers.

    Raises:
        RefusedError: a file cannot be used, or the first certificate is of another key; every problem is named.
    """
    problems: list[str] = []
    private, chain = None, list["Certificate"]()
    try:
        private = _private(path, password)
    except ValueError as error:
        problems.append(f"{path} {error}")
    for one in certificates:
        try:
            chain += _certificates(_content(one))
        except ValueError as error:
            problems.append(f"{one} {error}")
    if private is not None and chain and chain[0].public_key() != private.public_key():
        problems.append(f"{certificates[0]} certifies another key than {path}: name the key's own certificate first")
    if problems or private is None:
        raise RefusedError("signing key", problems)
    return SigningKey(private, tuple(chain))


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes() if path.stat().st_size <= _LARGEST else b""
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror or error}") from error
    if b"-----BEGIN " not in content:
        raise ValueError("is no PEM file")
    return content


def _trusted(path: Path) -> list[TrustedKey]:
    content = _content(path)
    if b"PRIVATE KEY-----" in content:
        raise ValueError("holds a private key: trust its public half (openssl ec -pubout), and keep this one away")
    if b"-----BEGIN CERTIFICATE-----" in content:
        return [TrustedKey(path.stem, supported(one.public_key()), one) for one in _certificates(content)]
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        return [TrustedKey(path.stem, supported(load_pem_public_key(content)))]
    except UnsupportedAlgorithm as error:
        raise ValueError(f"holds a key of an unknown kind: {error}") from error


def _private(path: Path, password: Callable[[], str] | None) -> "EllipticCurvePrivateKey":
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    content = _content(path)
    is_encrypted = b"ENCRYPTED" in content
    if is_encrypted and password is None:
        raise ValueError("is encrypted, and there is nobody to ask for its password: set FAIR_KEY_PASSWORD")
    try:
        key = load_pem_private_key(content, password().encode() if is_encrypted and password else None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        # What the library says may hold parts of the key.
        reason = "cannot be decrypted: is the password right?" if is_encrypted else "holds no private key"
        raise ValueError(reason) from error
    if not isinstance(key, EllipticCurvePrivateKey):
        raise ValueError("is no elliptic key: openssl ecparam -name prime256v1 -genkey -noout makes one")
    supported(key.public_key())
    return key


def _certificates(content: bytes) -> "list[Certificate]":
    from cryptography.x509 import load_pem_x509_certificates

    try:
        return load_pem_x509_certificates(content)
    except ValueError as error:
        raise ValueError(f"holds no certificate: {error}") from error


def supported(key: object) -> "EllipticCurvePublicKey":
    """A public key that can be used here.

    Raises:
        ValueError: it is of another kind.
    """
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

    if not isinstance(key, EllipticCurvePublicKey):
        raise ValueError("is of no elliptic key, and no other kind is known here")
    if key.curve.name not in _CURVES:
        raise ValueError(f"is of a key on curve {key.curve.name}; known are {', '.join(_CURVES)}")
    return key
