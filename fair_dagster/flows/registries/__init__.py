"""What joins the catalog with OCI registries."""
