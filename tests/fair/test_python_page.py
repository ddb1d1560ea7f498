"""Every example of ``docs/python.md`` is executed, in its order, on a real installation with a real registry."""

import re
import traceback
from pathlib import Path
from typing import Any

import pytest

from fair_dagster.settings import PROJECT_ROOT
from tests.oci.trust.conftest import KeyPair, MakeKey, key, make_key
from tests.services.servers import RegistryServer

__all__ = ["MakeKey", "key", "make_key"]

PAGE = PROJECT_ROOT / "docs" / "python.md"
HOST = "localhost:5000"


def examples() -> list[tuple[int, str]]:
    """The examples with the lines on which they begin."""
    text = PAGE.read_text()
    return [
        (text.count("\n", 0, found.start(1)), found[1]) for found in re.finditer(r"```python\n(.*?)```", text, re.S)
    ]


def test_the_page_has_examples() -> None:
    assert len(examples()) > 12


@pytest.fixture
def workplace(
    zenml_home: Path, schema_cache: Path, key: KeyPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The current folder, with the home and the keys that the page names."""
    monkeypatch.setenv("FAIR_OFFLINE", "true")
    monkeypatch.setenv("FAIR_SCHEMA_CACHE", str(schema_cache))
    monkeypatch.chdir(tmp_path)
    # ZenML serves one home a process.
    Path("demo").symlink_to(zenml_home)
    zenml_home.mkdir(parents=True, exist_ok=True)
    Path("key.pem").write_bytes(key.private.read_bytes())
    Path("key.pub").write_bytes(key.public.read_bytes())


# It trains, predicts and builds images: a minute on a machine that does nothing else, and more on one that does.
@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("workplace")
def test_every_example_of_the_page_works(docker_registry: RegistryServer) -> None:
    pytest.importorskip("geopandas", reason="the extra `geo` is not installed")
    names: dict[str, Any] = {}
    for line, example in examples():
        source = "\n" * line + example.replace(HOST, docker_registry.host)
        try:
            exec(compile(source, str(PAGE), "exec"), names)
        except Exception as error:
            pytest.fail(f"{PAGE.name}: {''.join(traceback.format_exception(error))}")
