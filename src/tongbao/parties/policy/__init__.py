"""Decisions of the parties: roles, packages, the form of fields, which keys, passwords and sessions are good."""
