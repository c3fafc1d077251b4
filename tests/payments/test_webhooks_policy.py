"""The rules of webhooks without a server: signatures as the official libraries verify them, URLs, schedule."""

import base64
import ipaddress
import os
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
import stripe
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError
from tests.payments.webhook_house import moment

from tongbao.core.errors import InvariantBroken
from tongbao.payments.adapters.secret_box import AesGcmBox
from tongbao.payments.policy import webhooks as policy
from tongbao.payments.policy.web_addresses import address_allowed, host_allowed, url_fault
from tongbao.payments.schema.webhooks import (
    DeliveryState,
    EndpointState,
    HealthState,
    UrlFault,
    UrlRules,
)

RULES = UrlRules()
BODY = msgspec.json.encode({"id": "evt_1", "object": "event", "note": "红豆汤 ☕ \u2028 </script>"})
SECRETS = [policy.secret_text(bytes([n]) * 32) for n in range(3)]

# Signatures


@pytest.mark.parametrize("secrets", [SECRETS[:1], SECRETS[:2]])
def test_signatures_are_accepted_by_both_official_libraries(secrets: list[str]) -> None:
    headers = policy.signed_headers(secrets, "evt_1", moment(), BODY)
    for secret in secrets:
        event = stripe.Webhook.construct_event(BODY, headers["Stripe-Signature"], secret)
        assert event["note"] == "红豆汤 ☕ \u2028 </script>"
        assert Webhook(secret).verify(BODY, dict(headers))["id"] == "evt_1"


@pytest.mark.parametrize(
    ("body", "secret", "age"),
    [
        (BODY + b" ", SECRETS[0], timedelta(0)),
        (BODY, SECRETS[2], timedelta(0)),
        (BODY, SECRETS[0], timedelta(minutes=6)),
    ],
)
def test_signatures_of_another_body_secret_or_time_are_refused(
    body: bytes, secret: str, age: timedelta
) -> None:
    headers = policy.signed_headers(SECRETS[:2], "evt_1", moment() - age, BODY)
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(body, headers["Stripe-Signature"], secret)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(body, dict(headers))


def test_signatures_of_a_known_message_are_as_published() -> None:
    """The example of the Standard Webhooks specification."""
    signature = policy.standard_signature(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_secret_text_encodes_its_bytes() -> None:
    text = policy.secret_text(b"\xff" * 32)
    assert text.startswith("whsec_")
    assert base64.b64decode(text.removeprefix("whsec_"), validate=True) == b"\xff" * 32


# Patterns, schedule, health


@pytest.mark.parametrize(
    ("patterns", "kind", "expected"),
    [
        (("*",), "payment_intent.succeeded", True),
        (("payment_intent.succeeded",), "payment_intent.succeeded", True),
        (("payment_intent.*",), "payment_intent.succeeded", True),
        (("charge.*",), "charge.dispute.created", True),
        (("refund.created", "charge.*"), "charge.refunded", True),
        (("payment_intent.*",), "payment_intents.succeeded", False),
        (("payment_intent.*",), "payment_intent", False),
        (("payment_intent.succeeded",), "payment_intent.succeeded2", False),
        (("charge.dispute.*",), "charge.refunded", False),
        ((), "charge.refunded", False),
    ],
)
def test_wants_follows_the_patterns(patterns: tuple[str, ...], kind: str, expected: bool) -> None:
    assert policy.wants(patterns, kind) is expected


@pytest.mark.parametrize("text", ["*", "a.b", "a.*", "charge.dispute.*", "payment_intent.succeeded"])
def test_is_pattern_accepts(text: str) -> None:
    assert policy.is_pattern(text)


@pytest.mark.parametrize(
    "text", ["", "**", "a*", ".*", "*.a", "A.b", "a..b", "a.*.b", "a.b ", "a\n", "a" * 101]
)
def test_is_pattern_refuses(text: str) -> None:
    assert not policy.is_pattern(text)


AT = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("tries", "seconds"),
    [*enumerate([10, 60, 300, 1_800, 7_200, 21_600, 43_200, 86_400, 86_400], start=1)],
)
def test_retry_at_follows_the_schedule_with_a_tenth_of_jitter(tries: int, seconds: int) -> None:
    assert policy.retry_at(AT, tries, 0.5) == AT + timedelta(seconds=seconds)
    assert policy.retry_at(AT, tries, 0.0) == AT + timedelta(seconds=seconds * 0.9)
    late = policy.retry_at(AT, tries, 0.999999)
    assert late is not None
    assert late < AT + timedelta(seconds=seconds * 1.1)


def test_retry_at_after_the_tenth_try_is_never() -> None:
    assert policy.retry_at(AT, 10, 0.5) is None


@pytest.mark.parametrize(
    ("status", "expected"), [(200, True), (204, True), (299, True), (199, False), (302, False), (410, False)]
)
def test_only_2xx_is_success(status: int, expected: bool) -> None:
    assert policy.is_success(status) is expected


