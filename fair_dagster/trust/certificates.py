"""Certificates in signatures: whose key signed, as a trusted authority says. Nothing is fetched.

A certificate counts at the time that it began to hold, as with model-signing: a signature without a time stamp cannot
say when it was made, and must outlive the certificate. What a key signs stands in ``bundles``.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fair_dagster.trust.keys import TrustedKey

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

_LONGEST_CHAIN = 5


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
    from cryptography.x509.verification import ExtensionPolicy, PolicyBuilder, Store

    verifier = (
        PolicyBuilder()
        .store(Store([authority]))
        .time(chain[0].not_valid_before_utc)
        # Whom a certificate is for is asked by `_require_signing`; what an authority may do, by the rules of the web.
        .extension_policies(ee_policy=ExtensionPolicy.permit_all(), ca_policy=ExtensionPolicy.webpki_defaults_ca())
        .build_client_verifier()
    )
    verifier.verify(chain[0], list(chain[1:]))


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
