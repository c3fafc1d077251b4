"""Scenarios: a house that serves, and what callers, peers and accidents do to it."""
