"""File names inside artifacts. Apart from ``materializers`` so that readers need not import ZenML."""

ONNX_FILENAME = "model.onnx"
CHECKPOINT_FILENAME = "checkpoint.bin"
PREVIEW_FILE = "preview.png"
