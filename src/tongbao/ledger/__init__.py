"""The only place where money, points, coupon budgets, carbon credits and holds exist.

Invariants, each checked by ``tongbao ledger verify`` and by property tests:

- A transfer moves one amount from one account to another of the same book and asset: debits equal credits.
- The journal is never changed; corrections are new transfers. Balances equal the journal.
- The client's key is the idempotency key: same key and content, same result; other content, a conflict.
- A floor or ceiling holds at every instant, holds included. A budget is an account: it cannot be overspent.
- Nobody is answered before COMMIT returned.

Sources: docs/concepts/ledger.md; decisions 0003 (write path) and 0004 (seals).
"""
