"""Opening an ONNX graph for prediction on CPU. Chips, batches and GeoJSON are others' work."""

from pathlib import Path
from typing import TYPE_CHECKING

from fair_dagster.domain.errors import PipelineError
from fair_dagster.pipelines.filenames import ONNX_FILENAME

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


def open_session(path: Path, threads: int = 0) -> "InferenceSession":
    """An onnxruntime session on CPU.

    Args:
        path: an ONNX file, or the folder of an artifact that holds ``model.onnx``.
        threads: threads of one operator; 0 leaves it to onnxruntime, which takes all cores.

    Raises:
        PipelineError: there is no such file, or it is no valid ONNX graph.
    """
    import onnxruntime

    file = path / ONNX_FILENAME if path.is_dir() else path
    if not file.is_file():
        raise PipelineError(f"there is no ONNX model at {file}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Warnings of the optimizer say nothing to a user.
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise PipelineError(f"{file} cannot be loaded as an ONNX model: {error}") from error
