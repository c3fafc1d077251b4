"""Tongbao (通宝): an open intelligent payment system.

One package, one level of rooms; imports run downward only. ``CONTRIBUTING.md`` shows the picture.
"""
