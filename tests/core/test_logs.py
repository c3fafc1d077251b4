"""Logs: one pipeline for our own and foreign lines, masked, in UTC, as JSON or text."""

import io
import json
import logging
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import structlog
from pydantic import SecretStr

from tongbao.core.logs import configure_logs, get_logger

CARD = "4111111111111111"
log = get_logger("tongbao.test")


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    """Put the root logger back as it was; other tests capture logs through it."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.contextvars.clear_contextvars()


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_log_as_json_carries_level_logger_and_utc_instant(stream: io.StringIO) -> None:
    configure_logs("INFO", json=True, stream=stream)
    log.info("posted %s", "通宝", amount_minor=5)
    assert "通宝" in stream.getvalue()
    (line,) = lines(stream)
    at = datetime.fromisoformat(line.pop("timestamp"))
    assert at.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - at) < timedelta(minutes=1)
    assert line == {"event": "posted 通宝", "level": "info", "logger": "tongbao.test", "amount_minor": 5}


def test_log_with_secrets_masks_them_at_any_depth(stream: io.StringIO) -> None:
    configure_logs("INFO", json=True, stream=stream)
    log.info(
        f"card {CARD}",
        api_key="hunter2",
        key_of=SecretStr("hunter2"),
        database_url="postgresql://u:hunter2@h/db",
        nested={"headers": [{"Authorization": "Bearer hunter2"}]},
    )
    (line,) = lines(stream)
    assert "hunter2" not in stream.getvalue()
    assert line["event"] == "card 411111******1111"
    assert line["nested"] == {"headers": [{"Authorization": "***"}]}
    assert line["api_key"] == line["key_of"] == line["database_url"] == "***"


@pytest.mark.parametrize("as_json", [True, False])
def test_log_of_an_exception_masks_its_message_and_traceback(stream: io.StringIO, as_json: bool) -> None:
    configure_logs("INFO", json=as_json, stream=stream)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for logger in (log, logging.getLogger("asyncpg")):
            try:
                raise ValueError(f"password=hunter2 {CARD}")
            except ValueError:
                logger.exception("refused")
    text = stream.getvalue()
    assert text.count("ValueError: password=*** 411111******1111") == 2
    assert text.count("Traceback") == 2
    assert "hunter2" not in text
    assert CARD not in text


def test_log_of_a_library_passes_the_same_pipeline(stream: io.StringIO) -> None:
    own = io.StringIO()
    access = logging.getLogger("uvicorn.access")
    access.addHandler(logging.StreamHandler(own))
    access.propagate = False
    configure_logs("INFO", json=True, stream=stream)
    access.info('"%s %s" %d', "GET", "/?token=hunter2", 200, extra={"color_message": "x", "cvc": 1})
    logging.getLogger("asyncpg").warning("lost %s", "postgresql://u:hunter2@h")
    first, second = lines(stream)
    assert first.pop("timestamp") <= second.pop("timestamp")
    assert first == {
        "event": '"GET /?token=***" 200',
        "cvc": "***",
        "level": "info",
        "logger": "uvicorn.access",
    }
    assert second == {"event": "lost postgresql://u:***@h", "level": "warning", "logger": "asyncpg"}
    assert own.getvalue() == ""


def test_log_below_the_level_is_dropped(stream: io.StringIO) -> None:
    configure_logs("WARNING", json=True, stream=stream)
    log.info("quiet")
    logging.getLogger("uvicorn").info("quiet")
    log.warning("loud")
    assert [line["event"] for line in lines(stream)] == ["loud"]


def test_configure_again_replaces_level_form_and_stream(stream: io.StringIO) -> None:
    old = io.StringIO()
    configure_logs("ERROR", json=True, stream=old)
    log.error("before")
    configure_logs("DEBUG", json=False, stream=stream)
    log.debug("after", book="b1")
    assert len(old.getvalue().splitlines()) == 1
    assert len(stream.getvalue().splitlines()) == 1
    assert "after" in stream.getvalue()
    assert "book=b1" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


def test_configure_without_a_stream_writes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("INFO", json=True)
    log.info("seen")
    out, err = capsys.readouterr()
    assert out == ""
    assert json.loads(err)["event"] == "seen"


def test_log_before_configure_is_masked_already(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        log.warning("early", token="hunter2")
    assert "early" in caplog.text
    assert "hunter2" not in caplog.text


def test_log_with_bound_context_carries_it(stream: io.StringIO) -> None:
    configure_logs("INFO", json=True, stream=stream)
    structlog.contextvars.bind_contextvars(request="rq_1", cookie="hunter2")
    log.bind(lane=1).info("posted")
    (line,) = lines(stream)
    assert (line["request"], line["cookie"], line["lane"]) == ("rq_1", "***", 1)
