"""The schema as one line of migrations in plain SQL; the lint keeps it inside what sharded engines run."""
