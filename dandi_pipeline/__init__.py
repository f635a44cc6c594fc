"""An exact, fresh, queryable SQL mirror of scientific archives, kept by Dagster."""
