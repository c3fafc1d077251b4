"""The SQL of decisions."""
