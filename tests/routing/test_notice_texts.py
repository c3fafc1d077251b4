"""Announcements in words: every kind in both languages, with its numbers and without."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from tongbao.routing.policy.notice_texts import notice_text
from tongbao.routing.schema.notices import Notice, NoticeKind

RATES: dict[str, str | int | float] = {"before": 0.9, "after": 0.8, "size": -0.1}


def notice(kind: NoticeKind, facts: dict[str, str | int | float], issuer: str = "") -> Notice:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return Notice(
        id=UUID(int=1), at=at, kind=kind, channel="east", live=True, method="card", issuer=issuer, facts=facts
    )


@pytest.mark.parametrize(
    ("kind", "facts", "zh", "en"),
    [
        (NoticeKind.OPENED, {"technical_rate": 0.5, "code": "x"}, "因技术故障暂停，技术故障率 50.0%。", " is out of traffic for technical failures, 50.0% technical failures."),
        (NoticeKind.CLOSED, {"technical_rate": 0.01}, "已恢复，技术故障率 1.0%。", " is in traffic again, 1.0% technical failures."),
        (NoticeKind.TOGETHER, {"channels": "north, west"}, "与其他通道同时故障：north, west。", " fails together with others: north, west."),
        (NoticeKind.ACCEPTANCE_FELL, RATES, "的通过率下降，由 90.0% 变为 80.0%。", " fell, from 90.0% to 80.0%."),
        (NoticeKind.ACCEPTANCE_ROSE, RATES, "的通过率上升，由 90.0% 变为 80.0%。", " rose, from 90.0% to 80.0%."),
        (NoticeKind.OPENED, {}, "因技术故障暂停。", " is out of traffic for technical failures."),
        (NoticeKind.OPENED, {"technical_rate": "high"}, "因技术故障暂停。", " is out of traffic for technical failures."),
    ],
)  # fmt: skip
def test_notice_is_told_in_both_languages(
    kind: NoticeKind, facts: dict[str, str | int | float], zh: str, en: str
) -> None:
    chinese, english = (notice_text(notice(kind, facts), language) for language in ("zh", "en"))
    assert chinese.startswith("通道 east、支付方式 card")
    assert chinese.endswith(zh)
    assert "channel east, method card" in english.lower()
    assert english.endswith(en)
    assert english[0].isupper()


def test_notice_of_an_issuer_names_it() -> None:
    assert "issuer 424242" in notice_text(notice(NoticeKind.CLOSED, {}, "424242"), "en")
    assert set(NoticeKind) == {
        kind for kind in NoticeKind if notice_text(notice(kind, {}), "zh").endswith("。")
    }
