"""Names of ``fair.zenml.materializers``, which are ours under another spelling."""

from fair_dagster.pipelines.materializers import CheckpointMaterializer as CheckpointBytesMaterializer
from fair_dagster.pipelines.materializers import OnnxMaterializer as ONNXMaterializer

__all__ = ["CheckpointBytesMaterializer", "ONNXMaterializer"]
