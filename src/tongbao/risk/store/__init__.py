"""Every SQL statement of risk control."""
