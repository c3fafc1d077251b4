"""Facts: what happened, published inside the transaction that made it happen, delivered in commit order.

- A fact is published if and only if its transaction commits (transactional outbox), and is never changed.
- The relay gives committed facts gapless positions, in commit order. Every consumer sees the same order.
- Delivery is at least once; a projection, whose effects are in this database, sees each fact exactly once.
- Consumers do not know of each other: one that is slow, failing or gone delays nobody else.

Sources: docs/decisions/0006-outbox.md.
"""
