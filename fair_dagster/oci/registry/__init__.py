"""The client of registries: connections, authorization, blobs, manifests, referrers, login.

``Registries`` is here too: documents name it by this path.
"""

from fair_dagster.oci.registry.registries import Registries

__all__ = ["Registries"]
