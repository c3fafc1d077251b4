"""The first payment in five languages, to be copied: ``BASE`` and ``KEY`` stand for the address and a secret test key. Pure.

Each takes 19.99 yuan from a test card and gives 5.00 of it back, with nothing but what its language brings along.
"""

from collections.abc import Mapping

PLACEHOLDER = "sk_test_…"
"""Stands where a merchant puts its own key; pages never show one."""
CURL = """\
curl -s BASE/v1/payment_intents -u KEY: \\
  -d amount=1999 -d currency=cny -d confirm=true -d payment_method=pm_card_visa \\
  -d 'metadata[order]=A-17' -H 'Idempotency-Key: order-A-17'
"""
PYTHON = """\
import json
import urllib.parse
import urllib.request

BASE, KEY = "BASE_URL", "KEY_TEXT"


def post(path, idempotency_key, **fields):
    headers = {"Authorization": f"Bearer {KEY}", "Idempotency-Key": idempotency_key}
    body = urllib.parse.urlencode(fields).encode()
    with urllib.request.urlopen(urllib.request.Request(BASE + path, body, headers)) as answer:
        return json.load(answer)


payment = post("/v1/payment_intents", "order-A-18", amount=1999, currency="cny",
               confirm="true", payment_method="pm_card_visa")
print(payment["id"], payment["status"])
refund = post("/v1/refunds", "refund-A-18", payment_intent=payment["id"], amount=500)
print(refund["id"], refund["status"])
"""
JAVASCRIPT = """\
const BASE = 'BASE_URL', KEY = 'KEY_TEXT';

async function post(path, idempotencyKey, fields) {
  const answer = await fetch(BASE + path, {
    method: 'POST',
    headers: { Authorization: `Bearer ${KEY}`, 'Idempotency-Key': idempotencyKey },
    body: new URLSearchParams(fields),
  });
  if (!answer.ok) throw new Error((await answer.json()).error.message);
  return answer.json();
}

const payment = await post('/v1/payment_intents', 'order-A-19', {
  amount: 1999, currency: 'cny', confirm: true, payment_method: 'pm_card_visa',
});
console.log(payment.id, payment.status);
const refund = await post('/v1/refunds', 'refund-A-19', { payment_intent: payment.id, amount: 500 });
console.log(refund.id, refund.status);
"""
JAVA = """\
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;

public class FirstPayment {
  static final String BASE = "BASE_URL", KEY = "KEY_TEXT";

  static String post(String path, String idempotencyKey, String fields) throws Exception {
    var request = HttpRequest.newBuilder(URI.create(BASE + path))
        .header("Authorization", "Bearer " + KEY)
        .header("Idempotency-Key", idempotencyKey)
        .header("Content-Type", "application/x-www-form-urlencoded")
        .POST(HttpRequest.BodyPublishers.ofString(fields))
        .build();
    return HttpClient.newHttpClient().send(request, BodyHandlers.ofString()).body();
  }

  public static void main(String[] arguments) throws Exception {
    System.out.println(post("/v1/payment_intents", "order-A-20",
        "amount=1999&currency=cny&confirm=true&payment_method=pm_card_visa"));
  }
}
"""
PHP = """\
<?php
const BASE = 'BASE_URL', KEY = 'KEY_TEXT';

function post(string $path, string $idempotencyKey, array $fields): array {
    $curl = curl_init(BASE . $path);
    curl_setopt_array($curl, [
        CURLOPT_POSTFIELDS => http_build_query($fields),
        CURLOPT_HTTPHEADER => ['Authorization: Bearer ' . KEY, 'Idempotency-Key: ' . $idempotencyKey],
        CURLOPT_RETURNTRANSFER => true,
    ]);
    return json_decode(curl_exec($curl), true, flags: JSON_THROW_ON_ERROR);
}

$payment = post('/v1/payment_intents', 'order-A-21', [
    'amount' => 1999, 'currency' => 'cny', 'confirm' => 'true', 'payment_method' => 'pm_card_visa',
]);
echo $payment['id'], ' ', $payment['status'], PHP_EOL;
"""
LANGUAGES: Mapping[str, tuple[str, str]] = {
    "curl": ("curl", CURL),
    "python": ("Python", PYTHON),
    "javascript": ("JavaScript", JAVASCRIPT),
    "java": ("Java", JAVA),
    "php": ("PHP", PHP),
}
"""Each language by its key in addresses: its name and its sample."""
TEST_CARDS: tuple[tuple[str, str, str], ...] = (
    ("pm_card_visa", "4242 4242 4242 4242", "approved"),
    ("pm_card_mastercard", "5555 5555 5555 4444", "approved"),
    ("pm_card_unionpay", "6200 0000 0000 0005", "approved"),
    ("pm_card_amex", "3782 822463 10005", "approved"),
    ("pm_card_chargeDeclined", "4000 0000 0000 0002", "declined"),
    ("pm_card_chargeDeclinedInsufficientFunds", "4000 0000 0000 9995", "funds"),
    ("pm_card_chargeDeclinedExpiredCard", "4000 0000 0000 0069", "expired"),
    ("pm_card_chargeDeclinedIncorrectCvc", "4000 0000 0000 0127", "cvc"),
    ("pm_card_chargeDeclinedProcessingError", "4000 0000 0000 0119", "processing"),
    ("pm_card_threeDSecureRequired", "4000 0000 0000 3220", "three_ds"),
    ("pm_card_authenticationRequired", "4000 0027 6000 3184", "three_ds"),
)
"""Name in programs, number to type, and what comes of it (``card_does_…``)."""


def sample(language: str, base_url: str, key: str) -> str:
    """Return a sample with its address and key; raise KeyError for an unknown language."""
    text = LANGUAGES[language][1]
    if language == "curl":
        return text.replace("BASE", base_url).replace("KEY", key)
    return text.replace("BASE_URL", base_url).replace("KEY_TEXT", key)
