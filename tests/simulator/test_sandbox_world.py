"""The book of the sandbox: idempotent, never over-claimed, and the same after a kill."""

import random
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conftest import utc

from tongbao.core.clock import FrozenClock
from tongbao.core.errors import Conflict, LimitExceeded, Unavailable
from tongbao.simulator.sandbox import world as world_module
from tongbao.simulator.sandbox.journal import Journal
from tongbao.simulator.sandbox.schema import Act, Dispute, Operation, Payment, Purpose, Refusal, State
from tongbao.simulator.sandbox.world import World, as_fact

CLOCK = FrozenClock(utc(2026, 11, 22, 8))


@pytest.fixture
def world() -> World:
    return World(CLOCK, seed=1)


def opened(world: World, reference: str = "pa_1", amount_minor: int = 1000) -> Payment:
    payment = world.ask("card_a", reference, amount_minor, "USD")
    assert isinstance(payment, Payment)
    return payment


def captured(world: World, amount_minor: int = 1000) -> Payment:
    payment = opened(world, amount_minor=amount_minor)
    assert world.approve(payment, captured=True) is None
    return payment


def test_ask_repeated_returns_the_same_payment_and_counts(world: World) -> None:
    first = opened(world)
    again = world.ask("card_a", "pa_1", 1000, "USD")
    assert again is first
    assert first.asked == 2
    assert world.ask("card_b", "pa_1", 1000, "USD") is not first


@pytest.mark.parametrize(
    ("amount_minor", "currency", "purpose"),
    [(1001, "USD", Purpose.PAYMENT), (1000, "EUR", Purpose.PAYMENT), (1000, "USD", Purpose.PAYOUT)],
)
def test_ask_with_other_content_is_refused(
    world: World, amount_minor: int, currency: str, purpose: Purpose
) -> None:
    opened(world)
    refused = world.ask("card_a", "pa_1", amount_minor, currency, purpose=purpose)
    assert refused is Refusal.REFERENCE_CONFLICT


def test_ask_repeated_after_an_increment_is_still_the_same_payment(world: World) -> None:
    payment = opened(world)
    world.approve(payment, captured=False)
    assert isinstance(world.increment(payment, "inc", 500), Act)
    assert world.ask("card_a", "pa_1", 1000, "USD") is payment
    assert (payment.amount_minor, payment.approved_minor) == (1500, 1500)


def test_ask_beyond_the_maximum_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world_module, "PAYMENTS_MAX", 1)
    opened(world)
    with pytest.raises(LimitExceeded, match="sandbox_full"):
        opened(world, "pa_2")


def test_approve_twice_is_refused_and_takes_once(world: World) -> None:
    payment = captured(world)
    assert world.approve(payment, captured=True) is Refusal.STATE_INVALID
    assert world.taken_minor(["pa_1"]) == {"USD": 1000}


def test_captures_add_up_to_what_was_approved(world: World) -> None:
    payment = opened(world)
    world.approve(payment, captured=False)
    assert isinstance(world.capture(payment, "c1", 400, final=False), Act)
    assert isinstance(world.capture(payment, "c1", 400, final=False), Act)
    assert world.capture(payment, "c1", 500, final=False) is Refusal.REFERENCE_CONFLICT
    assert world.capture(payment, "c2", 601, final=False) is Refusal.AMOUNT_TOO_LARGE
    assert isinstance(world.capture(payment, "c2", 100, final=True), Act)
    assert world.capture(payment, "c3", 1, final=True) is Refusal.STATE_INVALID
    assert payment.captured_minor == 500
    assert payment.acts["c1"].asked == 2


def test_void_after_a_part_was_captured_lets_go_of_the_rest_only(world: World) -> None:
    payment = opened(world)
    world.approve(payment, captured=False)
    world.capture(payment, "c1", 400, final=False)
    voided = world.void(payment, "v1")
    assert isinstance(voided, Act)
    assert voided.amount_minor == 600
    assert (payment.state, payment.taken_minor) == (State.CAPTURED, 400)
    assert world.capture(payment, "c2", 1, final=True) is Refusal.STATE_INVALID


def test_void_of_a_sale_gives_everything_back_unless_refunded(world: World) -> None:
    sale = captured(world)
    assert isinstance(world.void(sale, "v1"), Act)
    assert (sale.state, sale.taken_minor) == (State.VOIDED, 0)
    refunded = opened(world, "pa_2")
    world.approve(refunded, captured=True)
    world.refund(refunded, "r", 1)
    assert world.void(refunded, "v2") is Refusal.STATE_INVALID


def test_refunds_under_way_count_against_what_was_captured(world: World) -> None:
    payment = captured(world)
    slow = world.refund(payment, "r1", 700, delay_ms=50)
    assert isinstance(slow, Act)
    assert (slow.done, payment.refunded_minor, payment.taken_minor) == (False, 0, 1000)
    assert world.refund(payment, "r2", 301) is Refusal.AMOUNT_TOO_LARGE
    world.finish(payment, slow)
    assert (payment.refunded_minor, payment.taken_minor) == (700, 300)


