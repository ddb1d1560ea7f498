"""Who vouches for a model: keys, signatures and provenance beside artifacts in registries, and policies in Rego.

Everything works offline with keys in files. What is done when something is not trusted stands in ``flows.trust``.
"""
