"""Every SQL statement of clearing."""
