"""The ceremonies of passkeys against an authenticator in software: what counts, and every way in which one does not."""

import asyncio
import hashlib
import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.parties.authenticator import PRESENT, Authenticator, decoded, encoded
from tests.parties.conftest import NOON, Town

from tongbao.core.errors import AppError
from tongbao.parties.adapters import passkey_webauthn as adapter
from tongbao.parties.schema import (
    CustomerDraft,
    CustomerId,
    Holder,
    HolderKind,
    Passkey,
    PasskeyVerdict,
    RelyingParty,
)
from tongbao.parties.service.passkey_ceremonies import PasskeyCeremonies, Payer, Proof

SECRET = bytes(range(32))
PARTY = RelyingParty("localhost", "http://localhost:8000", "Tongbao")
V = PasskeyVerdict


@dataclass
class Desk:
    """One customer with a phone, before a payment."""

    town: Town
    ceremonies: PasskeyCeremonies
    phone: Authenticator
    payer: Payer

    def proof(self, amount: str = "1700") -> Proof:
        """A new proof; its digest tells what is paid."""
        return Proof(self.town.ids.uuid(), hashlib.sha256(amount.encode()).digest())

    def later(self) -> None:
        """Let the next payment begin a minute from now."""
        self.town.clock.advance(timedelta(minutes=1))
        self.payer = self.payer._replace(since=self.town.clock.now())

    async def offer(self, proof: Proof) -> str:
        """What the browser is asked to save."""
        options = await self.ceremonies.offer(self.payer, proof, "m***@example.com", "Tea House")
        assert options is not None
        return options

    async def save(self, proof: Proof, answer: bytes) -> PasskeyVerdict:
        """Save an answer right after its proof."""
        return await self.ceremonies.save(self.payer, proof, self.town.clock.now(), answer)

    async def saved(self, *, step: int = 0) -> None:
        """Save a passkey before the next payment begins."""
        proof = self.proof()
        assert await self.save(proof, self.phone.create(await self.offer(proof), step=step)) is V.GOOD
        self.later()

    async def question(self, proof: Proof) -> str:
        """What the browser is asked to prove."""
        options = await self.ceremonies.question(self.payer, proof)
        assert options is not None
        return options

    async def prove(self, proof: Proof, answer: bytes) -> PasskeyVerdict:
        """Judge an answer; a look at it before says the same."""
        looked = await self.ceremonies.judge(self.payer, proof, answer)
        assert await self.ceremonies.prove(self.payer, proof, answer) is looked
        return looked


async def customer(town: Town, payer: Payer | None = None) -> Payer:
    scope = payer.scope if payer else await town.scope()
    async with town.database.transaction() as connection:
        made = await town.parties.customers.create(connection, scope, CustomerDraft(name="Mei"))
    return Payer(scope, made.customer_id, town.clock.now())


@pytest.fixture
async def desk(town: Town) -> Desk:
    ceremonies = PasskeyCeremonies(town.database, town.clock, PARTY, secret=SECRET)
    return Desk(town, ceremonies, Authenticator(town.ids, PARTY.origin), await customer(town))


async def test_passkey_saved_after_one_proof_proves_the_next_payment(desk: Desk) -> None:
    await desk.saved()
    proof = desk.proof()
    asked = json.loads(await desk.question(proof))
    assert asked["userVerification"] == "required"
    assert asked["rpId"] == "localhost"
    assert [each["id"] for each in asked["allowCredentials"]] == [encoded(desk.phone.credentials[0].id)]
    assert await desk.prove(proof, desk.phone.get(json.dumps(asked))) is V.GOOD
    [kept] = await desk.town.parties.customer_passkeys.list(desk.payer.scope, desk.payer.customer_id)
    assert (kept.last_used_at, kept.label) == (desk.town.clock.now(), "single_device")
    assert kept.transports == ("internal", "hybrid")


