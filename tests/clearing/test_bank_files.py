"""What a bank says, by its own way and by a person's hand: payouts and reconciliation hear it once, whichever comes first."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.clearing.payout_world import NAME, World, folder_bank, forget, open_world

from tongbao.clearing.schema.bank_messages import MessageState
from tongbao.clearing.schema.batches import Batch
from tongbao.clearing.schema.lines import FileState, Format, Side
from tongbao.clearing.schema.payouts import DestinationState
from tongbao.clearing.store import bank_messages
from tongbao.core.clock import FrozenClock
from tongbao.core.db import Database
from tongbao.core.errors import InvalidRequest
from tongbao.core.http import HttpClient
from tongbao.core.ids import IdFactory
from tongbao.ledger.schema import AccountState, BookId
from tongbao.simulator.sandbox import settlement_files as written
from tongbao.simulator.sandbox.settlement_files import Row, Statement

MONDAY = datetime(2027, 3, 1, 9, tzinfo=UTC)


@pytest.fixture
async def world(database: Database, ids: IdFactory, tmp_path: Path) -> AsyncIterator[World]:
    for name in ("out", "into"):
        (tmp_path / name).mkdir()
    await forget(database)
    http = HttpClient()
    adapter = folder_bank(str(tmp_path / "out"), str(tmp_path / "into"), http)
    async with open_world(database, FrozenClock(MONDAY), ids, adapter) as found:
        await found.agree()
        yield found
    await http.close()


async def sent(world: World, amount_minor: int = 4_200) -> Batch:
    """A batch whose payout lies in the bank's folder."""
    batch = await world.batch(await world.merchant(), amount_minor)
    await world.run()
    assert await world.states(batch) == ("sent", "approved")
    return batch


async def camt(world: World, *batches: Batch, kind: str = "payout", message: str = "camt.053") -> bytes:
    """A message of the bank that shows the payouts of batches as booked, or as back."""
    rows = []
    for batch in batches:
        payout = await world.payout(batch)
        rows.append(
            Row(
                reference=payout.end_to_end,
                channel_reference=f"{kind[0]}{payout.end_to_end[-20:]}",
                kind=kind,
                amount_minor=-payout.amount_minor if kind == "payout" else payout.amount_minor,
                currency="EUR",
                at=MONDAY,
            )
        )
    number = {"payout": 1, "return": 2}[kind]
    opening = -sum(row.amount_minor for row in rows) if kind == "return" else 0
    told = Statement(
        account="ACME",
        on=MONDAY.date() + timedelta(days=number - 1),
        number=number,
        currency="EUR",
        message=message,
        opening_minor=opening,
    )
    return written.camt(rows, told)


async def pacs(world: World, batch: Batch, *, amount: str = "42.00", reason: str = "AC04") -> bytes:
    """A pacs.004 that brings the payout of a batch back."""
    payout = await world.payout(batch)
    return (
        '<?xml version="1.0"?><Document xmlns="urn:iso:std:iso:20022:tech:xsd:pacs.004.001.09"><PmtRtr><GrpHdr><MsgId>R1</MsgId>'
        "</GrpHdr><OrgnlGrpInf><OrgnlMsgId>X</OrgnlMsgId></OrgnlGrpInf><TxInf><RtrId>RT1</RtrId>"
        f"<OrgnlEndToEndId>{payout.end_to_end}</OrgnlEndToEndId>"
        f'<RtrdIntrBkSttlmAmt Ccy="EUR">{amount}</RtrdIntrBkSttlmAmt><IntrBkSttlmDt>2027-03-03</IntrBkSttlmDt>'
        f"<RtrRsnInf><Rsn><Cd>{reason}</Cd></Rsn><AddtlInf>closed</AddtlInf></RtrRsnInf></TxInf></PmtRtr></Document>"
    ).encode()


async def account_state(world: World, batch: Batch) -> DestinationState:
    """Where the account of a batch's merchant is."""
    [account] = await world.destinations.page(batch.book_id)
    return account.state


async def messages(world: World) -> list[MessageState]:
    """What became of everything that the bank said."""
    async with world.database.connection() as connection:
        found = await bank_messages.of_bank(connection, NAME, None, 100)
    return [each.state for each in found if not each.is_outgoing]


async def test_statement_taken_in_by_hand_pays_and_reconciles_as_from_the_bank(
    world: World, tmp_path: Path
) -> None:
    batch = await sent(world)
    content = await camt(world, batch)
    taken = await world.take(content, tmp_path)
    assert (taken.file.state, taken.file.line_count) == (FileState.READ, 1)
    assert await world.states(batch) == ("paid", "reconciled")
    assert await world.balances(batch.book_id) == {"house_receivable": -4_200}
    # The bank brings the same bytes: nothing moves, and the file is the one that came.
    (tmp_path / "into" / "a.xml").write_bytes(content)
    await world.run()
    assert await world.balances(batch.book_id) == {"house_receivable": -4_200}
    assert await messages(world) == [MessageState.READ]
    assert not list((tmp_path / "into").glob("*.xml"))
    run = await world.reconciling.run(NAME, MONDAY.date(), "person:a")
    assert (run.matched_count, run.break_count) == (1, 0)


