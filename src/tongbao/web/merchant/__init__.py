"""The merchant portal: taking money, getting it, and the workshop around both, at ``/merchant/{merchant}``.

``portal`` is what its pages reach and how they are answered; each further module is one place with its routes, and beside it
the pure functions that bring what was read into the order of reading. Every page is guarded by ``signing.guarding``: the
permission of its place to look, that of the act to act. Forms name the mode they act in and carry a key of their own, so
that what is sent twice is done once.
"""