async def test_browser_is_asked_for_a_verified_passkey_of_this_device_that_names_nobody(desk: Desk) -> None:
    await desk.saved()
    asked = json.loads(await desk.offer(desk.proof()))
    assert asked["authenticatorSelection"] == {
        "authenticatorAttachment": "platform",
        "residentKey": "required",
        "requireResidentKey": True,
        "userVerification": "required",
    }
    assert asked["attestation"] == "none"
    assert asked["rp"] == {"id": "localhost", "name": "Tongbao"}
    assert (asked["user"]["name"], asked["user"]["displayName"]) == ("m***@example.com", "Tea House")
    assert len(decoded(asked["user"]["id"])) == 32
    assert desk.payer.customer_id.bytes not in decoded(asked["user"]["id"])
    assert [each["id"] for each in asked["excludeCredentials"]] == [encoded(desk.phone.credentials[0].id)]


async def test_passkey_registered_once_the_payment_began_does_not_count(desk: Desk) -> None:
    await desk.saved()
    desk.payer = desk.payer._replace(since=desk.payer.since - timedelta(minutes=1))
    proof = desk.proof()
    assert await desk.ceremonies.question(desk.payer, proof) is None
    options = json.dumps({"rpId": "localhost", "challenge": encoded(b"x" * 32)})
    assert await desk.prove(proof, desk.phone.get(options)) is V.UNKNOWN


async def test_answer_for_another_amount_or_payment_or_time_is_refused(desk: Desk) -> None:
    await desk.saved()
    proof = desk.proof("1700")
    answer = desk.phone.get(await desk.question(proof))
    dearer = Proof(proof.id, desk.proof("170000").digest)
    assert await desk.prove(dearer, answer) is V.STALE
    assert await desk.prove(Proof(desk.town.ids.uuid(), proof.digest), answer) is V.STALE
    assert await desk.prove(proof, answer) is V.GOOD


@pytest.mark.parametrize(
    ("cheat", "verdict"),
    [
        ({"origin": "https://evil.test"}, V.FOREIGN),
        ({"origin": "http://localhost:8001"}, V.FOREIGN),
        ({"rp_id": "evil.test"}, V.FOREIGN),
        ({"cross_origin": True}, V.FOREIGN),
        ({"flags": PRESENT}, V.UNVERIFIED),
        ({"flags": 0}, V.UNVERIFIED),
    ],
)
async def test_answer_of_a_wrong_site_or_without_verification_is_refused(
    desk: Desk, cheat: dict[str, Any], verdict: PasskeyVerdict
) -> None:
    await desk.saved()
    for name, value in cheat.items():
        setattr(desk.phone, name, value)
    proof = desk.proof()
    assert await desk.prove(proof, desk.phone.get(await desk.question(proof))) is verdict
    assert await desk.save(proof, desk.phone.create(await desk.offer(proof))) is verdict
    assert len(await desk.ceremonies.counting(desk.payer)) == 1


async def test_forged_signature_is_refused(desk: Desk) -> None:
    await desk.saved()
    proof = desk.proof()
    forged = desk.phone.get(await desk.question(proof), key=ec.generate_private_key(ec.SECP256R1()))
    assert await desk.prove(proof, forged) is V.FORGED
    told = json.loads(desk.phone.get(await desk.question(proof)))
    signature = bytearray(decoded(told["response"]["signature"]))
    signature[-1] ^= 1
    told["response"]["signature"] = encoded(bytes(signature))
    assert await desk.prove(proof, json.dumps(told).encode()) is V.FORGED


async def test_passkey_of_somebody_else_is_unknown(desk: Desk, town: Town) -> None:
    await desk.saved()
    mine = desk.phone.credentials[0]
    desk.payer = await customer(town, desk.payer)
    await desk.saved()
    proof = desk.proof()
    assert await desk.prove(proof, desk.phone.get(await desk.question(proof), mine)) is V.UNKNOWN
    theirs = desk.phone.credentials[1]
    theirs.user_handle = mine.user_handle
    assert await desk.prove(proof, desk.phone.get(await desk.question(proof), theirs)) is V.UNKNOWN


async def test_counter_that_does_not_grow_tells_a_copy(desk: Desk) -> None:
    await desk.saved(step=1)
    proof = desk.proof()
    first = desk.phone.get(await desk.question(proof))
    assert await desk.prove(proof, first) is V.GOOD
    assert await desk.prove(proof, first) is V.CLONED
    desk.phone.credentials[0].count = 0
    assert await desk.prove(proof, desk.phone.get(await desk.question(proof))) is V.CLONED
    desk.phone.credentials[0].count = 7
    assert await desk.prove(proof, desk.phone.get(await desk.question(proof))) is V.GOOD


