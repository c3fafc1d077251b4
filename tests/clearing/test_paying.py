"""Payouts where the bank's answers are lost, wide, late, wrong or contradictory: only its own word moves money."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from tests.clearing.payout_world import IBANS, NAME, World, forget, http_bank, open_world

from tongbao.clearing.ports import Bank
from tongbao.clearing.schema.bank_messages import (
    Acknowledged,
    BankMessage,
    BankReport,
    BankTerms,
    Heard,
    Instruction,
    MessageState,
)
from tongbao.clearing.schema.batches import Batch
from tongbao.clearing.schema.payouts import DestinationState, PayoutState
from tongbao.clearing.service.sending import LEASE
from tongbao.clearing.store import bank_messages
from tongbao.core.clock import FrozenClock
from tongbao.core.db import Database
from tongbao.core.errors import Conflict, InvalidRequest, NotFound, NotPermitted
from tongbao.core.http import HttpClient
from tongbao.core.ids import IdFactory

MONDAY = datetime(2027, 3, 1, 9, tzinfo=UTC)
PAIN = "urn:iso:std:iso:20022:tech:xsd:pain.002.001.10"
CAMT = "urn:iso:std:iso:20022:tech:xsd:camt.054.001.08"


class ScriptedBank:
    """A bank that writes and reads as the configured one does; what it answers and says is the test's."""

    def __init__(self, inner: Bank) -> None:
        self._inner = inner
        self.answers: list[Acknowledged | BaseException] = []
        self.sent: list[tuple[str, bytes]] = []
        self.says: list[bytes] = []

    @property
    def terms(self) -> BankTerms:
        return self._inner.terms

    def prepare(self, message_id: str, made_at: datetime, instructions: Sequence[Instruction]) -> bytes:
        return self._inner.prepare(message_id, made_at, instructions)

    def part_id(self, message_id: str, execution_on: object) -> str:
        return self._inner.part_id(message_id, execution_on)  # type: ignore[arg-type]  # a date

    async def send(self, message_id: str, content: bytes) -> Acknowledged:
        self.sent.append((message_id, content))
        answer = self.answers.pop(0) if self.answers else Acknowledged.RECEIVED
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def collect(self) -> Sequence[Heard]:
        return [Heard("", each) for each in self.says]

    async def done(self, handles: Sequence[str]) -> None:
        assert not handles

    def read(self, content: bytes) -> BankReport:
        return self._inner.read(content)


class Scene(World):
    """A world with a scripted bank."""

    bank: ScriptedBank
    clock: FrozenClock

    async def message(self) -> BankMessage:
        """The only message that was made."""
        async with self.database.connection() as connection:
            [kept] = await bank_messages.of_bank(connection, NAME, "pain.001", 10)
        return kept

    async def status(self, batch: Batch, status: str, code: str = "") -> None:
        """Let the bank report on one payout."""
        payout = await self.payout(batch)
        self.bank.says.append(status_report(payout.message_id, status, code, payout.end_to_end))
        await self.run()


@pytest.fixture(params=[True], ids=["repeats refused"])
async def scene(database: Database, ids: IdFactory, request: pytest.FixtureRequest) -> AsyncIterator[Scene]:
    await forget(database)
    http = HttpClient()
    bank = ScriptedBank(http_bank("http://127.0.0.1:9/", "http://127.0.0.1:9/", http, repeats=request.param))
    async with open_world(database, FrozenClock(MONDAY), ids, bank) as world:
        world.__class__ = Scene
        assert isinstance(world, Scene)
        world.bank = bank
        yield world
    await http.close()


takes_repeats = pytest.mark.parametrize("scene", [False], indirect=True, ids=["repeats taken"])


