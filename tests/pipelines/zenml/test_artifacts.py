"""Finding the file of an artifact."""

from pathlib import Path

import pytest

from fair_dagster.domain.errors import NotFoundError, PipelineError
from fair_dagster.pipelines.sessions import open_session
from fair_dagster.pipelines.zenml.artifacts import artifact_file, choose_file
from fair_dagster.settings import Settings


def test_a_local_artifact_is_used_where_it_lies(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"x")
    settings = Settings(home=tmp_path / "home")
    for uri in (str(tmp_path), f"file://{tmp_path}"):
        assert artifact_file(settings, uri, tmp_path / "copies") == tmp_path / "model.onnx"
    assert not (tmp_path / "copies").exists()


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["checkpoint.pt"], "checkpoint.pt"),
        (["data.json", "checkpoint.bin", ".hidden"], "checkpoint.bin"),
        (["weights.safetensors"], "weights.safetensors"),
    ],
)
def test_a_known_name_comes_first_then_the_only_file(names: list[str], chosen: str) -> None:
    assert choose_file("uri", names) == chosen


@pytest.mark.parametrize("names", [[], ["a", "b"]])
def test_an_artifact_without_a_clear_file_is_named_with_what_it_holds(names: list[str]) -> None:
    with pytest.raises(NotFoundError, match=r"nothing|a, b"):
        choose_file("uri", names)


def test_a_missing_artifact_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="nothing"):
        artifact_file(Settings(home=tmp_path), str(tmp_path / "absent"), tmp_path)


def test_a_file_that_is_no_model_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no model")
    with pytest.raises(PipelineError, match="cannot be loaded as an ONNX model"):
        open_session(tmp_path)
    with pytest.raises(PipelineError, match="there is no ONNX model"):
        open_session(tmp_path / "absent.onnx")
