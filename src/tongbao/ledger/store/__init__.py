"""Every SQL statement of the ledger: ``journal`` writes, ``accounts`` keeps charts, ``seals`` and ``reads``."""
