"""The hosted checkout: the pages that payment links (``/l/…``) and checkout sessions (``/c/…``) lead to.

A payer has no account and no key here: the reference of a session opens its page, and a page acts on the one intent
of its session only. Card details go from the form into the vault and nowhere else; they are never shown again, never
part of an address, and every form pays at most once, however often it is sent. The pages are complete without
JavaScript and carry no inline script or style.
"""
