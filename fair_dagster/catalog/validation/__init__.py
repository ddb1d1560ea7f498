"""Whether an item is valid: schemas, where they come from, and the words of their problems."""
