"""Whether a model may be used, where it comes from, and what policy says."""
