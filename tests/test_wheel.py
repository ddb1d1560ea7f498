"""What the wheel contains, and that it is enough to read a catalog and to predict. See docs/decisions/0050."""

import ast
import json
import re
import shutil
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import grimp
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from fair_dagster.cli.terminal.extras import EXTRAS, missing_extra
from fair_dagster.flows.base_models import registration
from fair_dagster.flows.services import Services
from fair_dagster.imagery.synthesize import synthesize
from fair_dagster.settings import PROJECT_ROOT, Settings
from tests.light import Light, base_dependencies, build_wheel, install

MODEL = "texture-segmentation"
MODELS = PROJECT_ROOT / "models"
CONTRIBUTED = PROJECT_ROOT / "tests" / "pipelines" / "data"
PROJECT = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def light(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Light:
    return install(wheel, tmp_path_factory.mktemp("light") / "venv")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installation with one base model."""
    home = tmp_path_factory.mktemp("registered") / "home"
    registration.register(Services(Settings(home=home, models=MODELS, offline=True)), MODELS / "texture_segmentation")
    return home


def test_the_wheel_contains_the_library_its_types_and_the_schemas_and_no_definitions(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {name.partition("/")[0] for name in names} == {"fair_dagster", "fair_dagster-0.1.0.dist-info"}
    assert "fair_dagster/definitions.py" not in names
    assert not any(name.startswith("fair_dagster/orchestration/ops") for name in names)
    assert {"fair_dagster/py.typed", "fair_dagster/schemas/base-model/v1.1.0/schema.json"} <= names
    assert "fair_dagster/schemas/keywords.json" in names


def test_what_the_wheel_leaves_out_is_asked_for_only_where_runs_are_executed(wheel: Path) -> None:
    """Behind ``can_launch``, which says no without it."""
    names = set(zipfile.ZipFile(wheel).namelist())
    left_out = {
        ".".join(path.relative_to(PROJECT_ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in (PROJECT_ROOT / "fair_dagster").rglob("*.py")
        if path.relative_to(PROJECT_ROOT).as_posix() not in names
    }
    graph = grimp.build_graph("fair_dagster")
    importers = {found for module in left_out for found in graph.find_modules_that_directly_import(module)} - left_out
    assert importers == {"fair_dagster.fair.part", "fair_dagster.fair.process"}


def test_the_public_names_are_there(light: Light, home: Path) -> None:
    program = "import fair_dagster as f; print(*[getattr(f, name) for name in f.__all__], sep='\\n')"
    ended = light.run("-c", program, home=home)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_the_light_environment_has_neither_dagster_nor_zenml(light: Light, home: Path) -> None:
    program = (
        "import importlib.util as i; print([n for n in ('dagster', 'zenml', 'mlflow', 'pandas') if i.find_spec(n)])"
    )
    assert light.run("-c", program, home=home).stdout.strip() == "[]"


def test_a_catalog_is_read_and_a_folder_validated(light: Light, home: Path) -> None:
    assert MODEL in light.call("catalog", "show", home=home).stdout
    checked = light.call("base-model", "validate", str(MODELS / "texture_segmentation"), home=home)
    assert checked.returncode == 0
    assert checked.stdout.splitlines()[0].endswith("texture_segmentation: valid")
    shown = json.loads(light.call("item", "show", MODEL, "--json", home=home).stdout)
    assert shown["id"] == MODEL


def test_a_prediction_needs_neither_dagster_nor_zenml(light: Light, home: Path, tmp_path: Path) -> None:
    town = synthesize(tmp_path / "town", chips=4, size=64, seed=3)
    output = tmp_path / "drawn.geojson"
    words = ("predict", MODEL, "--images", str(town.predict_chips), "--output", str(output), "--json")
    ended = light.call(*words, home=home, models=MODELS)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["run"] is None
    assert json.loads(output.read_text())["type"] == "FeatureCollection"


def test_a_folder_that_contributors_wrote_predicts_without_zenml(light: Light, home: Path, tmp_path: Path) -> None:
    """Its steps have decorators with arguments, annotations and materializers of ZenML."""
    models = shutil.copytree(CONTRIBUTED, tmp_path / "models")
    program = (
        "from pathlib import Path; from fair_dagster.pipelines.compat import install_fair_package as fair\n"
        "from fair_dagster.pipelines.compat.absent_zenml import allow_absent_zenml\n"
        "from fair_dagster.pipelines.entrypoints import load_entrypoint, offer_models\n"
        f"offer_models(Path({str(models)!r})); fair(); assert allow_absent_zenml() and allow_absent_zenml()\n"
        "print(load_entrypoint('models.contributed_model.pipeline:predict', ['models.']).__name__)"
    )
    ended = light.run("-c", program, home=home)
    assert (ended.stdout.strip(), ended.stderr) == ("predict", "")


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        (("init",), "dagster"),
        (("run", "list"), "dagster"),
        (("base-model", "register", MODEL), "dagster"),
        (("predict", MODEL, "--images", ".", "--detach"), "dagster"),
        (("version", "list"), "zenml"),
        (("oci", "crawl", "localhost:1", "--filter", "a = 1"), "oci"),
    ],
)
def test_a_command_without_its_extra_names_it_in_one_line(
    light: Light, home: Path, tmp_path: Path, command: tuple[str, ...], extra: str
) -> None:
    ended = light.call(*command, home=home, models=MODELS)
    assert ended.returncode == 1
    assert re.fullmatch(
        rf"Error: this needs \w+, which is not installed: pip install 'fair-dagster\[{extra}\]'\n", ended.stderr
    )


def test_every_import_comes_with_the_base_or_has_its_extra() -> None:
    """Of each package that the library imports, the table of extras names one that brings it."""
    base, owners = base_dependencies(), packages_distributions()
    wrong = []
    for package in sorted(_imported()):
        distributions = {canonicalize_name(name) for name in owners.get(package, ())}
        if not distributions & base and package not in EXTRAS:
            wrong.append(package)
    assert wrong == []


def test_the_table_of_extras_says_what_pyproject_says() -> None:
    owners = packages_distributions()
    for package, extra in EXTRAS.items():
        named = {canonicalize_name(Requirement(text).name) for text in PROJECT["optional-dependencies"][extra]}
        distributions = {canonicalize_name(name) for name in owners[package]}
        brought = distributions & named or package in _BROUGHT_BY_OTHERS
        assert brought, f"{package} is said to come with {extra}"


_BROUGHT_BY_OTHERS = {
    "boto3",  # dagster-aws
    "botocore",  # dagster-aws
    "celery",  # dagster-celery
    "dagster_pipes",  # dagster
    "dagster_shared",  # dagster
    "kombu",  # dagster-celery
    "psycopg",  # pypgstac[psycopg]
    "sqlalchemy",  # zenml[local]
}


def test_an_error_that_is_no_missing_package_is_none_of_its_business() -> None:
    assert missing_extra(ValueError("dagster")) is None
    assert missing_extra(ImportError("x", name="of_somebody_else")) is None


def test_all_installs_every_extra_that_a_command_asks_for() -> None:
    (text,) = PROJECT["optional-dependencies"]["all"]
    assert Requirement(text).extras == set(EXTRAS.values())


def _imported() -> set[str]:
    """The top-level packages that ``fair_dagster`` imports, in functions too; not those of types alone."""
    found: set[str] = set()
    for path in (PROJECT_ROOT / "fair_dagster").rglob("*.py"):
        if path.name == "definitions.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - {"fair_dagster", "schemas"}
