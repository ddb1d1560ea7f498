"""The ``fair-dagster`` command: a file per noun, and what they share. It prints; ``fair_dagster.Fair`` does."""


def main() -> None:
    """Run the command line and exit.

    The codes: 0, 1 (refused or failed), 2 (usage), 130 (interrupted), 141 (nobody reads), 143 (terminated).
    """
    from fair_dagster.cli.root import root

    root(prog_name="fair-dagster")
