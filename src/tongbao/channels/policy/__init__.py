"""What channels know without asking anybody: what a network's code means, who is at fault, what may be tried.

Pure tables and functions. Source of the rules: docs/reference/decline-codes.md, which is printed from them.
"""
