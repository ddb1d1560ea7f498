"""What somebody meant who mistyped."""

import pytest

from tests.cli.conftest import Call
from tests.cli.fakes import FakeFair


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("vesion list", "Did you mean 'version'?"),
        ("promote", "Did you mean 'version promote'?"),
        ("promot ramp-v1", "Did you mean 'version promote'?"),
        ("version promot", "Did you mean 'promote'?"),
        ("version predict", "Did you mean 'fair-dagster predict'?"),
        ("oci polcy", "Did you mean 'policy'?"),
        ("oci policy chek", "Did you mean 'check'?"),
        ("validate", "Did you mean 'base-model validate' or 'catalog validate'?"),
        ("version list --jsn", "Did you mean '--json'?"),
        ("finetune --base-modle ramp", "Did you mean '--base-model'?"),
        ("version list --home x", "It stands before the command: fair-dagster --home …"),
        ("--json version list", "It stands after the command: fair-dagster … --json"),
        ("version --json list", "It stands after the command: fair-dagster version … --json"),
    ],
)
def test_a_mistyped_command_or_option_is_answered_with_what_was_meant(
    call: Call, fair: FakeFair, typed: str, said: str
) -> None:
    result = call(*typed.split())
    assert result.exit_code == 2
    assert said in result.stderr
    assert fair.asked == []


def test_what_is_like_nothing_gets_no_suggestion(call: Call) -> None:
    assert "mean" not in call("xyzzy").stderr
