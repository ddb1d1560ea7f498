"""Keys and certificates in files, and in bundles: which are taken, and why others are not."""

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fair_dagster.domain.errors import RefusedError
from fair_dagster.oci.trust.bundles import Bundle, make_bundle
from fair_dagster.oci.trust.keys import load_signing_key, load_trusted
from fair_dagster.oci.trust.statements import SignedModel, signature_statement
from tests.oci.fixtures import KeyPair, MakeKey

STATEMENT = signature_statement("town", {"model.onnx": "ab" * 32})


def test_a_bad_file_among_trusted_keys_is_told_with_all_others(key: KeyPair, make_key: MakeKey, tmp_path: Path) -> None:
    """One key that silently is none would let everything be refused, or the wrong be trusted."""
    text = tmp_path / "notes.txt"
    text.write_text("no key")
    other = tmp_path / "other.pub"
    public = ed25519.Ed25519PrivateKey.generate().public_key()
    other.write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    koblitz = make_key("koblitz", ec.SECP256K1()).public
    with pytest.raises(RefusedError) as caught:
        load_trusted([key.public, key.private, text, tmp_path / "gone.pub", other, koblitz, tmp_path])
    told = "\n".join(caught.value.problems)
    for reason in ("private key: trust its public half", "is no PEM file", "gone.pub cannot be read", "secp256k1"):
        assert reason in told
    assert "other.pub is of no elliptic key" in told
    assert len(caught.value.problems) == 6


def test_an_encrypted_key_asks_for_its_password(make_key: MakeKey) -> None:
    pair = make_key("locked", password="open sesame")
    assert load_signing_key(pair.private, lambda: "open sesame").fingerprint == pair.trusted[0].fingerprint
    with pytest.raises(RefusedError, match="FAIR_KEY_PASSWORD"):
        load_signing_key(pair.private)
    with pytest.raises(RefusedError, match="is the password right") as caught:
        load_signing_key(pair.private, lambda: "a guess")
    assert "a guess" not in str(caught.value)


