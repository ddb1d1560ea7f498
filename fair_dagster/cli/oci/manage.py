"""``oci delete`` and ``oci login``."""

import sys

import click

from fair_dagster.cli.oci.references import oci_of
from fair_dagster.cli.terminal.session import Session, reports


@click.command("delete", short_help="Delete an artifact.")
@click.argument("reference")
@click.option("--referrers", is_flag=True, help="Also what refers to it, which nobody would find any more.")
@click.option("--all-tags", is_flag=True, help="Also when other tags lead to it.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@reports
def delete(session: Session, reference: str, referrers: bool, all_tags: bool, yes: bool) -> None:
    """Delete the artifact REFERENCE; only its tag, where the registry can and a tag was named."""
    oci = oci_of(session)
    if not yes:
        if not session.interactive:
            raise click.UsageError("nobody can be asked here; add --yes to delete it")
        digest = oci.digest(reference)
        click.confirm(f"Delete {reference} ({digest})? This cannot be undone.", abort=True, err=True)
    done = oci.delete(reference, referrers=referrers, all_tags=all_tags)

    def text() -> None:
        for tag in done.tags:
            session.out.line(f"deleted tag {tag}")
        for digest in done.digests:
            session.out.line(f"deleted {digest}")

    session.out.show({"digests": list(done.digests), "tags": list(done.tags)}, text)


@click.command("login", short_help="Log in to a registry.")
@click.argument("registry")
@click.option("--username", "-u", help="The user; asked for without.")
@click.option("--password-stdin", is_flag=True, help="Read the password from stdin.")
@reports
def login(session: Session, registry: str, username: str | None, password_stdin: bool) -> None:
    """Check a user's password at REGISTRY and leave it where Docker and Podman look for it."""
    registry = registry.removeprefix("https://").removeprefix("http://").rstrip("/")
    if not session.interactive and (username is None or not password_stdin):
        raise click.UsageError("nobody can be asked here; give --username and --password-stdin")
    user = username if username is not None else click.prompt("Username", err=True)
    if password_stdin:
        password = sys.stdin.read().rstrip("\r\n")
    else:
        password = click.prompt("Password", hide_input=True, err=True)
    place = oci_of(session).login(registry, user, password)
    document = {"registry": registry, "user": user, "stored": place}
    session.out.show(document, lambda: session.out.line(f"{user} is logged in to {registry}; kept by {place}"))
