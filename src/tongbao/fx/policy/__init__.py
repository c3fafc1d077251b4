"""Decisions about rates: what a line of a file says, what two rates come to, what an amount is in another currency."""
