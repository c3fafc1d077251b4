"""Parties: merchants, their people, keys and customers, payers, devices; and who may do what.

Invariant: whatever belongs to a merchant is read and written through a ``Scope`` alone, which only a checked key or
session can produce; a query without one does not type-check.
"""