async def test_one_counter_used_twice_at_once_counts_once(desk: Desk) -> None:
    await desk.saved(step=1)
    proof = desk.proof()
    answer = desk.phone.get(await desk.question(proof))
    verdicts = await asyncio.gather(*(desk.ceremonies.prove(desk.payer, proof, answer) for _ in range(3)))
    assert sorted(verdicts) == [V.CLONED, V.CLONED, V.GOOD]


async def test_one_proof_saves_one_passkey(desk: Desk) -> None:
    proof = desk.proof()
    options = await desk.offer(proof)
    answers = [desk.phone.create(options) for _ in range(3)]
    verdicts = await asyncio.gather(*(desk.save(proof, answer) for answer in answers))
    assert sorted(verdicts) == [V.GOOD, V.TAKEN, V.TAKEN]
    desk.later()
    # What was saved cannot be saved again after another proof: the challenge is another one.
    assert await desk.save(desk.proof(), answers[0]) is V.STALE


async def test_credential_is_registered_for_one_customer(desk: Desk, town: Town) -> None:
    await desk.saved()
    proof, other = desk.proof(), await customer(town, desk.payer)
    options = await desk.ceremonies.offer(other, proof, "x", "")
    assert options is not None
    answer = json.loads(desk.phone.create(options))
    made = desk.phone.credentials.pop()
    held = desk.phone.credentials[0].id
    swapped = answer["response"]["attestationObject"]
    answer["response"]["attestationObject"] = encoded(decoded(swapped).replace(made.id, held))
    answer["id"] = answer["rawId"] = encoded(held)
    assert await desk.ceremonies.save(other, proof, town.clock.now(), json.dumps(answer).encode()) is V.TAKEN


async def test_removed_passkey_and_deleted_customer_prove_nothing(desk: Desk, town: Town) -> None:
    await desk.saved()
    proof = desk.proof()
    options = await desk.question(proof)
    [kept] = await town.parties.customer_passkeys.list(desk.payer.scope, desk.payer.customer_id)
    async with town.database.transaction() as connection:
        gone = await town.parties.customer_passkeys.remove(
            connection, desk.payer.scope, desk.payer.customer_id, kept.reference
        )
    assert gone == kept
    assert await desk.prove(proof, desk.phone.get(options)) is V.UNKNOWN
    await desk.saved()
    answer = desk.phone.create(await desk.offer(proof))
    async with town.database.transaction() as connection:
        await town.parties.customers.delete(connection, desk.payer.scope, desk.payer.customer_id)
    assert await desk.ceremonies.counting(desk.payer) == []
    assert await desk.save(proof, answer) is V.UNKNOWN


async def test_customer_of_another_merchant_or_mode_keeps_its_passkeys_to_itself(
    desk: Desk, town: Town
) -> None:
    await desk.saved()
    service, held = town.parties.customer_passkeys, desk.payer.customer_id
    [kept] = await service.list(desk.payer.scope, held)
    for scope in (await town.scope(), await town.scope(live=False)):
        with pytest.raises(AppError, match="customer_unknown"):
            await service.list(scope, held)
        async with town.database.transaction() as connection:
            with pytest.raises(AppError, match="customer_unknown"):
                await service.remove(connection, scope, held, kept.reference)
    async with town.database.transaction() as connection:
        with pytest.raises(AppError, match="passkey_unknown"):
            await service.remove(connection, desk.payer.scope, held, "passkey_" + "0" * 32)
    with pytest.raises(AppError, match="customer_unknown"):
        await service.list(desk.payer.scope, CustomerId(town.ids.uuid()))
    elsewhere = Holder(HolderKind.CUSTOMER, held, desk.payer.scope.book_id + 1)
    assert await town.parties.passkeys.list(elsewhere) == []
    async with town.database.transaction() as connection:
        with pytest.raises(AppError, match="passkey_unknown"):
            await town.parties.passkeys.remove(connection, elsewhere, kept.credential_id)


