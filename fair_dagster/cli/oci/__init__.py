"""``oci``: models as artifacts of registries, a file a command."""
