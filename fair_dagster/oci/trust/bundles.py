"""Sigstore bundles over DSSE envelopes: what a signature is on the wire, written and verified with keys alone.

https://github.com/sigstore/protobuf-specs (bundle 0.3), https://github.com/secure-systems-lab/dsse, and
https://github.com/in-toto/attestation for the payload. What a statement says stands in ``statements`` and
``provenance``, where bundles are kept in ``signing`` and ``verifying``.

See docs/decisions/0037.
"""

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from fair_dagster.oci.trust.keys import SigningKey, TrustedKey, signature_algorithm

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"

Statement = Mapping[str, Any]
"""An in-toto statement: what is said of which subjects."""


@dataclass(frozen=True)
class Bundle:
    """A signed statement as it came: nothing of it is to be believed before ``verify``."""

    payload: bytes
    signature: bytes
    hint: str
    chain: "tuple[Certificate, ...]" = ()

    @classmethod
    def parse(cls, content: bytes) -> Self:
        """Read one.

        Raises:
            ValueError: it is none; says why.
        """
        try:
            document = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"it is no Sigstore bundle: not JSON ({error})") from error
        try:
            envelope, material = document["dsseEnvelope"], document["verificationMaterial"]
            signatures = envelope["signatures"]
            if document["mediaType"] != BUNDLE_TYPE or envelope["payloadType"] != PAYLOAD_TYPE:
                raise ValueError(f"it is {document['mediaType']!r} of {envelope['payloadType']!r}")
            if len(signatures) != 1:
                raise ValueError(f"it has {len(signatures)} signatures, and a bundle has one")
            payload = base64.b64decode(envelope["payload"], validate=True)
            signature = base64.b64decode(signatures[0]["sig"], validate=True)
            hint = str((material.get("publicKey") or {}).get("hint") or "")
            return cls(payload, signature, hint, _chain(material))
        except (KeyError, TypeError, AttributeError, binascii.Error) as error:
            raise ValueError(f"it is no Sigstore bundle: {type(error).__name__} {error}") from error

    def verify(self, keys: Sequence[TrustedKey]) -> tuple[TrustedKey, Statement]:
        """The trusted key that signed, and the statement.

        Raises:
            ValueError: none of ``keys`` did, or what it signed is no statement.
        """
        key, public = self._claimed(keys)
        from cryptography.exceptions import InvalidSignature

        try:
            public.verify(self.signature, pre_authentication(self.payload), signature_algorithm(public))
        except InvalidSignature as error:
            raise ValueError(f"its signature is not one of {key} over what it holds: it was altered") from error
        return key, self._statement()

    def _claimed(self, keys: Sequence[TrustedKey]) -> tuple[TrustedKey, Any]:
        """Who claims to have signed: the hint chooses the key, and the signature has to prove it."""
        if self.chain:
            from fair_dagster.oci.trust.certificates import as_strangers, issuer_of
            from fair_dagster.oci.trust.keys import fingerprint, supported

            with as_strangers():
                public = supported(self.chain[0].public_key())
                key = issuer_of(self.chain, keys)
                return (key if key.fingerprint == fingerprint(public) else _named(key, self.chain[0])), public
        for key in keys:
            if key.fingerprint == self.hint:
                return key, key.public
        raise ValueError(f"it is signed by another key ({self.hint[:12] or 'one without a name'}) than the trusted")

    def _statement(self) -> Statement:
        try:
            document = json.loads(self.payload)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"what it signs is not JSON: {error}") from error
        if not isinstance(document, Mapping) or document.get("_type") != STATEMENT_TYPE:
            raise ValueError(f"what it signs is no in-toto statement ({STATEMENT_TYPE})")
        return document


def make_bundle(statement: Statement, key: SigningKey) -> bytes:
    """Sign a statement. Equal arguments give equal bytes."""
    payload = json.dumps(statement, sort_keys=True, allow_nan=False).encode()
    envelope = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": PAYLOAD_TYPE,
        "signatures": [{"sig": base64.b64encode(key.sign(pre_authentication(payload))).decode(), "keyid": ""}],
    }
    document = {
        "mediaType": BUNDLE_TYPE,
        "verificationMaterial": _material(key) | {"tlogEntries": []},
        "dsseEnvelope": envelope,
    }
    return json.dumps(document).encode()


def pre_authentication(payload: bytes) -> bytes:
    """What is signed in place of the payload: it binds its type (PAE of DSSE 1)."""
    return b"DSSEv1 %d %s %d %s" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload)


def _material(key: SigningKey) -> dict[str, Any]:
    if not key.certificates:
        return {"publicKey": {"hint": key.fingerprint}}
    from cryptography.hazmat.primitives.serialization import Encoding

    encoded = [base64.b64encode(one.public_bytes(Encoding.DER)).decode() for one in key.certificates]
    return {"x509CertificateChain": {"certificates": [{"rawBytes": one} for one in encoded]}}


def _chain(material: Mapping[str, Any]) -> "tuple[Certificate, ...]":
    found = material.get("x509CertificateChain")
    entries = found["certificates"] if found else [material["certificate"]] if material.get("certificate") else []
    if not entries:
        return ()
    from cryptography.x509 import load_der_x509_certificate

    from fair_dagster.oci.trust.certificates import as_strangers

    with as_strangers():
        return tuple(load_der_x509_certificate(base64.b64decode(one["rawBytes"], validate=True)) for one in entries)


def _named(authority: TrustedKey, certificate: "Certificate") -> TrustedKey:
    """Whose certificate it is, for people: the name that the authority gave."""
    from fair_dagster.oci.trust.keys import supported

    subject = certificate.subject.rfc4514_string()
    return TrustedKey(f"{subject} by {authority.name}", supported(certificate.public_key()), certificate)