def status_report(
    message_id: str, status: str, code: str = "", end_to_end: str = "", part: str = ""
) -> bytes:
    """A report on a message, a block or a transfer."""
    reason = f"<StsRsnInf><Rsn><Cd>{code}</Cd></Rsn></StsRsnInf>" if code else ""
    group, block, single = "", "", ""
    if end_to_end:
        single = f"<TxInfAndSts><OrgnlEndToEndId>{end_to_end}</OrgnlEndToEndId><TxSts>{status}</TxSts>{reason}</TxInfAndSts>"
    elif part:
        block = f"<PmtInfSts>{status}</PmtInfSts>{reason}"
    else:
        group = f"<GrpSts>{status}</GrpSts>{reason}"
    blocks = ""
    if part or single:
        blocks = f"<OrgnlPmtInfAndSts><OrgnlPmtInfId>{part or 'P'}</OrgnlPmtInfId>{block}{single}</OrgnlPmtInfAndSts>"
    return (
        f'<Document xmlns="{PAIN}"><CstmrPmtStsRpt><GrpHdr><MsgId>R</MsgId></GrpHdr><OrgnlGrpInfAndSts>'
        f"<OrgnlMsgId>{message_id}</OrgnlMsgId><OrgnlMsgNmId>pain.001.001.09</OrgnlMsgNmId>{group}</OrgnlGrpInfAndSts>"
        f"{blocks}</CstmrPmtStsRpt></Document>"
    ).encode()


def notification(end_to_end: str, amount: str, *, back: bool = False, currency: str = "EUR") -> bytes:
    """A notification of one booking; ``back``: the money came back."""
    side = "CRDT" if back else "DBIT"
    reason = "<RtrInf><Rsn><Cd>MS03</Cd></Rsn></RtrInf>" if back else ""
    return (
        f'<Document xmlns="{CAMT}"><BkToCstmrDbtCdtNtfctn><GrpHdr><MsgId>N</MsgId></GrpHdr><Ntfctn><Ntry>'
        f'<Amt Ccy="{currency}">{amount}</Amt><CdtDbtInd>{side}</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts><NtryDtls><TxDtls>'
        f'<Refs><EndToEndId>{end_to_end}</EndToEndId></Refs><Amt Ccy="{currency}">{amount}</Amt>{reason}</TxDtls></NtryDtls>'
        "</Ntry></Ntfctn></BkToCstmrDbtCdtNtfctn></Document>"
    ).encode()


async def test_send_lost_answer_leaves_unresolved_and_repeats_the_same_bytes_only(scene: Scene) -> None:
    scene.bank.answers = [Acknowledged.UNKNOWN, Acknowledged.NOT_SENT]
    batch = await scene.batch(await scene.merchant(), 900)
    await scene.run()
    assert await scene.states(batch) == ("unresolved", "approved")
    for _ in range(2):
        scene.clock.advance(timedelta(minutes=10))
        await scene.run()
    assert len(scene.bank.sent) == 3
    assert len(set(scene.bank.sent)) == 1
    assert (await scene.message()).state is MessageState.SENT
    # A refusal of the repeat says nothing of the payment itself.
    payout = await scene.payout(batch)
    scene.bank.says.append(status_report(payout.message_id, "RJCT", "DUPL"))
    await scene.run()
    assert await scene.states(batch) == ("unresolved", "approved")
    await scene.status(batch, "RJCT", "AM05")
    assert await scene.states(batch) == ("unresolved", "approved")
    scene.bank.says.append(notification(payout.end_to_end, "9.00"))
    await scene.run()
    assert await scene.states(batch) == ("paid", "paid")
    assert await scene.balances(batch.book_id) == {"house_receivable": -900}


@takes_repeats
async def test_send_lost_answer_at_a_bank_that_takes_repeats_is_never_sent_again(scene: Scene) -> None:
    scene.bank.answers = [Acknowledged.UNKNOWN]
    batch = await scene.batch(await scene.merchant(), 900)
    for _ in range(5):
        await scene.run()
        scene.clock.advance(timedelta(days=1))
    assert len(scene.bank.sent) == 1
    assert (await scene.message()).state is MessageState.UNKNOWN
    assert await scene.states(batch) == ("unresolved", "approved")
    payout = await scene.payout(batch)
    facts = [each for each in await scene.facts("clearing.payout_changed") if payout.end_to_end in each]
    assert any("without_end" in each for each in facts)
    assert await scene.balances(batch.book_id) == {"payout_clearing": 900}
    await scene.status(batch, "ACSC")
    assert await scene.states(batch) == ("paid", "paid")


class Killed(BaseException):
    """Ends a process while the bank is being called."""