@pytest.mark.parametrize(
    ("state", "failures", "expected"),
    [
        (EndpointState.ENABLED, 0, HealthState.HEALTHY),
        (EndpointState.ENABLED, 2, HealthState.HEALTHY),
        (EndpointState.ENABLED, 3, HealthState.FAILING),
        (EndpointState.DISABLED, 0, HealthState.DISABLED),
    ],
)
def test_health_state(state: EndpointState, failures: int, expected: HealthState) -> None:
    assert policy.health_state(state, failures) is expected


@pytest.mark.parametrize(
    ("succeeded", "again_at", "expected"),
    [
        (True, None, DeliveryState.DELIVERED),
        (False, AT, DeliveryState.PENDING),
        (False, None, DeliveryState.DEAD),
    ],
)
def test_ended_state(succeeded: bool, again_at: datetime | None, expected: DeliveryState) -> None:
    assert policy.ended_state(succeeded, again_at) is expected


def test_previous_attributes_leave_out_what_did_not_change() -> None:
    now = '{"object":"x","version":2,"updated_at":"b","a":1,"b":[1,2],"c":null}'
    then = '{"object":"x","version":1,"updated_at":"a","a":1,"b":[1],"c":"was"}'
    assert msgspec.json.decode(policy.previous_attributes(now, then) or "") == {"b": [1], "c": "was"}
    assert policy.previous_attributes(now, now) is None


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", ""),
        (b"ok", "ok"),
        (b"\xff\x00ok", "\ufffdok"),
        (b"password=hunter2 and more", "password=*** and more"),
        (b"card 4111111111111111", "card 411111******1111"),
    ],
)
def test_excerpt_is_masked(body: bytes, expected: str) -> None:
    assert policy.excerpt(body) == expected


@given(st.binary(max_size=20_000))
def test_excerpt_fits_and_can_be_stored(body: bytes) -> None:
    text = policy.excerpt(body)
    assert len(text.encode()) <= policy.EXCERPT_BYTES_MAX
    assert "\x00" not in text


# URLs and addresses


@pytest.mark.parametrize(
    ("url", "live", "expected"),
    [
        ("https://merchant.example.com/hooks?a=1", True, None),
        ("https://merchant.example.com:8443/hooks", True, None),
        ("https://8.8.8.8/hooks", True, None),
        ("https://[2606:4700:4700::1111]/hooks", True, None),
        ("https://bücher.de/hooks", True, None),
        ("http://merchant.example.com/hooks", False, None),
        ("https://" + "a" * 2_048, True, UrlFault.TOO_LONG),
        ("", True, UrlFault.MALFORMED),
        ("https://", True, UrlFault.MALFORMED),
        ("hooks", True, UrlFault.MALFORMED),
        ("//merchant.example.com/hooks", True, UrlFault.MALFORMED),
        ("https:///hooks", True, UrlFault.MALFORMED),
        ("https://merchant.example.com/\r\nX: y", True, UrlFault.MALFORMED),
        ("https://merchant.example.com\\@10.0.0.1/", True, UrlFault.MALFORMED),
        ("https://merchant.example.com:99999/", True, UrlFault.MALFORMED),
        ("https://merchant.example.com:0/", True, UrlFault.MALFORMED),
        ("https://[::1/", True, UrlFault.MALFORMED),
        ("ftp://merchant.example.com/", False, UrlFault.SCHEME),
        ("file:///etc/passwd", False, UrlFault.SCHEME),
        ("gopher://merchant.example.com/", False, UrlFault.SCHEME),
        ("javascript:alert(1)", False, UrlFault.SCHEME),
        ("http://merchant.example.com/hooks", True, UrlFault.HTTPS_REQUIRED),
        ("https://user:pass@merchant.example.com/", True, UrlFault.CREDENTIALS),
        ("https://user@merchant.example.com/", True, UrlFault.CREDENTIALS),
        ("https://localhost/", True, UrlFault.HOST_NOT_PUBLIC),
        ("https://LOCALHOST./", True, UrlFault.HOST_NOT_PUBLIC),
        ("https://api.localhost/", True, UrlFault.HOST_NOT_PUBLIC),
        ("https://metadata.google.internal/", True, UrlFault.HOST_NOT_PUBLIC),
        ("https://printer.local/", True, UrlFault.HOST_NOT_PUBLIC),
        ("https://postgres/", True, UrlFault.HOST_NOT_PUBLIC),
        ("https://127.0.0.1/", True, UrlFault.HOST_NOT_PUBLIC),
        ("https://127.1/", True, UrlFault.HOST_NOT_PUBLIC),
        ("https://2130706433/", True, UrlFault.HOST_NOT_PUBLIC),
        ("https://0x7f000001/", True, UrlFault.HOST_NOT_PUBLIC),
        ("https://0177.0.0.1/", True, UrlFault.HOST_NOT_PUBLIC),
        ("https://0x7f.0.0.0x1/", True, UrlFault.HOST_NOT_PUBLIC),
        ("https://①27.0.0.1/", True, UrlFault.HOST_NOT_PUBLIC),
        ("https://169.254.169.254/latest/meta-data/", True, UrlFault.HOST_NOT_PUBLIC),
        ("https://[::1]/", True, UrlFault.HOST_NOT_PUBLIC),
        ("https://[::ffff:127.0.0.1]/", True, UrlFault.HOST_NOT_PUBLIC),
        ("https://[fe80::1%25eth0]/", True, UrlFault.HOST_NOT_PUBLIC),
    ],
)
def test_url_fault_is_the_first_objection(url: str, live: bool, expected: UrlFault | None) -> None:
    assert url_fault(url, live=live, rules=RULES) is expected


