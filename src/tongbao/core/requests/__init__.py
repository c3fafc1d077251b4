"""Idempotent requests: a key, what was asked under it, and the one answer that it ever gets.

The claim and the answer are rows that commit with whatever the request does, so a repeat after any crash finds
either nothing, or the work under way, or the answer.
"""