@takes_repeats
async def test_send_killed_while_calling_is_unresolved_after_the_lease_and_not_repeated(scene: Scene) -> None:
    scene.bank.answers = [Killed()]
    batch = await scene.batch(await scene.merchant(), 70)
    with pytest.raises(Killed):
        await scene.run()
    await scene.paying.sending.dispatch()
    assert await scene.states(batch) == ("sent", "approved")
    scene.clock.advance(LEASE)
    await scene.run()
    assert await scene.states(batch) == ("unresolved", "approved")
    assert len(scene.bank.sent) == 1


@pytest.mark.parametrize("status", ["RCVD", "PDNG", "ACTC", "ACCP", "ACSP"])
async def test_report_that_is_no_end_leaves_the_money_on_its_way(scene: Scene, status: str) -> None:
    batch = await scene.batch(await scene.merchant(), 10)
    await scene.run()
    await scene.status(batch, status)
    assert await scene.states(batch) == ("accepted", "approved")
    await scene.status(batch, "RJCT", "AC01")
    assert await scene.states(batch) == ("rejected", "failed")
    assert await scene.balances(batch.book_id) == {"available": 10}


async def test_report_of_a_message_counts_for_those_that_it_does_not_name(scene: Scene) -> None:
    book, other = await scene.merchant(), await scene.merchant(IBANS[1])
    first, second = await scene.batch(book, 10), await scene.batch(other, 20)
    await scene.run()
    payout = await scene.payout(first)
    single = status_report(payout.message_id, "RJCT", "AC04", payout.end_to_end)
    scene.bank.says.append(
        single.replace(b"</OrgnlGrpInfAndSts>", b"<GrpSts>ACSC</GrpSts></OrgnlGrpInfAndSts>")
    )
    await scene.run()
    assert await scene.states(first) == ("rejected", "failed")
    assert await scene.states(second) == ("paid", "paid")


async def test_report_of_a_block_counts_for_its_day_only(scene: Scene) -> None:
    batch = await scene.batch(await scene.merchant(), 10)
    await scene.run()
    payout = await scene.payout(batch)
    scene.bank.says.append(
        status_report(payout.message_id, "RJCT", "AM04", part=f"{payout.message_id}-990101")
    )
    await scene.run()
    assert (await scene.states(batch))[0] == "sent"
    scene.bank.says.append(
        status_report(payout.message_id, "RJCT", "AM04", part=f"{payout.message_id}-270301")
    )
    await scene.run()
    assert await scene.states(batch) == ("rejected", "failed")


@pytest.mark.parametrize(("amount", "currency"), [("0.11", "EUR"), ("0.10", "USD")])
async def test_booking_of_another_amount_moves_nothing_and_raises_an_alarm(
    scene: Scene, amount: str, currency: str
) -> None:
    batch = await scene.batch(await scene.merchant(), 10)
    await scene.run()
    payout = await scene.payout(batch)
    scene.bank.says.append(notification(payout.end_to_end, amount, currency=currency))
    await scene.run()
    assert (await scene.states(batch))[0] == "sent"
    assert "amount_differs" in (await scene.facts("clearing.payout_changed"))[-1]


async def test_booking_after_a_rejection_moves_nothing_and_raises_an_alarm(scene: Scene) -> None:
    batch = await scene.batch(await scene.merchant(), 10)
    await scene.run()
    await scene.status(batch, "RJCT", "AC01")
    payout = await scene.payout(batch)
    scene.bank.says.append(notification(payout.end_to_end, "0.10"))
    await scene.run()
    assert await scene.states(batch) == ("rejected", "failed")
    assert "contradicted" in (await scene.facts("clearing.payout_changed"))[-1]
    assert await scene.balances(batch.book_id) == {"available": 10}


async def test_return_that_comes_before_its_booking_posts_both_and_gives_back_once(scene: Scene) -> None:
    batch = await scene.batch(await scene.merchant(), 10)
    await scene.run()
    payout = await scene.payout(batch)
    scene.bank.says.append(notification(payout.end_to_end, "0.10", back=True))
    await scene.run()
    assert await scene.states(batch) == ("returned", "failed")
    scene.bank.says.append(notification(payout.end_to_end, "0.10"))
    await scene.run()
    assert await scene.states(batch) == ("returned", "failed")
    assert await scene.balances(batch.book_id) == {"available": 10}


