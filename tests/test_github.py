"""Files for GitHub and for citing: valid, and in step with the project."""

import tomllib
from pathlib import Path

import pytest
import yaml
from check_jsonschema import main as check
from click.testing import CliRunner

from fair_dagster.settings import PROJECT_ROOT

GITHUB = PROJECT_ROOT / ".github"
PROJECT = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())["project"]
FILES = [
    *(("github-workflows", path) for path in sorted(GITHUB.glob("workflows/*.yml"))),
    *(("github-issue-forms", path) for path in sorted(GITHUB.glob("ISSUE_TEMPLATE/*.yml")) if path.stem != "config"),
    ("github-issue-config", GITHUB / "ISSUE_TEMPLATE" / "config.yml"),
    ("dependabot", GITHUB / "dependabot.yml"),
    ("citation-file-format", PROJECT_ROOT / "CITATION.cff"),
]


@pytest.mark.parametrize(("schema", "path"), FILES, ids=lambda value: getattr(value, "name", None))
def test_a_file_has_the_form_that_its_reader_wants(schema: str, path: Path) -> None:
    result = CliRunner().invoke(check, ["--builtin-schema", f"vendor.{schema}", str(path)])
    assert result.exit_code == 0, result.output


def test_the_citation_is_of_this_version() -> None:
    assert yaml.safe_load((PROJECT_ROOT / "CITATION.cff").read_text())["version"] == PROJECT["version"]


def test_actions_are_named_by_a_version() -> None:
    for path in GITHUB.glob("workflows/*.yml"):
        for job in yaml.safe_load(path.read_text())["jobs"].values():
            for step in job["steps"]:
                assert "uses" not in step or step["uses"].rpartition("@")[2].lstrip("v")[0].isdigit(), step


def test_declared_pythons_must_pass_and_others_may_fail() -> None:
    jobs = yaml.safe_load((GITHUB / "workflows" / "tests.yml").read_text())["jobs"]
    matrix = jobs["tests"]["strategy"]["matrix"]["python"]
    declared = {text.rpartition(" :: ")[2] for text in PROJECT["classifiers"] if "Python :: 3." in text}
    assert declared == {"3.11"}
    assert declared < set(matrix)
    assert jobs["tests"]["continue-on-error"] == "${{ matrix.python != '3.11' }}"
