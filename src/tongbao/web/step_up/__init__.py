"""The pages on which a payer proves who it is: ``/step-up/…``, one question, in the look of the checkout.

The address is the capability, given to the payer who was sent here and to nobody else; it says what is paid to whom, and
its code goes to an address that was known before. A payer with a passkey from before the payment is asked for that first.
Every form is answered with a redirect to the page, which tells how it stands. The pages are complete without JavaScript,
by codes, and carry no inline script or style.
"""
