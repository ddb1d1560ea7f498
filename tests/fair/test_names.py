"""What is public: every name loads, and everything that a method returns is among them."""

import dataclasses
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

import fair_dagster
from fair_dagster import fair
from fair_dagster.fair.installation import Fair
from fair_dagster.fair.oci.policies import Policies
from fair_dagster.fair.oci.registries import Oci
from fair_dagster.fair.stacks import Stacks
from fair_dagster.fair.tracking import Tracking
from fair_dagster.fair.workers import Workers

PARTS = (Fair, Oci, Policies, Stacks, Tracking, Workers)
PLAIN = {"...", "Any", "None", "Path", "Self", "bool", "dict", "int", "list", "pd.DataFrame", "str", "tuple"}
"""Of the language and of other libraries; an item is a ``dict[str, Any]``."""


def methods() -> Iterator[tuple[str, str]]:
    """Every public method with what it is annotated to return."""
    for part in PARTS:
        for name, member in inspect.getmembers(part, inspect.isfunction):
            if not name.startswith("_"):
                yield f"{part.__name__}.{name}", str(inspect.signature(member).return_annotation)


@pytest.mark.parametrize("name", fair.__all__)
def test_a_public_name_loads_from_where_it_is(name: str) -> None:
    found = getattr(fair, name)
    assert getattr(found, "__name__", name) == name or name == "Item"


def test_the_package_itself_has_the_names_that_start_everything() -> None:
    assert fair_dagster.Fair is Fair
    assert fair_dagster.Ask is fair.Ask
    assert fair_dagster.DatasetSpec is fair.DatasetSpec
    assert fair_dagster.Settings.__name__ == "Settings"


@pytest.mark.parametrize(("method", "annotation"), methods())
def test_what_a_method_returns_is_public(method: str, annotation: str) -> None:
    words = re.findall(r"[A-Za-z_.]+", annotation.replace("<class ", ""))
    names = {word if word in PLAIN else word.rpartition(".")[2] for word in words}
    assert names - PLAIN <= set(fair.__all__), method


@pytest.mark.parametrize("name", fair.__all__)
def test_a_result_cannot_be_changed_and_says_what_it_is(name: str) -> None:
    found = getattr(fair, name)
    if dataclasses.is_dataclass(found):
        assert found.__dataclass_params__.frozen  # type: ignore[union-attr]
        # Without one of its own a dataclass has its signature as its docstring.
        assert not str(found.__doc__).startswith(f"{name}(")


def test_importing_it_imports_neither_dagster_nor_zenml_nor_pandas() -> None:
    code = (
        "import sys, fair_dagster.fair as fair; fair.Fair, fair.Run, fair.VersionRecord, fair.Oci; "
        "print([name for name in ('dagster', 'zenml', 'pandas', 'rasterio', 'onnxruntime') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
