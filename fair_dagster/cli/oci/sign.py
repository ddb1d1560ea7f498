"""``oci sign`` and ``oci attest``."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fair_dagster.cli.oci.references import reference_of, registries_for
from fair_dagster.cli.terminal.session import Session, reports

if TYPE_CHECKING:
    from fair_dagster.oci.trust.keys import SigningKey

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
    from fair_dagster.oci.trust.keys import load_signing_key

    kept = session.fair.settings.key_password
    ask: Callable[[], str] | None = None
    if kept is not None:
        ask = kept.get_secret_value
    elif session.interactive:
        ask = _ask
    return load_signing_key(path, ask, certificates)


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
    if reference is not None:
        document = _sign_artifact(session, reference, key)
    elif version_id is not None:
        from fair_dagster.flows.trust.acceptance import sign_version

        document = _document(version_id, sign_version(session.fair.services, version_id, key), key)
    else:
        document = _sign_paths(session, paths, key)

    def text() -> None:
        for name, digest in sorted(document["files"].items()):
            session.out.line(f"  sha256:{digest}  {name}")
        session.out.line(f"signed {document['subject']} by {key.fingerprint[:12]}")

    session.out.show(document, text)


def _sign_artifact(session: Session, text: str, key: "SigningKey") -> dict[str, Any]:
    from fair_dagster.oci.trust.signing import sign as sign_artifact

    source = reference_of(text)
    done = sign_artifact(registries_for(session, source), source, key)
    return _document(str(done.pinned), done.files, key) | {"signature": str(done.referrer)}


def _sign_paths(session: Session, paths: tuple[Path, ...], key: "SigningKey") -> dict[str, Any]:
    from fair_dagster.flows.trust.acceptance import sign_files
    from fair_dagster.oci.pushing import parts_of
    from fair_dagster.oci.registry.blobs import file_digest

    parts = parts_of(paths)
    files = {
        part.title: file_digest(part.source)[0].removeprefix("sha256:")
        for part in parts
        if isinstance(part.source, Path)
    }
    name = paths[0].name if len(paths) == 1 else f"{len(files)} files"
    return _document(name, files, key) | {"signatures": sign_files(session.fair.services.artifacts, name, files, key)}


def _document(subject: str, files: Mapping[str, str], key: "SigningKey") -> dict[str, Any]:
    return {"subject": subject, "files": dict(files), "fingerprint": key.fingerprint}


@click.command("attest", short_help="Sign where a model comes from, beside its artifact.")
@click.argument("reference")
@click.option("--model", help="The item or version that it was made from; by default the one that names the artifact.")
@key_options
@reports
def attest(session: Session, reference: str, model: str | None, key_file: Path, certificates: tuple[Path, ...]) -> None:
    """Sign a statement of SLSA provenance about the artifact REFERENCE: what its model was trained from, by which run.

    What it says comes from the catalog and from ZenML. `fair-dagster oci verify --provenance` shows it.
    """
    from fair_dagster.flows.trust.provenance import statement_of
    from fair_dagster.oci.trust.provenance import summary
    from fair_dagster.oci.trust.signing import attest as attest_artifact

    key = signing_key(session, key_file, certificates)
    source = reference_of(reference)
    registries = registries_for(session, source)
    statement = statement_of(session.fair.services, registries, source, model)
    done = attest_artifact(registries, source, key, statement)
    document = {
        "reference": str(done.pinned),
        "attestation": str(done.referrer),
        "fingerprint": key.fingerprint,
        "statement": statement,
    }

    def text() -> None:
        session.out.pairs(summary(statement))
        session.out.line(f"attested {done.pinned} by {key.fingerprint[:12]}")

    session.out.show(document, text)
