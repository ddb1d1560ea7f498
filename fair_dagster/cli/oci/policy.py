"""``oci policy``: check and show."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fair_dagster.cli.oci.references import reference_of, registries_for, trusted
from fair_dagster.cli.terminal.session import Session, reports

if TYPE_CHECKING:
    from fair_dagster.oci.registry.registries import Registries
    from fair_dagster.oci.trust.policy import Resource

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
    from fair_dagster.flows.trust.acceptance import trusted_keys
    from fair_dagster.flows.trust.policy import artifact_denials, judge
    from fair_dagster.oci.trust.policy import SETTINGS, Policy, settings_of
    from fair_dagster.oci.trust.verifying import verify

    if not sources and not references:
        raise click.UsageError("name a FILE, - or --artifact")
    keys = trusted_keys(session.fair.services.settings, key_files)
    allowed = (*allowed, *session.fair.settings.allowed_registries)
    policies = [Policy.read(path) for path in policy_files]
    options: dict[str, Any] = {"policies": policies, "data": _data(data_file)}
    denied: dict[str, list[str]] = {}
    signed: list[str] = []
    unsigned: dict[str, str] = {}
    if sources:
        everywhere = settings_of(allowed, (), options["data"])[SETTINGS]["registries"]
        found = judge(_resources(sources), _registries(session, everywhere), keys, allowed=allowed, **options)
        denied, signed, unsigned = dict(found.denied), list(found.signed), dict(found.unsigned)
    for text in references:
        reference = reference_of(text)
        verification = verify(registries_for(session, reference), reference, keys)
        signed += [verification.manifest.digest] if verification.signatures else []
        if reasons := artifact_denials(verification, allowed, **options):
            denied[str(verification.pinned)] = [*reasons, *verification.ignored]
    _show(session, denied, signed, unsigned)
    if denied:
        click.get_current_context().exit(1)


def _show(session: Session, denied: dict[str, list[str]], signed: list[str], unsigned: dict[str, str]) -> None:
    def text() -> None:
        for name, reasons in denied.items():
            session.out.line(f"{name} is denied:")
            for reason in reasons:
                session.out.line(f"  - {reason}")
        if not denied:
            session.out.line("allowed")

    session.out.show({"allowed": not denied, "denied": denied, "signed": signed, "unsigned": unsigned}, text)
    for reference, reason in unsigned.items():
        session.out.remark(f"{reference}: {reason}")


def _resources(sources: tuple[str, ...]) -> "list[Resource]":
    from fair_dagster.domain.errors import RefusedError
    from fair_dagster.oci.trust.policy import read_resources

    found: list[Resource] = []
    problems: list[str] = []
    for source in sources:
        try:
            content = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
            found += read_resources(content, "stdin" if source == "-" else source)
        except RefusedError as error:
            problems += [f"{error.subject} {problem}" for problem in error.problems]
        except OSError as error:
            problems.append(f"{source} cannot be read: {error.strerror or error}")
    if problems:
        raise RefusedError("policy check", problems)
    return found


def _registries(session: Session, allowed: Sequence[str]) -> "Registries":
    """What is allowed is trusted: the policy has nothing else looked up."""
    from fair_dagster.oci.registry.registries import Registries

    hosts = [reference_of(f"{root.rstrip('/')}/any").api_host for root in allowed]
    return Registries(trusted(session, *hosts), locks=session.fair.settings.cache_path / "locks")


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
    from fair_dagster.oci.trust.gatekeeper import constraint_documents, constraint_yaml
    from fair_dagster.oci.trust.policy import Policy

    chosen: Policy = Policy.shipped("artifact" if name == "artifact" else "kserve")
    if reader != "gatekeeper":
        document = {"name": name, "package": chosen.package, "rego": chosen.source}
        session.out.show(document, lambda: session.out.line(chosen.source.rstrip("\n")))
        return
    if name != "kserve":
        raise click.UsageError("Gatekeeper judges resources of Kubernetes: its policy is kserve")
    documents = constraint_documents(chosen, list(session.fair.settings.allowed_registries))
    session.out.show(documents, lambda: session.out.line(constraint_yaml(documents).rstrip("\n")))
