"""Building segmentation by local colour and texture. The contract stands in ``pipeline``."""
