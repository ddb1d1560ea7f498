"""``oci sign`` and ``oci attest``."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fair_dagster.cli.oci.references import oci_of
from fair_dagster.cli.terminal.session import Session, reports

if TYPE_CHECKING:
    from fair_dagster.fair import Signed, SignedFiles, SigningKey

_FILE = click.Path(dir_okay=False, path_type=Path)


def key_options(command: Callable[..., None]) -> Callable[..., None]:
    """``--key`` and ``--certificate``."""
    command = click.option(
        "--certificate",
        "certificates",
        multiple=True,
        type=_FILE,
        help="Certificates that say whose key it is, its own first; repeatable.",
    )(command)
    return click.option("--key", "key_file", required=True, type=_FILE, help="Private elliptic key (PEM).")(command)


def signing_key(session: Session, path: Path, certificates: tuple[Path, ...]) -> "SigningKey":
    """The key to sign with. The password of an encrypted one is in FAIR_KEY_PASSWORD, or asked for.

    Raises:
        RefusedError: it cannot be used.
    """
    ask = _ask if session.interactive else None
    return session.fair.oci.signing_key(path, certificates=certificates, password=ask)


def _ask() -> str:
    return str(click.prompt("Password of the key", hide_input=True, err=True))


@click.command("sign", short_help="Sign an artifact, a version or files with a private key.")
@click.argument("reference", required=False)
@click.option("--version", "version_id", help="Sign what this version will publish, before it is promoted.")
@click.option("--file", "paths", multiple=True, type=click.Path(path_type=Path), help="Sign this file; repeatable.")
@key_options
@reports
def sign(
    session: Session,
    *,
    reference: str | None,
    version_id: str | None,
    paths: tuple[Path, ...],
    key_file: Path,
    certificates: tuple[Path, ...],
) -> None:
    """Sign the artifact REFERENCE: its manifest and the digests of its files. Nothing is downloaded.

    The signature refers to the artifact, in its registry. Signatures of a version or of files, which no registry
    needs to have, are kept with the published artifacts: with FAIR_REQUIRE_SIGNED a version is published only when it
    is signed.
    """
    if sum((reference is not None, version_id is not None, bool(paths))) != 1:
        raise click.UsageError("name one: a REFERENCE, --version, or --file")
    key = signing_key(session, key_file, certificates)
    oci = oci_of(session)
    if reference is not None:
        signed = oci.sign(reference, key)
        _show(session, signed, str(signed.pinned), {"signature": str(signed.referrer)})
    elif version_id is not None:
        kept = oci.sign_version(version_id, key)
        _show(session, kept, kept.subject, {})
    else:
        kept = oci.sign_files(paths, key)
        _show(session, kept, kept.subject, {"signatures": list(kept.places)})


def _show(session: Session, done: "Signed | SignedFiles", subject: str, places: dict[str, Any]) -> None:
    document = {"subject": subject, "files": dict(done.files), "fingerprint": done.fingerprint, **places}

    def text() -> None:
        for name, digest in sorted(done.files.items()):
            session.out.line(f"  sha256:{digest}  {name}")
        session.out.line(f"signed {subject} by {done.fingerprint[:12]}")

    session.out.show(document, text)


@click.command("attest", short_help="Sign where a model comes from, beside its artifact.")
@click.argument("reference")
@click.option("--model", help="The item or version that it was made from; by default the one that names the artifact.")
@key_options
@reports
def attest(session: Session, reference: str, model: str | None, key_file: Path, certificates: tuple[Path, ...]) -> None:
    """Sign a statement of SLSA provenance about the artifact REFERENCE: what its model was trained from, by which run.

    What it says comes from the catalog and from ZenML. `fair-dagster oci verify --provenance` shows it.
    """
    key = signing_key(session, key_file, certificates)
    done = oci_of(session).attest(reference, key, model)
    document = {
        "reference": str(done.pinned),
        "attestation": str(done.referrer),
        "fingerprint": done.fingerprint,
        "statement": done.statement,
    }

    def text() -> None:
        session.out.pairs(done.summary())
        session.out.line(f"attested {done.pinned} by {key.fingerprint[:12]}")

    session.out.show(document, text)
