"""``/v2/payouts``: accounts that two people open, money on its way over a bank's folders, and what banks say of it."""

import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from tests.web.clearing_calls import agree, book, clerk, settled
from tests.web.risk_calls import member
from tests.web.v2_house import Json, Tenant
from tests.web.whole_house import Whole, open_whole, refusal, told

from tongbao.channels.schema import Mode
from tongbao.channels.service.banks import BankSettings, BankSpec, FolderWay, OwnAccount
from tongbao.core.db import Database
from tongbao.parties.schema import OperatorRole

PAYOUTS = "/v2/payouts"
ACCOUNTS = "/v2/payouts/accounts"
IBAN = "NL84MOCK0000000003"
NO_PAYOUT = "po_00000000000000000000000000"
STATUS = """<?xml version="1.0" encoding="UTF-8"?>
<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.002.001.10"><CstmrPmtStsRpt>
<GrpHdr><MsgId>ANSWER-{end_to_end}</MsgId><CreDtTm>2026-01-01T00:00:00</CreDtTm></GrpHdr>
<OrgnlGrpInfAndSts><OrgnlMsgId>{message}</OrgnlMsgId><OrgnlMsgNmId>pain.001.001.09</OrgnlMsgNmId></OrgnlGrpInfAndSts>
<OrgnlPmtInfAndSts><OrgnlPmtInfId>{part}</OrgnlPmtInfId><TxInfAndSts><OrgnlEndToEndId>{end_to_end}</OrgnlEndToEndId>
<TxSts>{status}</TxSts>{reason}</TxInfAndSts></OrgnlPmtInfAndSts></CstmrPmtStsRpt></Document>
"""


class Gateway:
    """The two folders of a bank, and somebody who answers for it."""

    def __init__(self, home: Path) -> None:
        self.out, self.into = home / "out", home / "into"
        for folder in (self.out, self.into):
            folder.mkdir(parents=True)

    def spec(self) -> BankSpec:
        """The bank as it is configured."""
        accounts = {"EUR": OwnAccount(number="NL41MOCK0000000001")}
        folder = FolderWay(out=str(self.out), into=str(self.into))
        return BankSpec(
            name="bank",
            mode=Mode.TEST,
            settings=BankSettings(holder="House", accounts=accounts, folder=folder),
        )

    def answer(self, end_to_end: str, status: str, code: str = "") -> None:
        """Say what became of a payout."""
        for path in self.out.glob("*.xml"):
            tree = ET.parse(path)
            for part in tree.iterfind(".//{*}PmtInf"):
                found = [each.text for each in part.iterfind(".//{*}EndToEndId")]
                if end_to_end not in found:
                    continue
                reason = f"<StsRsnInf><Rsn><Cd>{code}</Cd></Rsn></StsRsnInf>" if code else ""
                text = STATUS.format(
                    end_to_end=end_to_end,
                    message=tree.findtext(".//{*}GrpHdr/{*}MsgId"),
                    part=part.findtext("{*}PmtInfId"),
                    status=status,
                    reason=reason,
                )
                (self.into / f"{end_to_end}-{status}.xml").write_text(text)
                return
        raise AssertionError(f"{end_to_end} never came to the bank")


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Gateway:
    return Gateway(tmp_path_factory.mktemp("bank"))


@pytest.fixture(scope="module")
async def whole(
    database: Database, dsn: str, tmp_path_factory: pytest.TempPathFactory, gateway: Gateway
) -> AsyncIterator[Whole]:
    home = tmp_path_factory.mktemp("house")
    async with open_whole(database, dsn, home, banks=[gateway.spec()]) as opened:
        yield opened


@pytest.fixture
async def tenant(whole: Whole) -> Tenant:
    return await whole.tenant()


def account(number: str = IBAN) -> Json:
    """An account as it is proposed."""
    return {"currency": "EUR", "holder": "Tea House", "scheme": "iban", "number": number}


async def usable(whole: Whole, tenant: Tenant) -> Json:
    """An account that two people opened and that has cooled down."""
    async with member(whole, tenant) as mei, member(whole, tenant) as chen:
        made = told(await mei.post(ACCOUNTS, json=account()), 201)
        told(await chen.post(f"{ACCOUNTS}/{made['id']}/confirm", json={"version": made["version"]}))
    whole.clock.advance(timedelta(hours=24, seconds=1))
    await whole.house.clearing.destinations.step()
    found = (await whole.get(tenant, f"{ACCOUNTS}/{made['id']}"))["of"]
    assert found["state"] == "active"
    return dict(found)


