"""What the pages say is what the code does: settings, schemas, decisions, dependencies, the site."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from fair_dagster.catalog.validation.validator import Validator
from fair_dagster.settings import PROJECT_ROOT, Settings

DOCS = PROJECT_ROOT / "docs"
DECISIONS = DOCS / "decisions"
PROJECT = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())["project"]
KINDS = ("base-model", "local-model", "dataset")
_DECISION = re.compile(r"docs/decisions/(\d{4})")


def rows(text: str) -> list[list[str]]:
    """The rows of all Markdown tables, without their heads."""
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")
    ]
    return [line for line in lines if not set("".join(line)) <= {"-", " "}]


def test_the_readme_is_short() -> None:
    assert len((PROJECT_ROOT / "README.md").read_text().split()) <= 1200


def test_the_table_of_settings_has_every_setting_and_its_default() -> None:
    table = {
        row[0].strip("`"): row[1] for row in rows((DOCS / "settings.md").read_text()) if row[0].startswith("`FAIR_")
    }
    fields = {f"FAIR_{name.upper()}": field.default for name, field in Settings.model_fields.items()}
    assert table.keys() == fields.keys()
    for name, stated in table.items():
        if found := re.fullmatch(r"`((?!FAIR_)[^`/]+)`", stated):
            assert found[1] == _spelled(fields[name]), name


def _spelled(default: Any) -> str:
    if isinstance(default, bool | list | tuple | dict):
        return json.dumps(default)
    return f"{default:g}" if isinstance(default, float) else str(default)


def test_every_dependency_has_its_reason() -> None:
    record = (DECISIONS / "0008-dependencies.md").read_text()
    named = [*PROJECT["dependencies"], *(text for extra in PROJECT["optional-dependencies"].values() for text in extra)]
    packages = {Requirement(text).name for text in named} - {"fair-dagster"}
    assert sorted(name for name in packages if not re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", record)) == []


def test_every_decision_stands_in_the_table_once_under_its_title() -> None:
    index = (DECISIONS / "README.md").read_text()
    found = re.findall(r"^\| \[(\d{4})\]\(([\w.-]+\.md)\) \| (.+) \|$", index, flags=re.MULTILINE)
    titles = {path.name: path.read_text().splitlines()[0] for path in DECISIONS.glob("0*.md")}
    assert sorted(name for _, name, _ in found) == sorted(titles)
    for number, name, title in found:
        assert name.startswith(number)
        assert titles[name] == f"# {int(number)}. {title}"


def test_every_decision_is_named_by_what_it_explains_and_every_name_exists() -> None:
    """By a module in its docstring, by a file of the project, or by the later record that replaces it."""
    known = {path.name[:4] for path in DECISIONS.glob("0*.md")}
    named: set[str] = set()
    for folder in ("fair_dagster", "assets", "sensors", "scripts"):
        for path in (PROJECT_ROOT / folder).rglob("*.py"):
            named |= set(_DECISION.findall(ast.get_docstring(ast.parse(path.read_text())) or ""))
    for path in (PROJECT_ROOT / "pyproject.toml", PROJECT_ROOT / "deploy" / "Dockerfile"):
        named |= set(_DECISION.findall(path.read_text()))
    for path in DECISIONS.glob("0*.md"):
        named |= {number for number in re.findall(r"\]\((\d{4})-", path.read_text()) if number < path.name[:4]}
    assert named - known == set()
    assert sorted(known - named) == []


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_of_the_schemas_has_every_field_and_says_whether_it_is_required(kind: str) -> None:
    column = 2 + KINDS.index(kind)
    table = {
        row[0].strip("`"): row[column]
        for row in rows((PROJECT_ROOT / "schemas" / "README.md").read_text())
        if len(row) == 6
    }
    fields: dict[str, bool] = {}
    for version in ("v1.0.0", "v1.1.0"):
        schema = json.loads((PROJECT_ROOT / "schemas" / kind / version / "schema.json").read_text())
        properties = schema["properties"]["properties"]
        fields |= {
            name: name in properties["required"] for name in properties["properties"] if name.startswith("fair:")
        }
    assert {name: table[name] for name in fields} == {
        name: "required" if needed else "optional" for name, needed in fields.items()
    }
    assert {name for name, stated in table.items() if stated == "required"} == {name for name in fields if fields[name]}


def test_the_example_of_the_schemas_is_valid(schema_cache: Path, tmp_path: Path) -> None:
    text = (PROJECT_ROOT / "schemas" / "README.md").read_text()
    example = json.loads(text.partition("```json\n")[2].partition("```")[0])
    settings = Settings(home=tmp_path, schema_cache=schema_cache, offline=True)
    assert Validator(settings).validate(example, kind="dataset").problems == ()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    built = subprocess.run(command, capture_output=True, text=True, check=False, cwd=PROJECT_ROOT)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


def test_the_site_serves_every_schema_at_its_address(site: Path) -> None:
    for path in (PROJECT_ROOT / "schemas").rglob("schema.json"):
        address = json.loads(path.read_text())["$id"]
        served = site / address.removeprefix("https://hotosm.github.io/fair-dagster/")
        assert served.read_bytes() == path.read_bytes()


def test_links_that_lead_out_of_the_site_lead_to_the_repository(site: Path) -> None:
    page = (site / "index.html").read_text()
    assert 'href="https://github.com/hotosm/fair-dagster/blob/main/CONTRIBUTING.md"' in page
    assert 'href="tour/"' in page
    assert "keywords.json" in (site / "schemas" / "index.html").read_text()
