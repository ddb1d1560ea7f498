"""What a model folder must hold, checked without importing it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fair_dagster.pipelines.contract import check_folder, folder_digest, shipped_files

TINY = Path(__file__).parent / "data" / "tiny_model"
Edit = Callable[[str, str], Path]


def problems_of(folder: Path) -> list[str]:
    return [str(problem) for problem in check_folder(folder).problems]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(TINY, tmp_path / "tiny_model"))


@pytest.fixture
def edit(folder: Path) -> Edit:
    """Replace a piece of the pipeline's text."""

    def replace(old: str, new: str) -> Path:
        path = folder / "pipeline.py"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))
        return folder

    return replace


def test_a_good_folder_has_no_problem_and_is_told_what_else_is_expected(folder: Path) -> None:
    report = check_folder(folder)
    assert report.problems == ()
    assert report.warnings == ("Dockerfile is missing", "tests is missing")
    assert report.parameters["evaluate_model"][-1] == "class_names"


def test_the_projects_own_models_fulfil_the_contract() -> None:
    models = Path(__file__).parents[2] / "models"
    folders = [path for path in models.iterdir() if (path / "stac-item.json").is_file()]
    assert {path.name: check_folder(path).problems for path in folders} == {path.name: () for path in folders}


def test_every_problem_of_a_folder_is_named_at_once(folder: Path) -> None:
    (folder / "README.md").unlink()
    (folder / "stac-item.json").write_text("{")
    (folder / "pipeline.py").write_text("def predict(session): ...\n")
    problems = "\n".join(problems_of(folder))
    for expected in (
        "README.md is missing",
        "stac-item.json is no valid JSON",
        "no pipeline training_pipeline(base_model_weights, dataset_chips, dataset_labels, num_classes,",
        "no step split_dataset",
        "no function preprocess",
        "predict does not take input_images, params",
    ):
        assert expected in problems


def test_an_empty_folder_and_no_folder_are_told_apart(tmp_path: Path) -> None:
    assert problems_of(tmp_path / "nothing") == [f"{tmp_path / 'nothing'} is no folder"]
    assert "pipeline.py is missing" in problems_of(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("@pipeline\ndef training", "def training", "training_pipeline is not decorated with @pipeline"),
        ("@step\ndef split_dataset", "def split_dataset", "split_dataset is not decorated with @step"),
        ('Annotated[bytes, "onnx_model"]', 'Annotated[str, "onnx_model"]', "export_onnx returns str"),
        ('Annotated[bytes, "onnx_model"]', "bytes", "export_onnx must name its output 'onnx_model'"),
        ("num_classes: int,\n    hyper", "hyper", "training_pipeline does not take num_classes"),
        ("params: dict[str, Any]) ->", "params: Any, zoom: int) ->", "predict requires zoom"),
        ("import json\n", "import json(\n", "pipeline.py:7 is no valid Python"),
    ],
)
def test_a_breach_of_the_contract_is_named(old: str, new: str, problem: str, edit: Edit) -> None:
    assert problem in "\n".join(problems_of(edit(old, new)))


def test_both_names_of_the_trained_model_are_accepted(edit: Edit) -> None:
    assert problems_of(edit('Annotated[bytes, "trained_model"]', 'Annotated[bytes, "trained_model_artifact"]')) == []


def test_a_quoted_annotation_that_is_no_python_is_no_crash(edit: Edit) -> None:
    folder = edit('Annotated[bytes, "onnx_model"]', '"not python ("')
    assert "must name its output" in "\n".join(problems_of(folder))


def test_the_folder_is_never_imported(folder: Path, tmp_path: Path) -> None:
    witness = tmp_path / "imported"
    path = folder / "pipeline.py"
    path.write_text(f"{path.read_text()}\nopen({str(witness)!r}, 'w').close()\n")
    assert problems_of(folder) == []
    assert not witness.exists()


def test_an_imported_function_counts_but_is_pointed_out(edit: Edit) -> None:
    folder = edit("def preprocess(", "from .features import preprocess\n\n\ndef _preprocess(")
    report = check_folder(folder)
    assert report.problems == ()
    assert "preprocess is imported into pipeline.py: its parameters were not checked" in report.warnings


def test_heavy_imports_at_load_time_are_a_warning(edit: Edit) -> None:
    warnings = check_folder(edit("import json\n", "import json\nimport torch.nn\n")).warnings
    assert "pipeline.py imports torch at load time: import inside the steps" in warnings


@pytest.mark.parametrize(
    ("entrypoint", "problem"),
    [
        ("models.tiny_model.pipeline:nothing", "pipeline.py defines no 'nothing'"),
        ("models.other_model.pipeline:predict", "is no module of folder 'tiny_model'"),
        ("models.tiny_model.absent:predict", "is no module of folder 'tiny_model'"),
        ("evil.tiny_model.pipeline:predict", "is outside models."),
        ("models.tiny_model.pipeline", "is not of the form"),
    ],
)
def test_an_entrypoint_must_name_code_of_the_folder(folder: Path, entrypoint: str, problem: str) -> None:
    path = folder / "stac-item.json"
    item = json.loads(path.read_text())
    item["assets"]["code"]["mlm:entrypoint"] = entrypoint
    path.write_text(json.dumps(item))
    (found,) = problems_of(folder)
    assert "stac-item.json /assets/code/mlm:entrypoint" in found
    assert problem in found


def test_the_digest_follows_shipped_files_only(folder: Path, tmp_path: Path) -> None:
    before = folder_digest(folder)
    (folder / "tests").mkdir()
    (folder / "tests" / "test_it.py").write_text("")
    (folder / ".cache").write_text("x")
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "pipeline.pyc").write_text("x")
    assert folder_digest(folder) == before
    assert folder_digest(Path(shutil.copytree(folder, tmp_path / "elsewhere"))) == before
    (folder / "weights.onnx").write_bytes(b"x")
    after = folder_digest(folder)
    assert after != before
    (folder / "weights.onnx").rename(folder / "model.onnx")
    assert folder_digest(folder) not in (before, after)


def test_a_link_to_outside_is_refused_and_never_read(folder: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x")
    (folder / "weights").symlink_to(secret)
    assert problems_of(folder) == ["weights links to outside the folder"]
    assert folder / "weights" not in shipped_files(folder)