async def stepped(whole: Whole) -> None:
    """Pay out and hear the bank until nothing is to be done."""
    for _ in range(20):
        if not await whole.house.clearing.paying.step():
            return
    raise AssertionError("paying never came to its end")


async def sent(whole: Whole, tenant: Tenant) -> Json:
    """A payout on its way, of a batch of one sale."""
    await usable(whole, tenant)
    await agree(whole, tenant, "EUR")
    await whole.pay(tenant, 10_000, "eur")
    await settled(whole, tenant)
    await stepped(whole)
    (payout,) = (await whole.get(tenant, PAYOUTS))["data"]
    return dict(payout)


async def test_account_takes_two_people_and_a_day(whole: Whole, tenant: Tenant) -> None:
    assert await whole.refused(tenant, "POST", ACCOUNTS, account()) == (403, "person_required")
    async with member(whole, tenant) as mei, member(whole, tenant) as chen:
        made = told(await mei.post(ACCOUNTS, json=account()), 201)
        assert (made["state"], made["last4"], made["scheme"]) == ("proposed", "0003", "iban")
        assert IBAN not in str(made)
        path = f"{ACCOUNTS}/{made['id']}"
        own = await mei.post(f"{path}/confirm", json={"version": made["version"]})
        assert refusal(own) == (403, "confirmation_by_proposer")
        key = await whole.refused(tenant, "POST", f"{path}/confirm", {"version": made["version"]})
        assert key == (403, "person_required")
        stale = await chen.post(f"{path}/confirm", json={"version": made["version"] + 1})
        assert refusal(stale) == (409, "destination_changed")
        cooling = told(await chen.post(f"{path}/confirm", json={"version": made["version"]}))
        assert (cooling["state"], bool(cooling["usable_at"])) == ("cooling", True)
        paused = told(await mei.post(f"{path}/pause", json={"reason": "not ours"}))
        assert (paused["state"], paused["paused_reason"]) == ("paused", "not ours")
        mended = told(await mei.post(f"{path}/mend", json={"note": "it is ours"}))
        assert mended["state"] == "proposed"
        retired = told(await mei.post(f"{path}/retire", json={"note": "another bank"}))
        assert retired["state"] == "retired"
    history = (await whole.get(tenant, path))["history"]
    assert [each["state"] for each in history] == ["proposed", "cooling", "paused", "proposed", "retired"]
    assert all(each["actor"].startswith("person:") for each in history)


async def test_account_of_another_merchant_is_unknown(whole: Whole, tenant: Tenant) -> None:
    async with member(whole, tenant) as mei:
        made = told(await mei.post(ACCOUNTS, json=account()), 201)
    other = await whole.tenant()
    path = f"{ACCOUNTS}/{made['id']}"
    assert await whole.refused(other, "GET", path) == (404, "destination_unknown")
    assert not (await whole.get(other, ACCOUNTS))["data"]
    pause = await whole.refused(other, "POST", f"{path}/pause", {"reason": "x"})
    assert pause == (404, "destination_unknown")


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        ({"number": "NL84MOCK0000000004"}, "iban_invalid"),
        (
            {"scheme": "local", "number": "6222", "agent_code": "102100099997", "country": "CN"},
            "agent_code_invalid",
        ),
        ({"holder": "x"}, "holder_invalid"),
        ({"currency": "XXQ"}, "currency_unknown"),
    ],
)
async def test_account_that_cannot_exist_is_refused(
    whole: Whole, tenant: Tenant, bad: Json, code: str
) -> None:
    async with member(whole, tenant) as mei:
        answer = await mei.post(ACCOUNTS, json=account() | bad)
        assert refusal(answer) == (400, code)
        assert "MOCK" not in answer.text


