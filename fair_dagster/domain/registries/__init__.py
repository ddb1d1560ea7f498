"""Models of the catalog as artifacts of registries. Pure."""
