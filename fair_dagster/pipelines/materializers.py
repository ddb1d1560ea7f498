"""How the two artifacts of a training are stored: under names that later readers can rely on.

ZenML's own materializer for bytes picks a file name of its own. Use these in a step, e.g.
``@step(output_materializers={"onnx_model": OnnxMaterializer})``. Importing this module imports ZenML.
"""

from typing import Any, ClassVar

from zenml.enums import ArtifactType
from zenml.io import fileio
from zenml.materializers.base_materializer import BaseMaterializer

from fair_dagster.pipelines.filenames import CHECKPOINT_FILENAME, ONNX_FILENAME


class _BytesFileMaterializer(BaseMaterializer):  # type: ignore[misc]
    """Bytes as one file of a fixed name in the artifact's folder, local or remote."""

    SKIP_REGISTRATION: ClassVar[bool] = True
    ASSOCIATED_TYPES: ClassVar[tuple[type[Any], ...]] = (bytes,)
    ASSOCIATED_ARTIFACT_TYPE: ClassVar[ArtifactType] = ArtifactType.MODEL
    FILENAME: ClassVar[str] = ""

    def save(self, data: bytes) -> None:
        """Write the file.

        Raises:
            TypeError: the step returned something else than bytes, e.g. a path.
        """
        if not isinstance(data, bytes):
            raise TypeError(
                f"{type(self).__name__} stores bytes, but the step returned {type(data).__name__}: "
                "return the content, not a path or an object"
            )
        with fileio.open(f"{self.uri}/{self.FILENAME}", "wb") as file:
            file.write(data)

    def load(self, data_type: type[Any]) -> bytes:
        """Read the file back."""
        with fileio.open(f"{self.uri}/{self.FILENAME}", "rb") as file:
            return bytes(file.read())

    def extract_metadata(self, data: bytes) -> dict[str, Any]:
        """What the artifact's page shows: file name and size in bytes."""
        return {"filename": self.FILENAME, "bytes": len(data)}


class OnnxMaterializer(_BytesFileMaterializer):
    """An ONNX graph, stored as ``model.onnx``."""

    # Not registered: other outputs of type bytes keep ZenML's own materializer. The base class's flag is not
    # inherited.
    SKIP_REGISTRATION: ClassVar[bool] = True
    FILENAME: ClassVar[str] = ONNX_FILENAME


class CheckpointMaterializer(_BytesFileMaterializer):
    """Trained weights in any format, stored as ``checkpoint.bin``."""

    SKIP_REGISTRATION: ClassVar[bool] = True
    FILENAME: ClassVar[str] = CHECKPOINT_FILENAME
