"""Artifacts: manifests and their forms, safe names, listing, copying, deleting."""
