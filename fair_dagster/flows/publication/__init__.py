"""Publishing families: local models, releases of base models and datasets, many at once."""