async def test_statement_that_comes_first_pays_and_reconciles_and_a_return_is_told_later(
    scene: Scene,
) -> None:
    batch = await scene.batch(await scene.merchant(), 10)
    await scene.run()
    payout = await scene.payout(batch)
    statement = notification(payout.end_to_end, "0.10").replace(b"camt.054", b"camt.053")
    scene.bank.says.append(statement)
    await scene.run()
    assert await scene.states(batch) == ("paid", "reconciled")
    assert (await scene.payout(batch)).due_at is None
    scene.bank.says.append(notification(payout.end_to_end, "0.10", back=True))
    await scene.run()
    assert await scene.states(batch) == ("returned", "failed")
    assert (await scene.payout(batch)).code == "MS03"
    assert await scene.balances(batch.book_id) == {"available": 10}


async def test_hear_the_same_message_again_and_an_unreadable_one_changes_nothing(scene: Scene) -> None:
    batch = await scene.batch(await scene.merchant(), 10)
    await scene.run()
    payout = await scene.payout(batch)
    paid = notification(payout.end_to_end, "0.10")
    assert [await scene.paying.answers.hear(NAME, each) for each in (paid, paid, b"<broken", b"<broken")] == [
        1,
        0,
        1,
        0,
    ]
    assert await scene.states(batch) == ("paid", "paid")
    [kept] = await scene.paying.answers.contents(NAME, "unreadable", 10)
    assert kept == ("unreadable", b"<broken")


async def test_hear_of_a_payout_of_another_bank_moves_nothing(scene: Scene) -> None:
    batch = await scene.batch(await scene.merchant(), 10)
    await scene.run()
    payout = await scene.payout(batch)
    async with scene.database.connection() as connection:
        await connection.execute("UPDATE clearing.payout SET bank = 'another' WHERE id = $1", payout.id)
    scene.bank.says.append(notification(payout.end_to_end, "0.10"))
    await scene.run()
    assert (await scene.states(batch))[0] == "sent"


async def test_create_without_an_account_in_use_waits_and_leaves_the_money(scene: Scene) -> None:
    book = await scene.merchant()
    [account] = await scene.destinations.page(book)
    await scene.destinations.pause(book, account.id, actor="person:owner", reason="looks wrong")
    batch = await scene.batch(book, 10)
    await scene.run()
    assert await scene.paying.of_batch(book, batch.id) == []
    assert await scene.balances(book) == {"available": 10}


async def test_create_with_too_little_available_waits(scene: Scene) -> None:
    book = await scene.merchant()
    first = await scene.batch(book, 10)
    async with scene.database.connection() as connection:
        await connection.execute(
            "UPDATE clearing.batch SET body = jsonb_set(body, '{paid_minor}', '11') WHERE id = $1", first.id
        )
    assert await scene.paying.create() == 0
    assert await scene.balances(book) == {"available": 10}


async def test_send_goes_to_the_account_in_use_when_the_message_is_made(scene: Scene) -> None:
    book = await scene.merchant()
    batch = await scene.batch(book, 10)
    await scene.paying.create()
    newer = await scene.use(book, IBANS[1])
    await scene.run()
    payout = await scene.payout(batch)
    assert payout.destination_id == newer.id
    [(_, content)] = scene.bank.sent
    assert IBANS[1].encode() in content
    states = [each.state for each in await scene.destinations.page(book)]
    assert states == [DestinationState.ACTIVE, DestinationState.RETIRED]


async def test_cancel_before_sending_gives_back_and_after_it_is_refused(scene: Scene) -> None:
    book = await scene.merchant()
    batch = await scene.batch(book, 10)
    await scene.paying.create()
    payout = await scene.payout(batch)
    with pytest.raises(InvalidRequest):
        await scene.paying.cancel(book, payout.id, actor="person:a", note=" ")
    done = await scene.paying.cancel(book, payout.id, actor="person:a", note="wrong month")
    assert (done.state.value, done.message) == ("canceled", "wrong month")
    assert await scene.balances(book) == {"available": 10}
    standing = await scene.clearing.settling.get(book, batch.id)
    assert (standing.state.value, standing.history[-1].actor) == ("failed", "person:a")
    await scene.clearing.settling.approve(book, batch.id, actor="person:c")
    await scene.run()
    again = await scene.payout(batch)
    assert again.id != payout.id
    with pytest.raises(Conflict):
        await scene.paying.cancel(book, again.id, actor="person:a", note="too late")
    with pytest.raises(NotFound):
        await scene.paying.get(book + 1, again.id)
    assert [each.id for each in await scene.paying.page(book)] == sorted([payout.id, again.id], reverse=True)


