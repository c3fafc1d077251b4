"""Stories: everything that happened to a payment, read once for every face that shows it.

``payment_story`` reads over the rooms, ``telling`` puts what was read into words and into the order of time. A merchant and
the house see the same story; the house sees more of each chapter (``telling.Teller.for_house``). Nothing here writes.
"""