async def test_statement_that_the_bank_brings_is_taken_in_and_by_hand_again_is_a_repeat(
    world: World, tmp_path: Path
) -> None:
    batch = await sent(world)
    content = await camt(world, batch)
    (tmp_path / "into" / "a.xml").write_bytes(content)
    await world.run()
    assert await world.states(batch) == ("paid", "reconciled")
    [file] = await world.intake.page(NAME)
    assert (file.state, file.line_count, file.received_by) == (FileState.READ, 1, "job:bank")
    assert (await world.take(content, tmp_path)).is_repeat
    assert await messages(world) == [MessageState.READ]
    assert await world.balances(batch.book_id) == {"house_receivable": -4_200}


async def test_notification_taken_in_by_hand_pays_and_is_no_statement(world: World, tmp_path: Path) -> None:
    batch = await sent(world)
    taken = await world.take(await camt(world, batch, message="camt.054"), tmp_path)
    assert (taken.file.header.format, taken.file.line_count) == (Format.NOTICE, 0)
    assert await world.states(batch) == ("paid", "paid")
    await world.take(await camt(world, batch), tmp_path)
    assert await world.states(batch) == ("paid", "reconciled")
    run = await world.reconciling.run(NAME, MONDAY.date(), "person:a")
    assert (run.reported_count, run.matched_count, run.break_count) == (1, 1, 0)


@pytest.mark.parametrize("way", ["pacs by hand", "pacs by the bank", "camt by hand"])
async def test_return_gives_the_money_back_once_and_pauses_the_account(
    world: World, tmp_path: Path, way: str
) -> None:
    batch = await sent(world)
    before = await world.bank_minor()
    await world.take(await camt(world, batch), tmp_path)
    back = await camt(world, batch, kind="return") if "camt" in way else await pacs(world, batch)
    if "hand" in way:
        await world.take(back, tmp_path)
    else:
        (tmp_path / "into" / "r.xml").write_bytes(back)
        await world.run()
    assert await world.states(batch) == ("returned", "failed")
    assert await world.balances(batch.book_id) == {"available": 4_200}
    assert await account_state(world, batch) is DestinationState.PAUSED
    assert ((await world.payout(batch)).code, await world.bank_minor()) == ("AC04", before)
    # The statement shows it as well, and nothing moves twice.
    await world.take(await camt(world, batch, kind="return"), tmp_path)
    await world.run()
    assert await world.balances(batch.book_id) == {"available": 4_200}
    run = await world.reconciling.run(NAME, MONDAY.date() + timedelta(days=2), "person:a")
    assert (run.matched_count, run.break_count) == (2, 0)


async def test_return_of_another_amount_moves_nothing_and_is_told_of(world: World, tmp_path: Path) -> None:
    batch = await sent(world)
    await world.take(await camt(world, batch), tmp_path)
    await world.take(await pacs(world, batch, amount="40.00"), tmp_path)
    assert await world.states(batch) == ("paid", "reconciled")
    payout = await world.payout(batch)
    facts = [each for each in await world.facts("clearing.payout_changed") if payout.end_to_end in each]
    assert "amount_differs" in facts[-1]


async def test_what_cannot_be_applied_now_is_kept_and_applied_later(world: World, tmp_path: Path) -> None:
    batch = await sent(world)
    books = world.ledger.accounts
    account = await books.account_by_code(BookId(batch.book_id), "house_receivable", "EUR")
    place = BookId(batch.book_id), account.account_id
    await books.change_account(*place, actor="test", reason="test", state=AccountState.FROZEN)
    taken = await world.take(await camt(world, batch), tmp_path)
    assert taken.file.state is FileState.READ
    assert (await world.states(batch), await messages(world)) == (("sent", "approved"), [MessageState.READY])
    await books.change_account(*place, actor="test", reason="test", state=AccountState.OPEN)
    world.clock.advance(timedelta(minutes=2))  # type: ignore[attr-defined]
    await world.run()
    assert await world.states(batch) == ("paid", "reconciled")
    assert await messages(world) == [MessageState.READ]


async def test_statement_of_a_channels_account_pays_nothing(world: World, tmp_path: Path) -> None:
    batch = await sent(world)
    terms = await world.agree(source="channel_account", side=Side.CHANNEL)
    path = tmp_path / "file"
    path.write_bytes(await camt(world, batch))
    taken = await world.intake.take(path, terms, "person:a")
    [kept] = await world.intake.lines(taken.file.id)
    assert (kept.line.kind.value, await world.states(batch)) == ("refund", ("sent", "approved"))
    assert await messages(world) == []


async def test_file_that_nobody_can_read_moves_nothing(world: World, tmp_path: Path) -> None:
    batch = await sent(world)
    with pytest.raises(InvalidRequest, match="file_unreadable"):
        await world.take((await pacs(world, batch))[:-30], tmp_path)
    cut = (await camt(world, batch))[:-40]
    taken = await world.take(cut, tmp_path)
    assert "file_truncated" in taken.file.problems
    assert (await world.states(batch), await messages(world)) == (("sent", "approved"), [])
