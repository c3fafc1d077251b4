"""The wallet: what a payer sees of their money, and does with it.

Every page knows its payer by the session of ``web.signing``; every read takes that payer's wallet first
(``payments.service.payer_reads``), so that an id of anybody else leads to a page that is not there. Amounts come from the
ledger, names of shops from their merchants, both as they are now. Everything but passkeys works without JavaScript.
"""
