"""What a shell is offered when somebody presses tab. The shells themselves are click's concern."""

import subprocess
import sys

import pytest
from click.shell_completion import get_completion_class

from fair_dagster.cli.root import root


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.parametrize(
    ("words", "incomplete", "offered"),
    [
        ([], "ver", ["version"]),
        (["version"], "pro", ["promote"]),
        (["oci", "policy"], "", ["check", "show"]),
        (["version", "list"], "--js", ["--json"]),
        ([], "--qu", ["--quiet"]),
        (["oci", "policy", "show", "--for"], "gate", ["gatekeeper"]),
    ],
)
def test_a_shell_is_offered_what_may_follow(shell: str, words: list[str], incomplete: str, offered: list[str]) -> None:
    chosen = get_completion_class(shell)
    assert chosen is not None
    found = chosen(root, {}, "fair-dagster", "_FAIR_DAGSTER_COMPLETE").get_completions(words, incomplete)
    assert [one.value for one in found] == offered


def test_completing_a_noun_imports_none() -> None:
    program = """
import sys
from click.shell_completion import BashComplete
from fair_dagster.cli.root import NOUNS, root
found = BashComplete(root, {}, "fair-dagster", "_X").get_completions([], "")
assert {one.value for one in found} >= set(NOUNS), found
print([noun.module for noun in NOUNS.values() if f"fair_dagster.cli.{noun.module}" in sys.modules])
"""
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert finished.stdout.strip() == "[]"
