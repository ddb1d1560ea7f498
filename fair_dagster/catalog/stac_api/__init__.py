"""The catalog behind a STAC API."""
