"""What a model folder must hold to be trained and served here, checked without importing any of it.

Reads files and syntax trees only, so that a folder from a pull request can be checked safely. What the STAC
item itself must say is checked with the catalog's schemas, not here.
"""

import ast
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fair_dagster.domain.errors import RefusedError
from fair_dagster.domain.slugs import is_utf8
from fair_dagster.domain.versions import MODEL_ARTIFACTS, ONNX_ARTIFACT
from fair_dagster.pipelines.entrypoints import is_allowed, split_entrypoint
from fair_dagster.pipelines.syntax import Definition, definitions_of, top_level_imports

REQUIRED_FILES = ("stac-item.json", "pipeline.py", "README.md")
RECOMMENDED = ("Dockerfile", "tests")
_DATA = ("dataset_chips", "dataset_labels", "hyperparameters")
PIPELINES: Mapping[str, tuple[str, ...]] = {
    "training_pipeline": ("base_model_weights", *_DATA[:2], "num_classes", "hyperparameters"),
    "inference_pipeline": ("model_uri", "input_images", "inference_params"),
}
STEPS: Mapping[str, tuple[str, ...]] = {
    "split_dataset": _DATA,
    "train_model": ("base_model_weights", *_DATA),
    "evaluate_model": ("trained_model",),
    "export_onnx": ("trained_model",),
}
FUNCTIONS: Mapping[str, tuple[str, ...]] = {
    "preprocess": (),
    "postprocess": (),
    "predict": ("session", "input_images", "params"),
}
_STEP_OUTPUTS = {"train_model": MODEL_ARTIFACTS, "export_onnx": (ONNX_ARTIFACT,)}
HEAVY = frozenset({"keras", "mlflow", "onnxruntime", "segmentation_models_pytorch", "tensorflow", "timm", "torch"})
_NOT_SHIPPED = frozenset({"tests", "__pycache__"})


@dataclass(frozen=True)
class FolderProblem:
    """What is wrong with a file of a model folder.

    Args:
        file: below the folder; empty where it is about the folder itself.
        detail: one sentence that names ``file``.
    """

    file: str
    detail: str

    def __str__(self) -> str:
        return self.detail


@dataclass(frozen=True)
class ContractReport:
    """The outcome of a check: ``problems`` keep a folder from being registered, ``warnings`` do not.

    ``parameters`` holds the parameter names of every step, pipeline and function that was found, so that a
    run configuration sets only what a step takes.
    """

    problems: tuple[FolderProblem, ...] = ()
    warnings: tuple[str, ...] = ()
    parameters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def check_folder(folder: Path, roots: Sequence[str] = ("models.",)) -> ContractReport:
    """Check a model folder; every problem at once, one sentence each. Never imports or runs its code.

    Args:
        roots: package prefixes that entrypoints may start with (``Settings.entrypoint_roots``).
    """
    if not folder.is_dir():
        return ContractReport(problems=(FolderProblem("", f"{folder} is no folder"),))
    problems = [FolderProblem(name, f"{name} is missing") for name in REQUIRED_FILES if not (folder / name).is_file()]
    warnings = [f"{name} is missing" for name in RECOMMENDED if not (folder / name).exists()]
    links = [str(path.relative_to(folder)) for path in _outside(folder)]
    problems += [FolderProblem(name, f"{name} links to outside the folder") for name in links]
    names = [path.relative_to(folder).as_posix() for path in shipped_files(folder)]
    unreadable = [name for name in names if not is_utf8(name)]
    problems += [FolderProblem(name, f"{name!a} is no file name in UTF-8: rename it") for name in unreadable]
    found: Mapping[str, Definition] = {}
    pipeline = folder / "pipeline.py"
    if pipeline.is_file():
        try:
            tree = ast.parse(pipeline.read_text(encoding="utf-8"))
        except (SyntaxError, ValueError, OSError) as error:
            line = f":{error.lineno}" if isinstance(error, SyntaxError) else ""
            sentence = f"pipeline.py{line} is no valid Python: {getattr(error, 'msg', error)}"
            problems.append(FolderProblem("pipeline.py", sentence))
        else:
            found = definitions_of(tree)
            sentences: list[str] = []
            _check_definitions(found, sentences, warnings)
            problems += [FolderProblem("pipeline.py", sentence) for sentence in sentences]
            heavy = sorted(top_level_imports(tree) & HEAVY)
            if heavy:
                warnings.append(f"pipeline.py imports {', '.join(heavy)} at load time: import inside the steps")
            sentences = _entrypoint_problems(folder, found, roots)
            problems += [FolderProblem("stac-item.json", sentence) for sentence in sentences]
    parameters = {name: definition.parameters for name, definition in found.items() if not definition.imported}
    return ContractReport(tuple(problems), tuple(warnings), parameters)


