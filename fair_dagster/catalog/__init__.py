"""The STAC catalog: stores behind one protocol, schemas and validation. Decides nothing: the domain does."""
