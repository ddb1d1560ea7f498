"""Our JSON schemas, versioned, and the keyword vocabulary. Data only: ``fair_dagster.catalog.validation.schemas`` loads it."""
