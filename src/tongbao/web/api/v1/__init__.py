"""The Stripe-shaped interface ``/v1``: the official ``stripe`` client works against it unchanged.

Every request becomes nested text (``forms``), is read by a table of fields (``fields``), calls one use case and is
rendered in Stripe's form. The table of routes is data: the dispatcher, the OpenAPI document and the reference page
come from it. Nothing here decides about money.

Source of the shapes: the published types of ``stripe`` 16.1.0 (MIT) and Stripe's public reference of the API.
"""