@pytest.mark.parametrize("url", ["http://localhost:8080/", "http://127.0.0.1:1/x", "http://[::1]:80/"])
def test_url_on_this_machine_is_accepted_where_local_is_allowed(url: str) -> None:
    assert url_fault(url, live=False, rules=UrlRules(allow_local=True)) is None


def test_live_mode_needs_https_even_where_local_is_allowed() -> None:
    rules = UrlRules(allow_local=True)
    assert url_fault("http://localhost/", live=True, rules=rules) is UrlFault.HTTPS_REQUIRED


REFUSED = [
    *(
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "100.100.100.200",
        "127.0.0.1",
        "127.255.255.254",
        "168.63.129.16",
    ),
    *("169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1", "192.168.1.1"),
    *(
        "192.88.99.1",
        "198.18.0.1",
        "198.51.100.7",
        "203.0.113.7",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
    ),
    *("::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::ffff:0:10.0.0.1"),
    *("64:ff9b::10.0.0.1", "64:ff9b::169.254.169.254", "64:ff9b:1::8.8.8.8", "100::1", "2001::1"),
    *("2001:db8::1", "2002:7f00:1::", "2002:808:808::", "3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254"),
    *("fe80::1", "fe80::1%eth0", "2606:4700::1111%1", "fec0::1", "ff02::1", "not an address", ""),
]


@pytest.mark.parametrize("text", REFUSED)
def test_address_that_is_not_public_is_refused(text: str) -> None:
    assert not address_allowed(text, RULES)


@pytest.mark.parametrize(
    "text",
    [
        "8.8.8.8",
        "1.1.1.1",
        "172.32.0.1",
        "100.128.0.1",
        "223.255.255.254",
        "2606:4700::1111",
        "64:ff9b::8.8.8.8",
    ],
)
def test_public_address_is_allowed(text: str) -> None:
    assert address_allowed(text, RULES)


@pytest.mark.parametrize("text", ["8.8.8.8", "64:ff9b::8.8.8.8", "2606:4700::1111"])
def test_address_of_the_house_itself_is_refused(text: str) -> None:
    assert not address_allowed(text, UrlRules(own_networks=("8.8.8.0/24", "2606:4700::/32")))


@given(st.ip_addresses())
def test_whatever_the_standard_library_calls_private_is_refused(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    inside = any(
        (
            address.is_private,
            address.is_loopback,
            address.is_link_local,
            address.is_multicast,
            address.is_reserved,
            address.is_unspecified,
        )
    )
    is_nat64 = address.version == 6 and address in ipaddress.ip_network("64:ff9b::/96")
    if inside and not is_nat64:
        assert not address_allowed(str(address), RULES)
        assert not host_allowed(str(address), RULES)


# The box for secrets


def test_box_opens_what_it_sealed() -> None:
    box = AesGcmBox([os.urandom(32)])
    assert box.open(box.seal(b"whsec", b"a"), b"a") == b"whsec"
    assert box.seal(b"whsec", b"a") != box.seal(b"whsec", b"a")


def test_box_with_a_newer_key_opens_what_the_older_one_sealed() -> None:
    old, new = os.urandom(32), os.urandom(32)
    sealed = AesGcmBox([old]).seal(b"whsec", b"a")
    assert AesGcmBox([new, old]).open(sealed, b"a") == b"whsec"
    with pytest.raises(InvariantBroken, match="secret_sealed_elsewhere"):
        AesGcmBox([new]).open(sealed, b"a")


@given(st.data())
def test_box_opens_nothing_that_was_changed(data: st.DataObject) -> None:
    box = AesGcmBox([b"k" * 32])
    sealed = bytearray(box.seal(b"whsec", b"a"))
    place = data.draw(st.integers(0, len(sealed) - 1))
    sealed[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(InvariantBroken):
        box.open(bytes(sealed), b"a")


@pytest.mark.parametrize("cut", [0, 1, 5, 17, 20])
def test_box_opens_nothing_in_another_place_or_cut_short(cut: int) -> None:
    box = AesGcmBox([b"k" * 32])
    sealed = box.seal(b"whsec", b"a")
    with pytest.raises(InvariantBroken, match="secret_broken"):
        box.open(sealed, b"b")
    with pytest.raises(InvariantBroken):
        box.open(sealed[:cut], b"a")


@pytest.mark.parametrize("keys", [[], [b"short"], [b"k" * 32, b"k" * 16]])
def test_box_without_whole_keys_is_refused(keys: list[bytes]) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        AesGcmBox(keys)


def test_box_does_not_print_its_keys() -> None:
    assert repr(AesGcmBox([b"k" * 32])) == "AesGcmBox(1 keys)"
