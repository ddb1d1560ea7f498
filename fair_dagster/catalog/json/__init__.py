"""The catalog as a folder of JSON files."""
