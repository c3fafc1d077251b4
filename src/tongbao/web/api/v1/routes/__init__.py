"""The acts of the interface, one file a family: each a table of routes and short handlers.

A handler turns typed parameters into an order, calls one use case and renders what it returns.
"""
