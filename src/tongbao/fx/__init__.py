"""Exchange: reference rates with their source and day, and amounts told in another currency. Nothing here moves money.

Invariants: a rate is an exact decimal number with the day for which it was published, never a float; rates are only ever
added, a correction is a new revision; nobody is told a rate of the future, nor one older than they accept.
"""
