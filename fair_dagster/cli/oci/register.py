"""``oci register``."""

import click

from fair_dagster.cli.terminal.session import Session, reports


@click.command("register")
@click.argument("reference")
@reports
def register(session: Session, reference: str) -> None:
    """Register the model REFERENCE as a base model, and build its image, as the sensor oci_pushes does.

    A registry without TLS or at a private address has to stand in FAIR_REGISTRIES: runs ask it as well.
    """
    item = session.fair.register_artifact(reference)

    def text() -> None:
        if item is None:
            session.out.line("it holds no stac-item.json: checked, and not registered")
        else:
            session.out.line(f"registered as {item['id']}, version {item['properties'].get('version')}")

    session.out.show(item, text)
