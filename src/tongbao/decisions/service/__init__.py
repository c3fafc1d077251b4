"""Use cases of decisions."""
