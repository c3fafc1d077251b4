"""Types of routing."""
