"""Documents of the house in Stripe's form, one file a family. Pure: the same document gives the same object.

Every field that the official client's type names is there; it is null where we have nothing. Fields of ours stand
beside them under names that the client does not use.
"""