async def test_approved_batch_is_paid_to_the_account(whole: Whole, tenant: Tenant, gateway: Gateway) -> None:
    payout = await sent(whole, tenant)
    assert (payout["state"], payout["currency"], payout["bank"]) == ("sent", "EUR", "bank")
    batch = await whole.get(tenant, f"/v2/settlements/batches/{payout['batch']}")
    assert batch["waterfall"]["paid_minor"] == payout["amount_minor"]
    of_batch = await whole.get(tenant, f"/v2/settlements/batches/{payout['batch']}/payouts")
    assert of_batch["data"] == [payout]
    gateway.answer(payout["end_to_end"], "ACSC")
    await stepped(whole)
    paid = await whole.get(tenant, f"{PAYOUTS}/{payout['id']}")
    assert (paid["state"], bool(paid["ended_at"])) == ("paid", True)
    batch = await whole.get(tenant, f"/v2/settlements/batches/{payout['batch']}")
    assert (batch["state"], batch["payout"]) == ("paid", payout["id"])
    async with clerk(whole) as mei:
        path = f"/v2/operations/payouts/{book(tenant)}"
        assert told(await mei.get(path))["data"] == [paid]
        assert told(await mei.get(f"{path}/{payout['id']}")) == paid
        late = await mei.post(f"{path}/{payout['id']}/cancel", json={"note": "too late"})
        assert refusal(late) == (409, "payout_state")


async def test_rejected_payout_comes_back_and_pauses_its_account(
    whole: Whole, tenant: Tenant, gateway: Gateway
) -> None:
    payout = await sent(whole, tenant)
    gateway.answer(payout["end_to_end"], "RJCT", "AC04")
    await stepped(whole)
    rejected = await whole.get(tenant, f"{PAYOUTS}/{payout['id']}")
    assert (rejected["state"], rejected["code"]) == ("rejected", "AC04")
    batch = await whole.get(tenant, f"/v2/settlements/batches/{payout['batch']}")
    assert batch["state"] == "failed"
    file = await whole.get(tenant, f"{ACCOUNTS}/{payout['account']}")
    assert file["of"]["state"] == "paused"
    assert file["history"][-1]["actor"] == "automatic"


async def test_payout_of_another_merchant_is_unknown(whole: Whole, tenant: Tenant) -> None:
    payout = await sent(whole, tenant)
    other = await whole.tenant()
    assert await whole.refused(other, "GET", f"{PAYOUTS}/{payout['id']}") == (404, "payout_unknown")
    assert await whole.refused(tenant, "GET", f"{PAYOUTS}/{NO_PAYOUT}") == (404, "payout_unknown")
    assert not (await whole.get(tenant, PAYOUTS, state="paid"))["data"]


async def test_payout_that_is_not_unresolved_is_not_resolved(whole: Whole, tenant: Tenant) -> None:
    payout = await sent(whole, tenant)
    cases: list[tuple[Json, int, str]] = [
        ({"state": "paid", "note": "their desk said so"}, 409, "payout_state"),
        ({"state": "returned", "note": "why"}, 400, "request_invalid"),
        ({"state": "paid"}, 400, "request_invalid"),
        ({"state": "paid", "note": ""}, 400, "request_invalid"),
        ({"state": "paid", "note": "  "}, 400, "note_missing"),
        ({"state": "paid", "note": "x" * 501}, 400, "request_invalid"),
        ({"state": "paid", "note": "why", "amount_minor": 1}, 400, "request_invalid"),
    ]
    async with clerk(whole) as mei:
        path = f"/v2/operations/payouts/{book(tenant)}/{payout['id']}/resolve"
        for body, status, code in cases:
            assert refusal(await mei.post(path, json=body)) == (status, code), body


async def test_payout_is_resolved_only_by_those_who_may(whole: Whole, tenant: Tenant) -> None:
    payout = await sent(whole, tenant)
    other = await whole.tenant()
    body = {"state": "paid", "note": "their desk said so"}
    base = "/v2/operations/payouts"
    path = f"{base}/{book(tenant)}/{payout['id']}/resolve"
    assert (await whole.refused(tenant, "POST", path, body))[0] == 401
    async with whole.operator(OperatorRole.AUDITOR) as auditor:
        assert (await auditor.post(path, json=body)).status_code == 403
    async with clerk(whole) as mei:
        live = await mei.post(path, json=body, headers={"Tongbao-Mode": "live"})
        assert refusal(live) == (404, "payout_unknown")
        for wrong, code in (
            (f"{base}/{book(other)}/{payout['id']}/resolve", "payout_unknown"),
            (f"{base}/{book(tenant)}/{NO_PAYOUT}/resolve", "payout_unknown"),
            (f"{base}/x/{payout['id']}/resolve", "resource_missing"),
            (f"{base}/{book(tenant)}/x/resolve", "resource_missing"),
        ):
            assert refusal(await mei.post(wrong, json=body)) == (404, code)
