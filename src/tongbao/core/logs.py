"""Logs: structured lines through one pipeline, for our own code and for every library that uses ``logging``.

Every line carries a level, the logger's name and an ISO 8601 instant in UTC, and has passed ``core.masking``
before any handler sees it. The instant is the machine's, also in a simulated city: a log tells when the process
did something, facts tell when it happened in the business.
"""

import logging
import sys
from typing import TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from tongbao.core.masking import mask_entry, mask_key

# They bring handlers of their own, which would print past the masking.
_LIBRARIES = ("uvicorn", "uvicorn.access", "uvicorn.error", "asyncpg", "asyncio", "alembic", "sqlalchemy")
# Objects of the pipeline itself, taken out by ProcessorFormatter before a line is rendered.
_PIPELINE_KEYS = frozenset({"_record", "_from_structlog"})


def mask_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Return the event with secrets and card numbers masked, at any depth; a structlog processor."""
    return {
        mask_key(key): value if key in _PIPELINE_KEYS else mask_entry(key, value)
        for key, value in event.items()
    }


def _drop_copies(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Drop what repeats the event of a library's line.

    uvicorn adds its message with terminal codes; other handlers leave theirs formatted on the shared record.
    """
    for key in ("color_message", "message", "asctime"):
        event.pop(key, None)
    return event


_SHARED: tuple[Processor, ...] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.stdlib.PositionalArgumentsFormatter(),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
    # Tracebacks become text here, so that masking reads them too.
    structlog.processors.format_exc_info,
    mask_secrets,
)


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return the logger of a module; usable at import time, masked even before ``configure_logs``."""
    if not structlog.is_configured():
        structlog.configure(
            processors=[
                structlog.stdlib.filter_by_level,
                *_SHARED,
                structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
            ],
            logger_factory=structlog.stdlib.LoggerFactory(),
            wrapper_class=structlog.stdlib.BoundLogger,
            cache_logger_on_first_use=True,
        )
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


def configure_logs(level: str, json: bool, stream: TextIO | None = None) -> None:
    """Send all logs of the process at or above ``level`` to ``stream`` (standard error), one line each.

    ``json`` writes one object a line, otherwise text for people. May be called again: the last call wins. A
    server started afterwards must not set up logging itself (uvicorn: ``log_config=None``).
    """
    stream = stream or sys.stderr
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), _drop_copies, *_SHARED],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _renderer(json, stream)],
        )
    )
    root = logging.getLogger()
    # Only plain stream handlers are replaced: test runners and tracers hang theirs, of other types, beside them.
    for old in [found for found in root.handlers if type(found) is logging.StreamHandler]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    for name in _LIBRARIES:
        library = logging.getLogger(name)
        library.handlers.clear()
        library.propagate = True
        library.setLevel(logging.NOTSET)


def _renderer(json: bool, stream: TextIO) -> Processor:
    if json:
        return structlog.processors.JSONRenderer(ensure_ascii=False)
    return structlog.dev.ConsoleRenderer(
        colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
