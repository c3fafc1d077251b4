"""The error tree of Tongbao.

Expected outcomes (a decline, a refused transfer, a risk decision) are values, never exceptions. An exception
means a broken precondition, an unavailable party or a bug. The kind says what the caller can do about it::

    AppError
    ├── InvalidRequest      the request can never succeed as it is: change it
    ├── NotFound            the named thing does not exist, or not for this caller
    ├── NotPermitted        the caller may not do this
    ├── Conflict            the state or an idempotency key contradicts the request
    ├── LimitExceeded       a quota or a size limit: ask for less, or later
    ├── Unavailable         a party is away or too busy: repeat later (``retry_after_s``)
    ├── OutcomeUnknown      it may or may not have happened: repeat with the same key, or inquire
    └── InvariantBroken     a bug or tampering: alarm, never retried

HTTP statuses are chosen in one table in ``web``, nowhere else.
"""

from typing import Any


class AppError(Exception):
    """Root of all errors raised on purpose.

    ``code`` is a stable string for machines, ``detail`` one sentence for people, ``facts`` the ids and
    amounts behind it. None of them may hold personal data.
    """

    def __init__(self, code: str, detail: str, **facts: Any) -> None:
        super().__init__(code, detail, facts)
        self.code = code
        self.detail = detail
        self.facts = facts

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}"

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle with the facts as keywords, so that an error crosses from a worker process whole."""
        return _remade, (type(self), self.code, self.detail, self.facts)


def _remade(kind: type[AppError], code: str, detail: str, facts: dict[str, Any]) -> AppError:
    return kind(code, detail, **facts)


class InvalidRequest(AppError):
    """The request can never succeed as it is."""


class NotFound(AppError):
    """The named thing does not exist, or not for this caller."""


class NotPermitted(AppError):
    """The caller may not do this."""


class Conflict(AppError):
    """The state, or an idempotency key used before, contradicts the request."""


class LimitExceeded(AppError):
    """A quota or a size limit was reached."""


class Unavailable(AppError):
    """A party is away or too busy; repeating later is safe.

    ``retry_after_s`` is the number of seconds after which a repeat makes sense.
    """

    def __init__(self, code: str, detail: str, *, retry_after_s: float = 1.0, **facts: Any) -> None:
        super().__init__(code, detail, retry_after_s=retry_after_s, **facts)
        self.retry_after_s = retry_after_s


class OutcomeUnknown(AppError):
    """It may or may not have happened; repeat with the same key, or inquire. Never repeat with a new key."""


class InvariantBroken(AppError):
    """A rule that must always hold does not: a bug, or somebody altered the books."""
