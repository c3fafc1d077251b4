"""Card numbers for tests: what the networks publish for testing, and a way to make valid ones."""

from hypothesis import strategies as st

from tongbao.privacy.policy.brands import RANGES

# Published by payment companies for testing; none of them was ever issued.
TEST_CARDS = (
    ("4242424242424242", "visa"),
    ("4000056655665556", "visa"),
    ("4222222222222", "visa"),
    ("4000002760003184002", "visa"),
    ("5555555555554444", "mastercard"),
    ("2223003122003222", "mastercard"),
    ("2720994326581252", "mastercard"),
    ("5105105105105100", "mastercard"),
    ("378282246310005", "amex"),
    ("371449635398431", "amex"),
    ("6011111111111117", "discover"),
    ("6011981111111113", "discover"),
    ("6445644564456445", "discover"),
    ("3566002020360505", "jcb"),
    ("3530111333300000", "jcb"),
    ("3056930009020004", "diners"),
    ("36227206271667", "diners"),
    ("30569309025904", "diners"),
    ("38520000023237", "diners"),
    ("6200000000000005", "unionpay"),
    ("6205500000000000004", "unionpay"),
    ("8171999927660000", "unionpay"),
)


def luhn_complete(body: str) -> str:
    """Return ``body`` with its check digit, computed from the definition: sum the digits of every other doubled."""
    total = sum(sum(divmod(int(digit) * (2 - index % 2), 10)) for index, digit in enumerate(reversed(body)))
    return body + str(-total % 10)


@st.composite
def card_numbers(draw: st.DrawFn) -> str:
    """Numbers of every range and length that the brands have."""
    drawn = draw(st.sampled_from(RANGES))
    length = draw(st.sampled_from(sorted(drawn.lengths)))
    head = str(draw(st.integers(int(drawn.first), int(drawn.last))))
    rest = length - len(head) - 1
    return luhn_complete(head + draw(st.text("0123456789", min_size=rest, max_size=rest)))
