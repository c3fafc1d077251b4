"""Use cases of risk control."""
