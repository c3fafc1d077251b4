"""Privacy: the card vault today; consent, export and erasure join it.

Invariants: card data enters at one door and leaves by ``reveal`` only, which is audited; CVC is never stored; keys
and clear numbers never reach a log, an error, a fact or a table.
"""
