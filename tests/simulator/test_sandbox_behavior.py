"""Behavior: scripts before magic before chance, the same for the same seed."""

import random
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from tongbao.core.errors import InvalidRequest
from tongbao.simulator.sandbox.behavior import (
    MAGIC_FAULTS,
    Ask,
    Behaviors,
    Duration,
    Fault,
    Habits,
    Notifying,
    Payers,
    Plan,
    Script,
    Trouble,
    TroubleKind,
    parse_behavior,
    parse_habits,
)
from tongbao.simulator.sandbox.declines import AMOUNTS, CARDS, DISPUTED_CARD, WORDS, Decline, passes_luhn
from tongbao.simulator.sandbox.schema import Operation

CHANCE = Habits(
    decline_prob=0.3,
    declines={Decline.INSUFFICIENT_FUNDS: 3, Decline.DO_NOT_HONOR: 1},
    faults={Fault.SILENT_DONE: 0.1, Fault.CUT: 0.1},
    latency=Duration(median_ms=80, sigma=0.5),
    magic_amounts=False,
)


def plan_of(habits: Habits, *, elapsed_s: float = 0.0, **ask: object) -> Plan:
    given = {"operation": Operation.AUTHORIZE, "reference": "pa_1", "amount_minor": 1000} | ask
    return Behaviors(7, {"card_a": habits}).plan("card_a", msgspec.convert(given, Ask), elapsed_s)


def sequence(seed: int, count: int = 300) -> list[Plan]:
    behaviors = Behaviors(seed, {"card_a": CHANCE})
    asks = [Ask(operation=Operation.AUTHORIZE, reference=str(number)) for number in range(count)]
    return [behaviors.plan("card_a", ask, 0.0) for ask in asks]


def test_equal_seeds_give_equal_sequences_and_others_do_not() -> None:
    assert sequence(1) == sequence(1)
    assert sequence(1) != sequence(2)


def test_inquiries_in_between_move_no_draw() -> None:
    behaviors = Behaviors(1, {"card_a": CHANCE})
    plans = []
    for number in range(300):
        for _ in range(number % 3):
            behaviors.plan("card_a", Ask(operation=Operation.INQUIRE, reference="x"), 0.0)
        plans.append(behaviors.plan("card_a", Ask(operation=Operation.AUTHORIZE, reference=str(number)), 0.0))
    assert plans == sequence(1)


def test_chance_keeps_its_probabilities() -> None:
    plans = sequence(3, 4_000)
    faults = Counter(plan.fault for plan in plans)
    declines = Counter(plan.decline for plan in plans if plan.decline)
    assert faults[Fault.SILENT_DONE] == pytest.approx(400, abs=80)
    assert faults[Fault.CUT] == pytest.approx(400, abs=80)
    assert declines.total() == pytest.approx(1_200, abs=120)
    assert declines[Decline.INSUFFICIENT_FUNDS] == pytest.approx(900, abs=110)
    assert sorted(plan.latency_ms for plan in plans)[2_000] == pytest.approx(80, rel=0.1)


def test_constant_duration_never_varies() -> None:
    assert {Duration(median_ms=25).draw_ms(random.Random(seed)) for seed in range(20)} == {25}


@pytest.mark.parametrize(("ending", "decline"), AMOUNTS.items())
def test_magic_amount_is_declined_unless_switched_off(ending: int, decline: Decline) -> None:
    assert plan_of(Habits(), amount_minor=1200 + ending).decline is decline
    assert plan_of(Habits(magic_amounts=False), amount_minor=1200 + ending).decline is None
    assert plan_of(Habits(), amount_minor=1200 + ending, operation=Operation.REFUND).decline is None


@pytest.mark.parametrize(
    ("ending", "fault"),
    [(81, "silent"), (82, "silent_done"), (83, "cut"), (84, "cut_done"), (85, "garbage"), (87, "error")],
)
def test_magic_amount_breaks_the_answer(ending: int, fault: str) -> None:
    assert plan_of(Habits(), amount_minor=5000 + ending).fault == fault


@pytest.mark.parametrize(("card", "decline"), CARDS.items())
def test_magic_card_is_declined_and_valid_by_luhn(card: str, decline: Decline) -> None:
    assert plan_of(Habits(), card_number=card).decline is decline
    assert plan_of(Habits(magic_cards=False), card_number=card).decline is None
    assert passes_luhn(card)


def test_card_of_disputes_is_approved() -> None:
    plan = plan_of(Habits(), card_number=DISPUTED_CARD)
    assert (plan.decline, plan.disputed) == (None, True)


@pytest.mark.parametrize(
    ("number", "passes"),
    [
        ("4242424242424242", True),
        ("4242424242424241", False),
        ("378282246310005", True),
        ("6200000000000005", True),
        ("", False),
        ("0", False),
        ("4242 4242 4242 4242", False),
        ("４２４２４２４２４２４２４２４２", False),
    ],
)
def test_luhn_check(number: str, passes: bool) -> None:
    assert passes_luhn(number) is passes


def test_every_decline_has_words_in_every_protocol() -> None:
    assert set(WORDS) == set(Decline)
    assert all(len(words.iso8583) == 2 for words in WORDS.values())