def test_the_key_of_a_user_of_openssl_is_taken(tmp_path: Path) -> None:
    """`openssl ecparam -genkey` writes the parameters of the curve before the key."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    path = tmp_path / "key.pem"
    path.write_bytes(b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n" + pem)
    assert load_signing_key(path).private.curve.name == "secp256r1"


def test_a_public_key_signs_nothing(key: KeyPair) -> None:
    with pytest.raises(RefusedError, match="holds no private key"):
        load_signing_key(key.public)


class Authority:
    """A certificate authority in files."""

    def __init__(
        self, folder: Path, make_key: MakeKey, name: str = "authority", usage: x509.KeyUsage | None = None
    ) -> None:
        self.pair = make_key(name)
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.key = load_pem_private_key(self.pair.private.read_bytes(), None)
        self.path = folder / f"{name}.crt"
        self.folder = folder
        self.usage = usage
        self.write_root()

    def write_root(self, limit: int | None = None) -> None:
        self._write(self.path, self._builder(self.name, self.key.public_key(), ca=True, limit=limit))

    def issue(self, pair: KeyPair, name: str, *, signs: bool = True, ca: bool = False, ended: bool = False) -> Path:
        public = load_pem_private_key(pair.private.read_bytes(), None).public_key()
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = self._builder(subject, public, ca=ca, ended=ended)
        purpose = ExtendedKeyUsageOID.CODE_SIGNING if signs else ExtendedKeyUsageOID.EMAIL_PROTECTION
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        path = self.folder / f"{name}.crt"
        self._write(path, builder)
        return path

    def _builder(
        self, subject: x509.Name, public: object, *, ca: bool, ended: bool = False, limit: int | None = None
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        start = now - timedelta(days=60 if ca else 30)
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self.name).public_key(public)
        builder = builder.serial_number(x509.random_serial_number()).not_valid_before(start)
        builder = builder.not_valid_after(now + timedelta(days=-10 if ended else 10))
        builder = builder.add_extension(x509.BasicConstraints(ca, limit), critical=True)
        authority_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        builder = builder.add_extension(authority_id, critical=False)
        if ca:
            identifier = x509.SubjectKeyIdentifier.from_public_key(public)
            builder = builder.add_extension(identifier, critical=False)
            if self.usage is not None:
                builder = builder.add_extension(self.usage, critical=True)
        return builder

    def _write(self, path: Path, builder: x509.CertificateBuilder) -> None:
        path.write_bytes(builder.sign(self.key, hashes.SHA256()).public_bytes(Encoding.PEM))


def usage(*, issues: bool) -> x509.KeyUsage:
    no = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only"), False
    )
    return x509.KeyUsage(digital_signature=False, key_cert_sign=issues, crl_sign=True, decipher_only=False, **no)


@pytest.fixture(params=[True, False], ids=["with key usage", "as openssl writes it"])
def authority(tmp_path: Path, make_key: MakeKey, request: pytest.FixtureRequest) -> Authority:
    return Authority(tmp_path, make_key, usage=usage(issues=True) if request.param else None)


def test_a_certificate_of_a_trusted_authority_says_who_signed(authority: Authority, key: KeyPair) -> None:
    certificate = authority.issue(key, "mapper")
    signing = load_signing_key(key.private, certificates=[certificate])
    found, statement = Bundle.parse(make_bundle(STATEMENT, signing)).verify(load_trusted([authority.path]))
    assert found.name == "CN=mapper by authority"
    assert SignedModel.parse(statement).files == {"model.onnx": "ab" * 32}


def test_a_trusted_certificate_and_its_bare_key_both_do(authority: Authority, key: KeyPair) -> None:
    certificate = authority.issue(key, "mapper")
    with_chain = make_bundle(STATEMENT, load_signing_key(key.private, certificates=[certificate]))
    for trusted in ([certificate], [key.public]):
        assert Bundle.parse(with_chain).verify(load_trusted(trusted))
    assert Bundle.parse(make_bundle(STATEMENT, key.signing)).verify(load_trusted([certificate]))


def test_a_certificate_that_nobody_trusted_issued_is_refused(
    authority: Authority, key: KeyPair, make_key: MakeKey, tmp_path: Path
) -> None:
    other = Authority(tmp_path, make_key, "others")
    signing = load_signing_key(key.private, certificates=[other.issue(key, "stranger"), other.path])
    with pytest.raises(ValueError, match="issued by nobody trusted"):
        Bundle.parse(make_bundle(STATEMENT, signing)).verify(load_trusted([authority.path]))


@pytest.mark.parametrize(("given", "reason"), [({"signs": False}, "not for signing"), ({"ca": True}, "authority")])
def test_a_certificate_for_something_else_is_refused(
    authority: Authority, key: KeyPair, given: dict[str, bool], reason: str
) -> None:
    signing = load_signing_key(key.private, certificates=[authority.issue(key, "odd", **given)])
    with pytest.raises(ValueError, match=reason):
        Bundle.parse(make_bundle(STATEMENT, signing)).verify(load_trusted([authority.path]))


def test_a_leaf_is_no_authority(authority: Authority, key: KeyPair, make_key: MakeKey, tmp_path: Path) -> None:
    """Whoever holds a certificate for signing could else issue certificates for others."""
    authority.issue(key, "mapper")
    false = Authority(tmp_path, make_key, "mapper-as-authority")
    false.key = load_pem_private_key(key.private.read_bytes(), None)
    false.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mapper")])
    thief = make_key("thief")
    chain = [false.issue(thief, "thief"), tmp_path / "mapper.crt"]
    with pytest.raises(ValueError, match="issued by nobody trusted"):
        Bundle.parse(make_bundle(STATEMENT, load_signing_key(thief.private, certificates=chain))).verify(
            load_trusted([authority.path])
        )


def test_an_authority_whose_key_may_not_issue_is_none(key: KeyPair, make_key: MakeKey, tmp_path: Path) -> None:
    other = Authority(tmp_path, make_key, usage=usage(issues=False))
    signing = load_signing_key(key.private, certificates=[other.issue(key, "mapper")])
    with pytest.raises(ValueError, match="may not sign certificates"):
        Bundle.parse(make_bundle(STATEMENT, signing)).verify(load_trusted([other.path]))


@pytest.mark.parametrize("limit", [None, 0])
def test_an_authority_below_another_counts_as_far_as_that_one_allows(
    authority: Authority, key: KeyPair, make_key: MakeKey, tmp_path: Path, limit: int | None
) -> None:
    below = Authority(tmp_path, make_key, "below")
    middle = authority.issue(below.pair, "below", ca=True)
    chain = [below.issue(key, "mapper"), middle]
    if limit is not None:
        authority.write_root(limit)
    signed = Bundle.parse(make_bundle(STATEMENT, load_signing_key(key.private, certificates=chain)))
    if limit is None:
        assert signed.verify(load_trusted([authority.path]))[0].name == "CN=mapper by authority"
    else:
        with pytest.raises(ValueError, match="issued by nobody trusted"):
            signed.verify(load_trusted([authority.path]))


@pytest.mark.parametrize(
    ("there", "instead"),
    [
        ("2a8648ce3d030107", "2a8648ce3d03017f"),
        ("2a8648ce3d0201", "2a8648ce3d027f"),
        ("0603551d23", "0603551d13"),
        ("a003020102", "a003020107"),
    ],
    ids=["an unknown curve", "an unknown kind of key", "an extension twice", "an unknown version"],
)
def test_a_certificate_that_cannot_be_read_is_a_bundle_that_does_not_count(
    authority: Authority, key: KeyPair, there: str, instead: str
) -> None:
    """Whoever may push could else keep everybody from verifying what is truly signed."""
    content = x509.load_pem_x509_certificate(authority.issue(key, "odd").read_bytes()).public_bytes(Encoding.DER)
    assert bytes.fromhex(there) in content
    odd = base64.b64encode(content.replace(bytes.fromhex(there), bytes.fromhex(instead))).decode()
    document = json.loads(make_bundle(STATEMENT, key.signing))
    document["verificationMaterial"] = {"x509CertificateChain": {"certificates": [{"rawBytes": odd}]}}
    with pytest.raises(ValueError, match="certificate cannot be read"):
        Bundle.parse(json.dumps(document).encode()).verify(load_trusted([authority.path]))


def test_a_signature_outlives_its_certificate(authority: Authority, key: KeyPair) -> None:
    """It has no time stamp: else every model would be refused when the certificate ends."""
    signing = load_signing_key(key.private, certificates=[authority.issue(key, "mapper", ended=True)])
    assert Bundle.parse(make_bundle(STATEMENT, signing)).verify(load_trusted([authority.path]))


def test_a_certificate_of_another_key_is_not_signed_with(authority: Authority, key: KeyPair, make_key: MakeKey) -> None:
    with pytest.raises(RefusedError, match="certifies another key"):
        load_signing_key(key.private, certificates=[authority.issue(make_key("second"), "second")])


def test_the_plain_tool_of_model_signing_takes_our_chain(authority: Authority, key: KeyPair, tmp_path: Path) -> None:
    import hashlib

    from model_signing.verifying import Config

    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(b"weights")
    certificate = authority.issue(key, "mapper")
    signing = load_signing_key(key.private, certificates=[certificate])
    statement = signature_statement("model", {"model.onnx": hashlib.sha256(b"weights").hexdigest()})
    (tmp_path / "model.sig").write_bytes(make_bundle(statement, signing))
    Config().use_certificate_verifier(certificate_chain=[authority.path]).verify(folder, tmp_path / "model.sig")