def folder_digest(folder: Path) -> str:
    """``sha256:<hex>`` over what is shipped: names and contents of files, but tests, caches and hidden ones.

    Independent of where the folder lies, of file times and of the order in which the disk lists it.
    """
    digest = hashlib.sha256()
    for path in shipped_files(folder):
        content = path.read_bytes()
        # Lengths keep a name from running into the content after it.
        for part in (os.fsencode(path.relative_to(folder).as_posix()), content):
            digest.update(len(part).to_bytes(8, "big"))
            digest.update(part)
    return f"sha256:{digest.hexdigest()}"


def shipped_files(folder: Path) -> list[Path]:
    """The files of a model folder that belong to it wherever it goes, sorted by relative path."""
    outside = set(_outside(folder))
    files = []
    for path in folder.rglob("*"):
        parts = path.relative_to(folder).parts
        hidden = any(part.startswith(".") or part in _NOT_SHIPPED for part in parts)
        if not hidden and path.suffix != ".pyc" and path not in outside and path.is_file():
            files.append(path)
    return sorted(files, key=lambda path: path.relative_to(folder).as_posix())


def _outside(folder: Path) -> Iterator[Path]:
    root = folder.resolve()
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() and not path.resolve().is_relative_to(root):
            yield path


def _check_definitions(found: Mapping[str, Definition], problems: list[str], warnings: list[str]) -> None:
    kinds = (("pipeline", PIPELINES), ("step", STEPS), ("function", FUNCTIONS))
    for kind, expected in kinds:
        for name, parameters in expected.items():
            definition = found.get(name)
            if definition is None:
                problems.append(f"pipeline.py has no {kind} {name}({', '.join(parameters)})")
            elif definition.imported:
                warnings.append(f"{name} is imported into pipeline.py: its parameters were not checked")
            else:
                problems += _definition_problems(definition, kind, parameters)
    for name, artifacts in _STEP_OUTPUTS.items():
        if name in found and not found[name].imported:
            problems += _output_problems(found[name], artifacts)


def _definition_problems(definition: Definition, kind: str, expected: tuple[str, ...]) -> list[str]:
    where = f"pipeline.py:{definition.line} {definition.name}"
    problems = []
    if kind != "function" and kind not in definition.decorators:
        problems.append(f"{where} is not decorated with @{kind}")
    missing = [name for name in expected if name not in definition.parameters]
    if missing and not definition.takes_any:
        problems.append(f"{where} does not take {', '.join(missing)}")
    # The system calls pipelines and predict itself; steps are called by the pipeline's own body.
    if kind == "pipeline" or definition.name == "predict":
        unknown = [name for name in definition.required if name not in expected]
        if unknown:
            problems.append(f"{where} requires {', '.join(unknown)}, which nothing gives it: add defaults")
    return problems


def _output_problems(definition: Definition, artifacts: tuple[str, ...]) -> list[str]:
    where = f"pipeline.py:{definition.line} {definition.name}"
    problems = []
    if definition.output_type == "str":
        problems.append(f"{where} returns str, a path that only its own process can see: return bytes")
    if definition.output_name not in artifacts:
        names = " or ".join(repr(name) for name in artifacts)
        problems.append(f"{where} must name its output {names}: -> Annotated[bytes, {artifacts[0]!r}]")
    return problems


def _entrypoint_problems(folder: Path, found: Mapping[str, Definition], roots: Sequence[str]) -> list[str]:
    try:
        item = json.loads((folder / "stac-item.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []  # Reported as missing already.
    except (OSError, ValueError) as error:
        return [f"stac-item.json is no valid JSON: {error}"]
    problems = []
    for where, entrypoint in _entrypoints(item, ""):
        try:
            module, name = split_entrypoint(entrypoint)
        except RefusedError as error:
            problems += [f"stac-item.json {where}: {problem}" for problem in error.problems]
            continue
        package, _, stem = module.rpartition(".")
        if not is_allowed(module, roots):
            problems.append(f"stac-item.json {where}: {entrypoint!r} is outside {', '.join(roots)}")
        elif package.rpartition(".")[2] != folder.name or not (folder / f"{stem}.py").is_file():
            problems.append(f"stac-item.json {where}: {entrypoint!r} is no module of folder {folder.name!r}")
        elif stem == "pipeline" and name not in found:
            problems.append(f"stac-item.json {where}: pipeline.py defines no {name!r}")
    return problems


def _entrypoints(node: Any, where: str) -> Iterator[tuple[str, str]]:
    """Every entrypoint in an item: ``mlm:entrypoint``, and processing expressions whose format is python."""
    if isinstance(node, dict):
        if node.get("format") == "python" and isinstance(node.get("expression"), str):
            yield f"{where}/expression", node["expression"]
        for key, value in node.items():
            if key == "mlm:entrypoint" and isinstance(value, str):
                yield f"{where}/{key}", value
            yield from _entrypoints(value, f"{where}/{key}")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _entrypoints(value, f"{where}/{index}")
