"""The SQL of routing."""
