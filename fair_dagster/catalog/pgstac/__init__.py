"""The catalog in the PostgreSQL of a pgstac, by SQL."""