async def test_create_before_its_day_has_come_waits(scene: Scene) -> None:
    later = (MONDAY + timedelta(days=3)).date()
    batch = await scene.batch(await scene.merchant(), 10, on=later)
    await scene.run()
    assert await scene.paying.of_batch(batch.book_id, batch.id) == []
    scene.clock.advance(timedelta(days=3))
    await scene.run()
    assert (await scene.states(batch))[0] == "sent"


async def test_hear_of_a_payout_that_cannot_be_moved_is_tried_again_and_holds_up_no_other(
    scene: Scene,
) -> None:
    first = await scene.batch(await scene.merchant(), 10)
    second = await scene.batch(await scene.merchant(IBANS[1]), 20)
    await scene.run()
    await set_state(scene, first, "cut")
    message_id = (await scene.payout(first)).message_id
    scene.bank.says.append(status_report(message_id, "ACSC"))
    await scene.run()
    assert await scene.states(first) == ("sent", "cut")
    assert await scene.states(second) == ("paid", "paid")
    await set_state(scene, first, "approved")
    await scene.run()
    assert await scene.states(first) == ("paid", "paid")
    assert await scene.balances(second.book_id) == {"house_receivable": -20}


async def set_state(scene: Scene, batch: Batch, state: str) -> None:
    async with scene.database.connection() as connection:
        await connection.execute(
            "UPDATE clearing.batch SET state = $2, body = jsonb_set(body, '{state}', to_jsonb($2::text)) WHERE id = $1",
            batch.id,
            state,
        )


async def test_step_leaves_the_bank_alone_between_two_collections(scene: Scene) -> None:
    patient = World(scene.database, scene.ledger, scene.clock, scene.ids, scene.bank, timedelta(minutes=1))
    batch = await scene.batch(await scene.merchant(), 10)
    await patient.paying.step()
    payout = await scene.payout(batch)
    scene.bank.says.append(notification(payout.end_to_end, "0.10"))
    scene.clock.advance(timedelta(seconds=59))
    assert await patient.paying.step() == 0
    scene.clock.advance(timedelta(seconds=1))
    assert await patient.paying.step() == 1
    assert await scene.states(batch) == ("paid", "paid")


@takes_repeats
async def test_resolve_by_two_people_ends_what_the_bank_is_silent_on(scene: Scene) -> None:
    scene.bank.answers = [Acknowledged.UNKNOWN]
    book = await scene.merchant()
    batch = await scene.batch(book, 10)
    await scene.run()
    payout = await scene.payout(batch)
    resolve = scene.paying.resolve
    with pytest.raises(InvalidRequest):
        await resolve(book, payout.id, PayoutState.RETURNED, actor="person:a", note="phone")
    said = await resolve(book, payout.id, PayoutState.PAID, actor="person:a", note="phone")
    assert (said.state, said.resolving and said.resolving.actor) == (PayoutState.UNRESOLVED, "person:a")
    with pytest.raises(NotPermitted):
        await resolve(book, payout.id, PayoutState.PAID, actor="person:a", note="phone again")
    # Somebody who says otherwise begins anew.
    await resolve(book, payout.id, PayoutState.REJECTED, actor="person:b", note="letter of the bank")
    assert await scene.balances(book) == {"payout_clearing": 10}
    done = await resolve(book, payout.id, PayoutState.REJECTED, actor="person:a", note="seen the letter")
    assert (done.state, await scene.balances(book)) == (PayoutState.REJECTED, {"available": 10})
    [account] = await scene.destinations.page(book)
    assert account.state is DestinationState.ACTIVE
    with pytest.raises(Conflict):
        await resolve(book, payout.id, PayoutState.PAID, actor="person:b", note="late")
    scene.bank.says.append(notification(payout.end_to_end, "0.10"))
    await scene.run()
    assert "contradicted" in (await scene.facts("clearing.payout_changed"))[-1]
