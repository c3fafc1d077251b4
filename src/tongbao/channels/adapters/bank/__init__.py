"""Banks in ISO 20022: credit transfers out (pain.001), status reports and bookings in (pain.002, camt.052–054).

Invariants: what goes out is built once and sent as the same bytes ever after; a lost answer is told apart from a connection
that was never made; nothing that a bank sends is forgotten before whoever collects it says so, where the way there allows it.

Sources: ISO 20022 message definitions pain.001.001.09, pain.002.001.10, camt.05x.001.08; EPC 132-08 (customer-to-bank
guidelines of the SEPA credit transfer), its character set in EPC 217-08.
"""