def test_script_wins_over_magic_and_ends_after_its_times() -> None:
    script = Script(reference_prefix="pa_", times=2, fault=Fault.CUT)
    behaviors = Behaviors(1, {"card_a": Habits(scripts=(script,))})
    ask = Ask(operation=Operation.AUTHORIZE, reference="pa_1", amount_minor=1005)
    other = Ask(operation=Operation.AUTHORIZE, reference="re_1", amount_minor=1000)
    assert behaviors.plan("card_a", other, 0.0).fault is Fault.NONE
    assert [behaviors.plan("card_a", ask, 0.0).fault for _ in range(3)] == ["cut", "cut", "none"]
    assert behaviors.plan("card_a", ask, 0.0).decline is Decline.DO_NOT_HONOR
    behaviors.set("card_a", Habits(scripts=(script,)))
    assert behaviors.plan("card_a", ask, 0.0).fault is Fault.CUT


@pytest.mark.parametrize(
    ("script", "matches"),
    [
        (Script(), True),
        (Script(operation=Operation.AUTHORIZE), True),
        (Script(operation=Operation.REFUND), False),
        (Script(amount_minor=1000), True),
        (Script(amount_minor=1001), False),
        (Script(amount_ends=0), True),
        (Script(amount_ends=5), False),
        (Script(reference_prefix="pa_"), True),
        (Script(reference_prefix="re_"), False),
        (Script(reference_prefix="pa_", amount_minor=1), False),
    ],
)
def test_script_matches_everything_given(script: Script, matches: bool) -> None:
    assert script.matches(Ask(operation=Operation.AUTHORIZE, reference="pa_1", amount_minor=1000)) is matches


@pytest.mark.parametrize(
    ("elapsed_s", "fault"), [(0.0, "none"), (10.0, "silent"), (19.9, "silent"), (20.0, "none"), (30.0, "cut")]
)
def test_trouble_lasts_for_its_half_open_window(elapsed_s: float, fault: str) -> None:
    windows = (
        Trouble(kind=TroubleKind.SILENT, from_s=10, until_s=20),
        Trouble(kind=TroubleKind.REFUSED, from_s=30),
    )
    assert plan_of(Habits(troubles=windows), elapsed_s=elapsed_s).fault == fault


def test_brown_out_declines_a_share_of_payments_and_leaves_inquiries_alone() -> None:
    habits = Habits(troubles=(Trouble(kind=TroubleKind.DECLINING, hit_prob=0.2),))
    behaviors = Behaviors(1, {"card_a": habits})
    ask = Ask(operation=Operation.AUTHORIZE, reference="x")
    declined = sum(behaviors.plan("card_a", ask, 0.0).decline is not None for _ in range(2_000))
    assert declined == pytest.approx(400, abs=60)
    inquiry = Ask(operation=Operation.INQUIRE, reference="x")
    assert not any(behaviors.plan("card_a", inquiry, 0.0).decline for _ in range(100))


def test_only_a_whole_refusal_closes_the_port() -> None:
    refused = Trouble(kind=TroubleKind.REFUSED, from_s=1, until_s=2)
    partly = Trouble(kind=TroubleKind.REFUSED, hit_prob=0.5)
    behaviors = Behaviors(1, {"card_a": Habits(troubles=(refused, partly))})
    assert [behaviors.is_refusing("card_a", at) for at in (0.5, 1.0, 2.0)] == [False, True, False]


def test_rate_limit_counts_by_the_second() -> None:
    behaviors = Behaviors(1, {"card_a": Habits(rate_per_s=2)})
    ask = Ask(operation=Operation.AUTHORIZE, reference="x")
    faults = [behaviors.plan("card_a", ask, at).fault for at in (0.0, 0.1, 0.2, 0.9, 1.0, 1.1, 1.2)]
    assert faults == ["none", "none", "limited", "limited", "none", "none", "limited"]


def test_behavior_as_json_and_back() -> None:
    habits = Habits(
        troubles=(Trouble(kind=TroubleKind.SILENT, from_s=1),),
        scripts=(Script(times=1, decline=Decline.CARD_LOST),),
        payers=Payers(pays_prob=0.5),
        notifying=Notifying(late_prob=0.1),
    )
    assert parse_habits(msgspec.json.encode(habits)) == habits
    assert parse_behavior(b'{"alipay": {"decline_prob": 0.1}}') == {"alipay": Habits(decline_prob=0.1)}


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b'{"decline_prob": 1.5}',
        b'{"decline_prob": -0.1}',
        b'{"decline_probability": 0.1}',
        b'{"latency": {"median_ms": 1e9}}',
        b'{"faults": {"cut": 0.6, "silent": 0.6}}',
        b'{"faults": {"cut": -1}}',
        b'{"faults": {"unheard_of": 0.1}}',
        b'{"declines": {}}',
        b'{"declines": {"do_not_honor": 0}}',
        b'{"scripts": [{"times": -1}]}',
        b'{"scripts": [' + b",".join([b"{}"] * 201) + b"]}",
    ],
)
def test_bad_behavior_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidRequest, match="behavior_invalid"):
        parse_habits(raw)


def test_page_of_the_sandbox_lists_magic_amounts_and_cards_as_they_are() -> None:
    page = (Path(__file__).parent.parent.parent / "docs/reference/sandbox.md").read_text()
    for ending, meaning in (AMOUNTS | MAGIC_FAULTS).items():
        assert f"{ending:02d} `{meaning}`" in page
    for card, decline in CARDS.items():
        row = next(line for line in page.splitlines() if card in line)
        assert f"`{decline}` ({WORDS[decline].iso8583})" in row
    assert DISPUTED_CARD in page
    assert all(f"`{name}`" in page for name in Habits.__struct_fields__ if name != "tampered_by_minor")


def test_ask_never_prints_the_card() -> None:
    ask = Ask(operation=Operation.AUTHORIZE, reference="pa_1", card_number="4242424242424242")
    assert "4242" not in repr(ask)
