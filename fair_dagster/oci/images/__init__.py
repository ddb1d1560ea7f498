"""Images made of models."""