async def test_holder_with_fifty_passkeys_is_offered_no_more(desk: Desk, town: Town) -> None:
    proof = desk.proof()
    answer = desk.phone.create(await desk.offer(proof))
    async with town.database.transaction() as connection:
        for _ in range(50):
            await town.parties.passkeys.register(connection, desk.payer.holder, town.ids.uuid().bytes, b"k")
    assert await desk.ceremonies.offer(desk.payer, proof, "x", "") is None
    desk.later()
    assert await desk.save(proof, answer) is V.FULL


async def test_house_without_a_fitting_address_asks_for_no_passkey(desk: Desk, town: Town) -> None:
    await desk.saved()
    closed = PasskeyCeremonies(town.database, town.clock, None, secret=SECRET)
    proof = desk.proof()
    answer = desk.phone.get(await desk.question(proof))
    assert await closed.question(desk.payer, proof) is None
    assert await closed.offer(desk.payer, proof, "x", "") is None
    assert await closed.judge(desk.payer, proof, answer) is V.UNKNOWN
    assert await closed.save(desk.payer, proof, town.clock.now(), answer) is V.FOREIGN


async def test_secret_of_another_house_makes_other_challenges(desk: Desk, town: Town) -> None:
    await desk.saved()
    other = PasskeyCeremonies(town.database, town.clock, PARTY, secret=bytes(32))
    proof = desk.proof()
    options = await other.question(desk.payer, proof)
    assert options is not None
    assert await desk.prove(proof, desk.phone.get(options)) is V.STALE


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
FIELDS = ("id", "rawId", "type", "response", "clientDataJSON", "authenticatorData", "signature", "userHandle")
BROKEN = st.one_of(
    JSON,
    st.binary(max_size=60).map(encoded),
    st.binary(max_size=60).map(lambda raw: encoded(b"{" + raw)),
    st.builds(lambda value: encoded(json.dumps(value).encode()), JSON),
)


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    database=None,
)
@given(
    field=st.sampled_from([*FIELDS, "attestationObject", "transports"]),
    value=BROKEN,
    raw=st.binary(max_size=80),
)
async def test_no_answer_whatever_breaks_the_judge(desk: Desk, field: str, value: Any, raw: bytes) -> None:
    ceremony = adapter.Ceremony(PARTY, b"c" * 32)
    options = json.dumps({"rpId": "localhost", "challenge": encoded(b"c" * 32)})
    creation = json.dumps(
        {"rp": {"id": "localhost"}, "user": {"id": encoded(b"u")}, "challenge": encoded(b"c" * 32)}
    )
    made = desk.phone.create(creation)
    [kept] = [adapter.judge_registration(ceremony, made)[1]]
    assert kept is not None
    for answer, judge in ((made, _registration), (desk.phone.get(options), _assertion)):
        told = json.loads(answer)
        part = told["response"] if field in told["response"] else told
        part[field] = value
        for broken in (json.dumps(told).encode(), raw, answer[: len(raw)]):
            assert isinstance(judge(ceremony, broken, kept), PasskeyVerdict)


def _registration(ceremony: adapter.Ceremony, answer: bytes, _: adapter.Registered) -> PasskeyVerdict:
    return adapter.judge_registration(ceremony, answer)[0]


def _assertion(ceremony: adapter.Ceremony, answer: bytes, kept: adapter.Registered) -> PasskeyVerdict:
    adapter.credential_of(answer)
    passkey = Passkey(
        credential_id=kept.credential_id,
        holder=Holder(HolderKind.CUSTOMER, UUID(int=1), 1),
        public_key=kept.public_key,
        sign_count=kept.sign_count,
        transports=(),
        label="",
        created_at=NOON,
        last_used_at=None,
    )
    return adapter.judge_assertion(ceremony, passkey, b"u", answer)[0]


@pytest.mark.parametrize("answer", [b"", b"{}", b"[]", b"\xff", b"[" * 100_000, b"1" * 20_000, b'"\\ud800"'])
def test_bytes_that_are_no_answer_are_malformed(answer: bytes) -> None:
    assert adapter.credential_of(answer) is None
    assert adapter.judge_registration(adapter.Ceremony(PARTY, b"c"), answer) == (V.MALFORMED, None)
