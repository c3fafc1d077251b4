"""What can go wrong around payments, apart from declines (those are values, ``schema.intents.PaymentError``).

::

    NotFound
    └── Missing                 no such thing in this book
    Conflict
    ├── WrongState              the document is in a state that does not allow it
    │   └── ActRefused          the channel said no to a capture, a void or an increment
    ├── Contended               others change the same document all the time
    └── ReferenceTaken          the merchant's reference names another payment
    InvalidRequest
    └── BadAmount, BadParameter what was asked can never be done
    NotPermitted
    └── NotInPackage            the merchant's package does not hold this
"""

from uuid import UUID

from tongbao.core.errors import Conflict, InvalidRequest, NotFound, NotPermitted
from tongbao.core.ids import uuid_text


class Missing(NotFound):
    """No such thing, or not in this book."""

    def __init__(self, prefix: str, document_id: UUID, param: str | None = None) -> None:
        reference = uuid_text(prefix, document_id)
        super().__init__("resource_missing", f"No such object: {reference}", id=reference, param=param)


class WrongState(Conflict):
    """The document is in a state that does not allow what was asked; ``code`` says which rule."""

    def __init__(self, code: str, detail: str, **facts: object) -> None:
        super().__init__(code, detail, **facts)


class ActRefused(WrongState):
    """The channel said no to a capture, a void or an increment; what was authorized stays as it was."""

    def __init__(self, intent: str, operation: str, reason: str, channel_code: str | None, why: str) -> None:
        super().__init__(
            f"{operation}_refused",
            f"the channel refused the {operation}: {why}",
            payment_intent=intent,
            reason=reason,
            channel_code=channel_code,
        )


class Contended(Conflict):
    """The document changed under our hands several times in a row; repeating is safe."""

    def __init__(self, reference: str) -> None:
        super().__init__("lock_timeout", f"{reference} is being changed by others; repeat soon", id=reference)


class ReferenceTaken(Conflict):
    """One order, one payment: the merchant's reference names another one already."""

    def __init__(self, value: str, owner: str) -> None:
        super().__init__(
            "merchant_reference_taken",
            "this merchant reference names another payment intent",
            payment_intent=owner,
            merchant_reference=value,
            param="merchant_reference",
        )


class BadParameter(InvalidRequest):
    """A value that can never be right here; ``param`` names it."""

    def __init__(self, code: str, param: str, detail: str, **facts: object) -> None:
        super().__init__(code, detail, param=param, **facts)


class BadAmount(BadParameter):
    """An amount that is too small, too large, or more than there is."""


class NotInPackage(NotPermitted):
    """The merchant's package does not hold what a payment needs."""

    def __init__(self, feature: str) -> None:
        super().__init__("feature_missing", f"the merchant's package has no {feature}", feature=feature)
