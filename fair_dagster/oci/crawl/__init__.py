"""Questions over many registries: walking them, and the index of what was found."""
