"""Readers of what channels and banks send, and writers of what people download."""
