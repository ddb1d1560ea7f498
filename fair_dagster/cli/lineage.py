"""``lineage``: where something comes from and what came of it."""

import click

from fair_dagster.cli.terminal.session import Session, reports
from fair_dagster.domain.items.damage import REPAIR
from fair_dagster.domain.lineage import views


@click.command("lineage")
@click.argument("name", metavar="ID")
@click.option("--mermaid", is_flag=True, help="Print a Mermaid flowchart, as GitHub and many wikis draw it.")
@click.option("--all", "everything", is_flag=True, help="Show all children, not only the first of each.")
@click.option("--published", is_flag=True, help="Only what the catalog holds: do not ask ZenML, which takes seconds.")
@reports
def lineage(session: Session, name: str, mermaid: bool, everything: bool, published: bool) -> None:
    """Up to the base model and dataset versions something was made from, down to finetunes and predictions.

    ID is an item, the name of a finetuned model, one of its versions, published or not, or the file of a prediction.
    """
    if mermaid and session.as_json:
        raise click.UsageError("give --mermaid or --json")
    found = session.fair.lineage(name, published_only=published)
    limit = None if everything else views.SHOWN

    def text() -> None:
        if mermaid:
            session.out.line(views.mermaid(found.graph, found.roots, limit).rstrip("\n"))
            return
        roots = found.roots[-limit:] if limit else found.roots
        if len(roots) < len(found.roots):
            session.out.line(f"… {len(found.roots) - len(roots):,} older versions; --all shows them")
            session.out.line()
        for index, root in enumerate(roots):
            if index:
                session.out.line()
            for line in views.tree(found.graph, root, limit):
                session.out.line(line)
        if found.others:
            session.out.line("other versions")
            for other in found.others:
                session.out.line(f"   {other}")

    document = views.document(found.graph, found.roots) | {"unread": list(found.unread)}
    session.out.show(document, text)
    for path in found.unread:
        session.out.problem(f"not in the graph: the prediction that {path} tells of cannot be read")
    for key in found.damaged:
        session.out.problem(f"not in the graph: {key} cannot be read. {REPAIR}")
