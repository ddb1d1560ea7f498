"""Base models: from a folder, or a followed branch, to the active item."""
