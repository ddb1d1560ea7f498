"""Our versioned JSON schemas and the keyword vocabulary. ``fair_dagster.catalog.validation.schemas`` loads them."""
