"""OCI registries: references of images and artifacts, and the client that asks registries for them."""
