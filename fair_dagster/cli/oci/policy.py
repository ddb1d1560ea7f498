"""``oci policy``: check and show."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fair_dagster.cli.oci.references import oci_of
from fair_dagster.cli.terminal.session import Session, reports

if TYPE_CHECKING:
    from fair_dagster.fair import Judgement

_FILE = click.Path(dir_okay=False, path_type=Path)
_READERS = ("opa", "conftest", "gatekeeper")


@click.group("policy")
def policy() -> None:
    """Which models may be deployed, and which artifacts may come in: Rego that denies what it does not know."""


@policy.command("check", short_help="Check manifests of Kubernetes, or an artifact, against policy.")
@click.argument("sources", metavar="[FILE|-]...", nargs=-1)
@click.option("--artifact", "references", multiple=True, help="Check this artifact; repeatable.")
@click.option(
    "--registry",
    "allowed",
    multiple=True,
    help="Allow models and images from here: registry or registry/path, beside FAIR_ALLOWED_REGISTRIES; repeatable.",
)
@click.option(
    "--key", "key_files", multiple=True, type=_FILE, help="Public key to trust, in place of FAIR_TRUSTED_KEYS."
)
@click.option("--policy", "policy_files", multiple=True, type=_FILE, help="Ask this policy (Rego), too; repeatable.")
@click.option("--data", "data_file", type=_FILE, help="Data of the policies (JSON or YAML); see docs/trust.md.")
@reports
def check(
    session: Session,
    *,
    sources: tuple[str, ...],
    references: tuple[str, ...],
    allowed: tuple[str, ...],
    key_files: tuple[Path, ...],
    policy_files: tuple[Path, ...],
    data_file: Path | None,
) -> None:
    """Check manifests of Kubernetes (YAML, JSON or an AdmissionReview; - reads stdin), and artifacts.

    What they name is looked up in the allowed registries, and its signatures are verified. Exit code 1 when anything
    is denied.
    """
    if not sources and not references:
        raise click.UsageError("name a FILE, - or --artifact")
    found = oci_of(session).policy.check(
        [Path(source) for source in sources if source != "-"],
        references,
        contents={"stdin": sys.stdin.buffer.read()} if "-" in sources else None,
        allowed=allowed,
        keys=key_files,
        policies=policy_files,
        data=_data(data_file),
    )
    _show(session, found)
    if not found.allowed:
        click.get_current_context().exit(1)


def _show(session: Session, found: "Judgement") -> None:
    def text() -> None:
        for name, reasons in found.denied.items():
            session.out.line(f"{name} is denied:")
            for reason in reasons:
                session.out.line(f"  - {reason}")
        if found.allowed:
            session.out.line("allowed")

    document = {
        "allowed": found.allowed,
        "denied": found.denied,
        "signed": list(found.signed),
        "unsigned": found.unsigned,
    }
    session.out.show(document, text)
    for reference, reason in found.unsigned.items():
        session.out.remark(f"{reference}: {reason}")


def _data(path: Path | None) -> dict[str, Any] | None:
    import yaml

    from fair_dagster.domain.errors import RefusedError

    if path is None:
        return None
    try:
        document = yaml.safe_load(path.read_bytes())
    except OSError as error:
        raise RefusedError(str(path), [f"cannot be read: {error.strerror or error}"]) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise RefusedError(str(path), [f"is neither YAML nor JSON: {' '.join(str(error).split())}"]) from error
    if not isinstance(document, dict):
        raise RefusedError(str(path), ["is no object"])
    return document


@policy.command("show", short_help="Print a policy for other tools.")
@click.argument("name", type=click.Choice(["kserve", "artifact"]), default="kserve")
@click.option("--for", "reader", type=click.Choice(_READERS), default="opa", help="Who will evaluate it.")
@reports
def show(session: Session, name: str, reader: str) -> None:
    """Print a policy as it ships: Rego for OPA and Conftest; for Gatekeeper a ConstraintTemplate and a Constraint."""
    policies = session.fair.oci.policy
    if reader != "gatekeeper":
        chosen = policies.show("artifact" if name == "artifact" else "kserve")
        document = {"name": name, "package": chosen.package, "rego": chosen.source}
        session.out.show(document, lambda: session.out.line(chosen.source.rstrip("\n")))
        return
    if name != "kserve":
        raise click.UsageError("Gatekeeper judges resources of Kubernetes: its policy is kserve")
    found = policies.gatekeeper()
    session.out.show(found.documents, lambda: session.out.line(found.yaml.rstrip("\n")))
