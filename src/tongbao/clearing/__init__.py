"""Clearing: what payments cost, when merchants get their money, and whether channels and banks say the same as the books.

Three truths meet here: the journal, the files of channels and the statements of banks. Invariants:

- what stands on ``in_transit`` of a book is the sum of its movements that no batch has taken yet, in every currency;
- the parts of a fee sum to the fee, and gross less fees, refunds, disputes and reserve is the net of a batch, exactly;
- a batch is paid once: its payout, its transfers and its file carry ids derived from the batch;
- a line of a file is counted once, however often the file comes;
- nothing is written off, paid above a limit or sent to a new account by one person alone.

Sources: docs/concepts/clearing.md; ISO 20022 (pain.001, pain.002, camt.052–054); decision record 0011.
"""
