"""A report in words and as a chart: the numbers in both languages, refusals, hostile names."""

import re
from datetime import UTC, datetime
from typing import Any
from uuid import UUID
from xml.etree import ElementTree

import msgspec
import pytest

from tongbao.core.errors import InvalidRequest
from tongbao.decisions.policy.report_chart import PLOT_LEFT, PLOT_RIGHT, TICKS_MAX, WIDTH, report_chart
from tongbao.decisions.policy.report_words import figure, refusal_text, report_text, verdict_text
from tongbao.decisions.schema.evaluation import Caveat, Estimate, Missing, Refusal, Report, Verdict

SVG = "{http://www.w3.org/2000/svg}"


def estimate(name: str, value: float, low: float, high: float) -> Estimate:
    return Estimate(estimator=name, value=value, low=low, high=high)


def report_of(**changes: Any) -> Report:
    plain = Report(
        id=UUID(int=9),
        policy="routing",
        version=7,
        against="routing v6",
        outcome="approved",
        from_at=datetime(2026, 10, 1, tzinfo=UTC),
        to_at=datetime(2026, 11, 1, tzinfo=UTC),
        count=48_213,
        agreement=0.512,
        effective_count=31_204.4,
        weight_max=12.34,
        logged=estimate("logged", 0.8710, 0.8680, 0.8740),
        estimates=(
            estimate("ips", 0.8801, 0.8702, 0.8900),
            estimate("snips", 0.8793, 0.8751, 0.8835),
            estimate("dr", 0.8795, 0.8754, 0.8836),
        ),
        difference=estimate("dr", 0.0085, 0.0051, 0.0119),
        verdict=Verdict.BETTER,
        made_at=datetime(2026, 11, 2, tzinfo=UTC),
        made_by="operator",
        overlap=0.627,
        recommended="dr",
        is_share=True,
    )
    return msgspec.structs.replace(plain, **changes)


def refused(refusal: Refusal, **changes: Any) -> Report:
    return report_of(
        estimates=(), difference=None, recommended="", verdict=Verdict.REFUSED, refusal=refusal, **changes
    )


@pytest.mark.parametrize("language", ["en", "zh-CN", "zh"])
def test_words_hold_every_number(language: str) -> None:
    text = report_text(report_of(), language)
    for number in (
        "48,213", "2026-10-01 00:00", "2026-11-01 00:00", "87.10 %", "86.80 %", "87.40 %", "87.95 %", "87.54 %",
        "88.36 %", "+0.85", "+0.51", "+1.19", "62.7 %", "51.2 %", "31,204", "12.34",
    ):  # fmt: skip
        assert number in text
    assert not re.search(r"[{}]|None|nan", text)
    assert bool(re.search("[一-鿿]", text)) == (language != "en")


def test_words_of_the_two_languages_say_the_verdict() -> None:
    assert "better than what was logged" in report_text(report_of(), "en")
    assert "优于实际策略" in report_text(report_of(), "zh-CN")
    assert verdict_text(report_of(verdict=Verdict.WORSE), "zh-CN") == "结论：劣于实际策略。"


def test_words_of_a_loss_say_that_lower_is_better_and_use_no_percent() -> None:
    losses = report_of(
        outcome="loss",
        higher_is_better=False,
        is_share=False,
        logged=estimate("logged", 12_345.6, 12_000.0, 12_700.0),
        difference=estimate("dr", -0.25, -0.5, -0.001234),
    )
    text = report_text(losses, "en")
    assert "lower is better" in text
    assert "12,346 (12,000 to 12,700)" in text
    assert "−0.25 (−0.5 to −0.001234)" in text
    assert "points" not in text


@pytest.mark.parametrize("language", ["en", "zh-CN"])
@pytest.mark.parametrize(
    ("refusal", "facts", "told"),
    [
        (Refusal.COUNT_SMALL, {"count": 42}, "42"),
        (Refusal.OUTCOMES_CONSTANT, {}, ""),
        (Refusal.SUPPORT_MISSING, {"unsupported": 0.031}, "3.10 %"),
        (Refusal.AGREEMENT_LOW, {"overlap": 0.113}, "11.3 %"),
        (Refusal.EFFECTIVE_LOW, {"effective_count": 81.4}, "81"),
        (Refusal.PROPENSITIES_OFF, {}, ""),
        (Refusal.WEIGHTS_CLIPPED, {"clipped_share": 0.123}, "12.30 %"),
    ],
)
def test_words_of_a_refusal_say_why(
    language: str, refusal: Refusal, facts: dict[str, Any], told: str
) -> None:
    report = refused(refusal, **facts)
    reason = refusal_text(report, language)
    assert told in reason
    assert reason in report_text(report, language)
    assert verdict_text(report, language) in report_text(report, language)


