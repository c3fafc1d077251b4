"""Decisions of clearing: facts in, decision with reasons out. No clock, no chance, no input or output."""
