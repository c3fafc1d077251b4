"""Use cases of the ledger: ``posting`` writes, ``accounts`` keeps charts, ``reading``, ``sealing``, ``verifying``."""
