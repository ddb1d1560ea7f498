"""The ``fair-dagster`` command: a file per noun, and what they share. It prints; ``fair_dagster.Fair`` does."""


def main() -> None:
    """Run the command line and exit with 0, 1 (refused or failed), 2 (usage) or 130 (interrupted)."""
    from fair_dagster.cli.root import root

    root(prog_name="fair-dagster")
