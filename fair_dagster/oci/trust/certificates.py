"""Certificates in signatures: whose key signed, as a trusted authority says. Nothing is fetched.

A certificate counts at the time that it began to hold, as with model-signing: a signature without a time stamp cannot
say when it was made, and must outlive the certificate. What a key signs stands in ``bundles``.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fair_dagster.oci.trust.keys import TrustedKey

if TYPE_CHECKING:
    from cryptography.x509 import Certificate
    from cryptography.x509.verification import ExtensionPolicy

_LONGEST_CHAIN = 5


@contextmanager
def as_strangers() -> Iterator[None]:
    """Certificates that are looked into in here may be anything: what the library says of them is a ``ValueError``."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.x509 import DuplicateExtension, InvalidVersion, UnsupportedGeneralNameType

    try:
        yield
    except (UnsupportedAlgorithm, DuplicateExtension, InvalidVersion, UnsupportedGeneralNameType) as error:
        raise ValueError(f"its certificate cannot be read: {error}") from error


def issuer_of(chain: "Sequence[Certificate]", keys: Sequence[TrustedKey]) -> TrustedKey:
    """The trusted key or certificate that vouches for the first certificate of ``chain``.

    Raises:
        ValueError: nobody does; says why.
    """
    from cryptography.x509.verification import VerificationError

    own = next((one for one in keys if one.public == chain[0].public_key()), None)
    if own is not None:
        return own
    if len(chain) > _LONGEST_CHAIN:
        raise ValueError(f"its chain has {len(chain)} certificates, and at most {_LONGEST_CHAIN} are followed")
    _require_signing(chain[0])
    reason = "no certificate is trusted"
    for key in keys:
        if key.certificate is None:
            continue
        try:
            _verify(chain, key.certificate)
        except VerificationError as error:
            reason = str(error)
        else:
            return key
    raise ValueError(f"its certificate {chain[0].subject.rfc4514_string()!r} is issued by nobody trusted: {reason}")


def _verify(chain: "Sequence[Certificate]", authority: "Certificate") -> None:
    from cryptography.x509 import BasicConstraints
    from cryptography.x509.verification import ExtensionPolicy, PolicyBuilder, Store, VerificationError

    verifier = (
        PolicyBuilder()
        .store(Store([authority]))
        .time(chain[0].not_valid_before_utc)
        .max_chain_depth(_LONGEST_CHAIN)
        # Whom a certificate is for is asked by `_require_signing`.
        .extension_policies(ee_policy=ExtensionPolicy.permit_all(), ca_policy=_authorities())
        .build_client_verifier()
    )
    verified = verifier.verify(chain[0], list(chain[1:])).chain
    for below, issuer in enumerate(verified[1:]):
        limit = issuer.extensions.get_extension_for_class(BasicConstraints).value.path_length
        if limit is not None and below > limit:
            raise VerificationError(f"{issuer.subject.rfc4514_string()} may not have {below} authorities below it")


def _authorities() -> "ExtensionPolicy":
    """Who may issue: authorities, and where they say what their key is for, those that may sign certificates.

    The rules of the web ask for more than `openssl req -x509` writes.
    """
    from cryptography.x509 import BasicConstraints, KeyUsage
    from cryptography.x509.verification import Criticality, ExtensionPolicy

    def is_authority(_policy: object, _certificate: object, found: BasicConstraints) -> None:
        if not found.ca:
            raise ValueError("it is no authority")

    def may_issue(_policy: object, _certificate: object, found: KeyUsage | None) -> None:
        if found is not None and not found.key_cert_sign:
            raise ValueError("its key may not sign certificates")

    return (
        ExtensionPolicy.permit_all()
        .require_present(BasicConstraints, Criticality.AGNOSTIC, is_authority)
        .may_be_present(KeyUsage, Criticality.AGNOSTIC, may_issue)
    )


def _require_signing(certificate: "Certificate") -> None:
    from cryptography.x509 import BasicConstraints, ExtendedKeyUsage, ExtensionNotFound, KeyUsage
    from cryptography.x509.oid import ExtendedKeyUsageOID

    extensions = certificate.extensions
    try:
        if extensions.get_extension_for_class(BasicConstraints).value.ca:
            raise ValueError("it is signed by an authority itself, whose certificate is not trusted")
    except ExtensionNotFound:
        pass
    try:
        if extensions.get_extension_for_class(KeyUsage).value.digital_signature:
            return
    except ExtensionNotFound:
        pass
    try:
        if ExtendedKeyUsageOID.CODE_SIGNING in extensions.get_extension_for_class(ExtendedKeyUsage).value:
            return
    except ExtensionNotFound:
        pass
    raise ValueError("its certificate is not for signing: neither digitalSignature nor codeSigning")
