"""Base models, one folder each. Folders are scanned as files; only the runner imports their pipelines."""