def test_every_refusal_and_caveat_has_words_of_its_own() -> None:
    for language in ("en", "zh-CN"):
        reasons = {refusal_text(refused(each), language) for each in Refusal}
        assert len(reasons) == len(Refusal)
        plain = report_text(report_of(), language)
        noted = {report_text(report_of(caveats=(each,)), language) for each in Caveat}
        assert len(noted) == len(Caveat)
        assert all(each.startswith(plain) and each != plain for each in noted)
    assert refusal_text(report_of(), "en") == ""


def test_words_say_how_missing_outcomes_were_counted() -> None:
    counted = report_of(missing=Missing.COUNTED, missing_count=310, missing_value=0.0, horizon_s=3 * 86_400)
    assert "310 decisions without an outcome after 3 days count as 0.00 %" in report_text(counted, "en")
    assert "310 条决策在 3 天后仍无结果，按 0.00 % 计" in report_text(counted, "zh-CN")


def test_words_in_an_unknown_language_are_rejected() -> None:
    for make in (report_text, refusal_text, verdict_text, report_chart):
        with pytest.raises(InvalidRequest) as caught:
            make(report_of(), "fr")
        assert caught.value.code == "language_unknown"


@pytest.mark.parametrize(
    ("value", "is_share", "text"),
    [
        (0.87654, True, "87.65 %"),
        (-0.01, True, "−1.00 %"),
        (0.012345, False, "0.01235"),
        (1.5, False, "1.50"),
        (-1234.567, False, "−1,234.57"),
        (98_765.4, False, "98,765"),
        (0.0, False, "0"),
    ],
)
def test_figure_of_a_value_is_short(value: float, is_share: bool, text: str) -> None:
    assert figure(value, is_share=is_share) == text


@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_chart_is_xml_with_title_description_and_a_row_for_each_estimate(language: str) -> None:
    root = ElementTree.fromstring(report_chart(report_of(), language))
    titled = (root.find(f"{SVG}title"), root.find(f"{SVG}desc"))
    for each in titled:
        assert each is not None
        assert each.text
        assert each.get("id") in (root.get("aria-labelledby") or "").split()
    assert root.get("role") == "img"
    assert len(root.findall(f"{SVG}circle")) == 4
    texts = [each.text or "" for each in root.iter(f"{SVG}text")]
    assert "87.95 % (87.54 … 88.36)" in texts
    assert any("DR" in each for each in texts)


def test_chart_puts_intervals_where_the_values_are() -> None:
    root = ElementTree.fromstring(report_chart(report_of(), "en"))
    xs = [float(each.get("cx") or "nan") for each in root.findall(f"{SVG}circle")]
    # Logged, IPS, SNIPS and DR by size: 0.8710 < 0.8793 < 0.8795 < 0.8801.
    assert xs[0] < xs[2] < xs[3] < xs[1]
    assert all(PLOT_LEFT < x < PLOT_RIGHT for x in xs)
    for path in root.findall(f"{SVG}path"):
        for x in re.findall(r"[MH]([\d.]+)", path.get("d") or ""):
            assert PLOT_LEFT <= float(x) <= PLOT_RIGHT
    assert (root.get("viewBox") or "").split()[2] == str(WIDTH)


def test_chart_takes_colors_from_the_page_alone() -> None:
    drawn = report_chart(report_of(), "en")
    for color in re.findall(r'(?:fill|stroke)="([^"]+)"', drawn):
        assert color in {"currentColor", "none"} or color.startswith("var(--")
    assert "style=" not in drawn
    assert "<script" not in drawn


def test_chart_escapes_hostile_names() -> None:
    hostile = '"><script>alert(1)</script>&\x00\x1b\ud800'
    drawn = report_chart(report_of(policy=hostile, against=hostile, outcome=hostile), "en")
    root = ElementTree.fromstring(drawn)
    assert "<script" not in drawn
    assert root.find(f".//{SVG}script") is None
    title = root.find(f"{SVG}title")
    assert title is not None
    assert "<script>alert(1)</script>&" in (title.text or "")


def test_chart_of_a_refusal_shows_what_was_seen_and_says_so() -> None:
    root = ElementTree.fromstring(report_chart(refused(Refusal.AGREEMENT_LOW, overlap=0.113), "en"))
    assert len(root.findall(f"{SVG}circle")) == 1
    texts = [each.text for each in root.iter(f"{SVG}text")]
    assert "Verdict: refused, this log does not tell." in texts
    description = root.find(f"{SVG}desc")
    assert description is not None
    assert "11.3 %" in (description.text or "")


@pytest.mark.parametrize(
    ("low", "high"), [(0.0, 0.0), (5.0, 5.0), (-3.0, 1e6), (1e-9, 2e-9), (0.871, 0.8710001)]
)
def test_chart_of_any_range_has_few_ticks(low: float, high: float) -> None:
    report = refused(Refusal.COUNT_SMALL, logged=estimate("logged", low, low, high), is_share=False)
    root = ElementTree.fromstring(report_chart(report, "en"))
    ticks = [each for each in root.iter(f"{SVG}text") if each.get("font-size") == "12"]
    assert 2 <= len(ticks) <= TICKS_MAX + 1
