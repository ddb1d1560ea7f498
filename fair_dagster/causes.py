"""Why a Dagster run did not succeed, in one sentence for people."""
