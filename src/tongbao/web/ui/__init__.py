"""The kit on which every face stands: what pages are made of, in Python; ``templates/ui/kit.html`` holds it as macros.

Modules: ``kit`` (the object ``ui`` that every page and every macro reads its language from), ``money`` (amounts,
shares, instants as text), ``icons`` (one sprite of our own drawings), ``assets`` (hashed, immutable, compressed once),
``forms`` (fields read with the server's truth), ``tables`` (tables whose whole state is their address), ``table_views``
(the same ready to be drawn), ``saved_views`` (addresses kept under names), ``figure`` and ``charts_*`` (drawings with
their numbers), ``live`` and ``stream`` (one rendering for all viewers, by server-sent events), ``finding`` (what an id
names), ``gallery`` (every part in every mode, at ``/ui``).

A template begins with ``{% import 'ui/kit.html' as k with context %}``; ``pages.render`` puts ``ui`` into the context. A
console page loads ``tokens.css`` and ``console.css``, a page of the wallet ``wallet.css`` as well; ``core.js`` and its
sisters add comfort, never function.
"""