def test_refused_act_is_kept_and_moves_nothing(world: World) -> None:
    payment = captured(world)
    first = world.refuse(payment, Operation.REFUND, "r1", 100, "do_not_honor")
    assert world.refund(payment, "r1", 100) is first
    assert payment.refunds() == []
    assert world.by_act("card_a", "r1") == (payment, first)


def test_payment_past_its_time_cannot_be_approved() -> None:
    clock = FrozenClock(utc(2026, 11, 22))
    world = World(clock, seed=1)
    until = clock.now() + timedelta(minutes=5)
    payment = world.ask("alipay", "pa_1", 100, "CNY", expires_at=until)
    assert isinstance(payment, Payment)
    clock.advance(timedelta(minutes=5))
    assert world.approve(payment, captured=True) is Refusal.EXPIRED
    assert payment.state is State.VOIDED


def test_dispute_is_at_most_what_was_taken(world: World) -> None:
    payment = captured(world)
    assert world.dispute(payment, "10.4", 1001) is Refusal.AMOUNT_TOO_LARGE
    dispute = world.dispute(payment, "10.4")
    assert isinstance(dispute, Dispute)
    assert (dispute.amount_minor, dispute.respond_by) == (1000, CLOCK.now() + timedelta(days=7))
    assert world.dispute(opened(world, "pa_2"), "10.4") is Refusal.STATE_INVALID


def test_channel_references_are_equal_for_equal_seeds_and_never_shared(world: World) -> None:
    other, reseeded = World(CLOCK, seed=1), World(CLOCK, seed=2)
    assert opened(world).channel_reference == opened(other).channel_reference
    assert opened(reseeded).channel_reference != opened(world).channel_reference
    numbers = {opened(world, f"pa_{number}").channel_reference for number in range(500)}
    assert len(numbers) == 500
    assert all(len(number) == 28 and number.isdigit() for number in numbers)


def finish_all(world: World, payment: Payment) -> None:
    for act in payment.refunds():
        world.finish(payment, act)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_no_order_of_acts_takes_or_returns_too_much(seed: int) -> None:
    rng, world = random.Random(seed), World(CLOCK, seed=1)
    payment = opened(world)
    for step in range(30):
        amount, reference = rng.randrange(1, 600), f"act_{rng.randrange(12)}"
        acts = (
            lambda: world.approve(payment, captured=rng.random() < 0.3),
            lambda amount=amount, ref=reference: world.increment(payment, ref, amount),
            lambda amount=amount, ref=reference: world.capture(
                payment, ref, amount, final=rng.random() < 0.2
            ),
            lambda amount=amount, ref=reference: world.refund(payment, ref, amount, rng.choice((0, 5))),
            lambda ref=reference: world.void(payment, ref),
            lambda: finish_all(world, payment),
        )
        rng.choices(acts, (4, 2, 5, 5, 0.5 if step > 10 else 0, 2))[0]()
        assert 0 <= payment.refunded_minor <= payment.reserved_for_refunds_minor <= payment.captured_minor
        assert payment.captured_minor <= payment.approved_minor <= payment.amount_minor
        assert payment.taken_minor >= 0
        captures = [act for act in payment.acts.values() if act.operation is Operation.CAPTURE]
        if captures and payment.state is State.CAPTURED:
            assert sum(act.amount_minor for act in captures) == payment.captured_minor


async def test_journal_replayed_gives_the_same_book(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "book.jsonl"
    journal = Journal(file)
    world = World(CLOCK, 1, journal)
    payment = captured(world)
    world.refund(payment, "r1", 250, delay_ms=10)
    opened(world, "pa_2")
    await journal.close()
    again = Journal(file)
    replayed = World(CLOCK, 1, again)
    assert [as_fact(each) for each in replayed.payments()] == [as_fact(each) for each in world.payments()]
    assert replayed.by_channel_reference(payment.channel_reference) == payment
    assert replayed.by_act("card_a", "r1") == (payment, payment.acts["r1"])
    await again.close()


async def test_journal_with_a_torn_last_line_forgets_only_that(tmp_path: Path) -> None:
    file = tmp_path / "book.jsonl"
    journal = Journal(file)
    opened(World(CLOCK, 1, journal))
    await journal.close()
    whole = file.read_bytes()
    file.write_bytes(whole + whole[:50])
    again = Journal(file)
    world = World(CLOCK, 1, again)
    assert len(world.payments()) == 1
    opened(world, "pa_2")
    await again.close()
    third = Journal(file)
    assert len(World(CLOCK, 1, third).payments()) == 2
    await third.close()


async def test_journal_damaged_inside_is_refused_with_the_line(tmp_path: Path) -> None:
    file = tmp_path / "book.jsonl"
    file.write_text('{"channel": 1}\n')
    journal = Journal(file)
    with pytest.raises(Conflict, match=r"line 1 of book\.jsonl"):
        World(CLOCK, 1, journal)
    journal.abandon()


async def test_journal_that_cannot_write_never_lets_an_answer_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path / "book.jsonl")
    world = World(CLOCK, 1, journal)

    def full(content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(journal, "_write", full)
    opened(world)
    with pytest.raises(Unavailable, match="No space left"):
        await world.settled()
    monkeypatch.undo()
    with pytest.raises(Unavailable, match="No space left"):
        await world.settled()
    journal.abandon()
