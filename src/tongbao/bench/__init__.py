"""Benchmarks and drills: every claim of speed or safety, measured beside a reference in the same run.

Each prints as its last line one JSON object with its figures and ratios. See docs/decisions/0002.
"""
