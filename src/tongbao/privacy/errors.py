"""What can go wrong around the vault.

::

    InvalidRequest
    ├── CardInvalid         a card that cannot exist or is past its expiry; ``param`` names the field
    └── CardDataRefused     a card number stands where none may; ``param`` names the field, never the value
    NotFound
    ├── TokenUnknown        no card behind this token: never made, forgotten, expired
    └── TokenShredded       its person was erased: the card can never be read again
    NotPermitted
    └── RevealNotPermitted  this actor may not see clear cards, or not for this purpose
    Conflict
    └── PersonShredded      the person was erased in this book: nothing new is kept of them
    Unavailable
    ├── KeysUnusable        the key file or setting is missing, exposed or damaged: nothing is sealed or opened
    └── RevealNotRecorded   the record of a reveal could not be committed, so nothing was revealed
    InvariantBroken
    ├── SealBroken          a sealed value was altered, or moved to another row
    └── KeyRefused          a data key is wrapped under a version that is unknown or retired
"""

from tongbao.core.errors import (
    Conflict,
    InvalidRequest,
    InvariantBroken,
    NotFound,
    NotPermitted,
    Unavailable,
)


class CardInvalid(InvalidRequest):
    """A card that cannot exist or is past its expiry. Codes are those that clients of Stripe know."""

    def __init__(self, code: str, detail: str, param: str) -> None:
        super().__init__(code, detail, param=param)


class CardDataRefused(InvalidRequest):
    """A card number stands in a field that must not hold one."""

    def __init__(self, param: str) -> None:
        super().__init__(
            "card_data_not_allowed_here", f"{param or 'this text'} must not hold a card number", param=param
        )


class TokenUnknown(NotFound):
    """No card behind this token. The text is not repeated: it may be a card number given by mistake."""

    def __init__(self) -> None:
        super().__init__("token_unknown", "there is no such card token")


class TokenShredded(NotFound):
    """The person behind this token was erased."""

    def __init__(self, token: str) -> None:
        super().__init__("token_shredded", f"the card behind {token} was erased for good", token=token)


class RevealNotPermitted(NotPermitted):
    """The actor may not see clear cards, or not for this purpose."""

    def __init__(self, detail: str) -> None:
        super().__init__("reveal_not_permitted", detail)


class PersonShredded(Conflict):
    """The person was erased in this book."""

    def __init__(self, person: object) -> None:
        super().__init__(
            "person_shredded", f"person {person} was erased here; make a new one", person=str(person)
        )


class KeysUnusable(Unavailable):
    """The key source cannot be used as it is; somebody must look at its file or setting."""


class RevealNotRecorded(Unavailable):
    """The record of a reveal could not be committed. Nothing was revealed; repeating is safe."""

    def __init__(self) -> None:
        super().__init__("reveal_not_recorded", "the reveal could not be recorded, so nothing was revealed")


class SealBroken(InvariantBroken):
    """A sealed value does not open: it was altered, moved to another row, or sealed under another key."""

    def __init__(self) -> None:
        super().__init__("seal_broken", "a sealed value does not open in its place")


class KeyRefused(InvariantBroken):
    """A data key is wrapped under a version that this key source does not open.

    Codes: ``key_unknown``, ``key_retired``.
    """

    def __init__(self, code: str, version: int) -> None:
        super().__init__(
            code, f"version {version} of the wrapping key is {code.removeprefix('key_')}", version=version
        )
