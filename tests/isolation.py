"""Keeps the tests off the servers that the shell of whoever runs them may name. No fixture belongs here."""

from collections.abc import MutableMapping

_OF_CLIENTS = ("FAIR_", "ZENML_", "DAGSTER_", "MLFLOW_", "WANDB_", "AWS_", "PG")
_OF_THE_TESTS = frozenset({"FAIR_REQUIRE_SERVICES"})


def forget_servers(environment: MutableMapping[str, str]) -> None:
    """Remove every variable by which a client finds a catalog, a bucket or a server.

    Tests promote, delete and repair: in a shell that has sourced ``services/env`` they would do so in live servers.
    """
    for name in [name for name in environment if name.startswith(_OF_CLIENTS) and name not in _OF_THE_TESTS]:
        del environment[name]
