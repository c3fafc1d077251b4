"""A receipt or invoice as a page to read and to print, in the style of statements; the browser's print makes the PDF.

On a screen it follows the reader's light or dark; on paper it is black on white.
"""

from datetime import timedelta

from jinja2 import DictLoader, Environment, StrictUndefined

from tongbao.clearing.adapters.statement_cells import amount
from tongbao.clearing.adapters.statement_html import CSS
from tongbao.clearing.policy.cycles import zone_of
from tongbao.clearing.policy.money_texts import METHODS, PAPER, RECEIPTS, text
from tongbao.clearing.schema.fee_taxes import rate_text, taxes
from tongbao.clearing.schema.receipts import Receipt, ReceiptItem, ReceiptKind

_TOTAL = {
    ReceiptKind.RECEIPT: "paid",
    ReceiptKind.REFUND_RECEIPT: "given_back",
    ReceiptKind.INVOICE: "charged",
}
_SOURCE = {
    ReceiptKind.RECEIPT: "source",
    ReceiptKind.REFUND_RECEIPT: "refund",
    ReceiptKind.INVOICE: "source",
}
_PAGE = """<!doctype html>
<html lang="{{ language }}">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }} {{ receipt.text_number }}</title>
{% if css_href %}<link rel="stylesheet" href="{{ css_href }}">{% else %}<style>{% include "css" %}</style>{% endif %}
</head>
<body class="{{ 'paper' if is_invoice else 'paper slip' }}">
<header>
<div><h1>{{ title }}</h1><p class="issuer">{{ issuer }}</p></div>
<p class="whole"><span>{{ word(total_name) }}</span> <strong>{{ total }}</strong> {{ receipt.currency }}</p>
</header>
{% if not receipt.live %}<p class="note">{{ word("test") }}</p>{% endif %}
<dl class="facts">{% for name, value in facts %}<dt>{{ name }}</dt><dd>{{ value }}</dd>
{% endfor %}</dl>
<div class="wide">
<table{% if is_invoice %} class="charges"{% endif %}>
<thead><tr>{% for name, is_amount in columns %}<th scope="col"{% if is_amount %} class="amount"{% endif %}>
{{- word(name) }}</th>{% endfor %}</tr></thead>
<tbody>
{% for row in rows %}<tr{% if loop.last %} class="sum"{% endif %}>
{% for cell in row %}<td{% if columns[loop.index0][1] %} class="amount"{% endif %} data-label="{{ word(columns[loop.index0][0]) }}">
{{- cell }}</td>{% endfor %}</tr>
{% endfor %}</tbody>
</table>
</div>
{% if several_taxes %}
<h2>{{ word("taxes") }}</h2>
<table class="taxes">
<tbody>{% for name, value in several_taxes %}<tr><td>{{ name }}</td><td class="amount">{{ value }}</td></tr>
{% endfor %}</tbody>
</table>
{% endif %}
</body>
</html>
"""
_TEMPLATES = Environment(
    loader=DictLoader({"receipt": _PAGE, "css": CSS}),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
)
_RECEIPT = (("at", False), ("what", False), ("amount", True))
_INVOICE = (
    ("what", False),
    ("count", True),
    ("net", True),
    ("tax_rate", False),
    ("tax", True),
    ("amount", True),
)


def page(
    receipt: Receipt, *, issuer: str, recipient: str = "", language: str, css_href: str | None = None
) -> str:
    """Return the whole page; ``issuer`` is the merchant, or of an invoice the house. Raises InvalidRequest ``language_unknown``."""
    is_invoice = receipt.kind is ReceiptKind.INVOICE
    is_refund = receipt.kind is ReceiptKind.REFUND_RECEIPT
    told = taxes(receipt.items)
    return _TEMPLATES.get_template("receipt").render(
        receipt=receipt,
        title=text(RECEIPTS[receipt.kind], language),
        issuer=issuer,
        language=language,
        total=_sum(abs(receipt.total_minor) if is_refund else receipt.total_minor, receipt.currency),
        total_name=_TOTAL[receipt.kind],
        facts=_facts(receipt, recipient, language),
        columns=_INVOICE if is_invoice else _RECEIPT,
        rows=_rows(receipt, language),
        several_taxes=[
            (_tax(each.name, each.rate_e6), _sum(each.amount_minor, receipt.currency)) for each in told
        ]
        if is_invoice and len(told) > 1
        else [],
        is_invoice=is_invoice,
        css_href=css_href,
        word=lambda code: text(PAPER[code], language),
    )


def _facts(receipt: Receipt, recipient: str, language: str) -> list[tuple[str, str]]:
    issued_at = receipt.issued_at.astimezone(zone_of(receipt.zone))
    days = ""
    if receipt.from_on is not None and receipt.until_on is not None:
        days = f"{receipt.from_on} – {receipt.until_on - timedelta(days=1)}"
    facts = {
        "number": receipt.text_number,
        "issued_at": f"{issued_at:%Y-%m-%d %H:%M} ({receipt.zone})",
        "recipient": recipient,
        "days": days,
        _SOURCE[receipt.kind]: "" if receipt.kind is ReceiptKind.INVOICE else receipt.source,
        "merchant_reference": receipt.merchant_reference,
        "description": receipt.description,
    }
    return [(text(PAPER[name], language), value) for name, value in facts.items() if value]


def _rows(receipt: Receipt, language: str) -> list[list[str]]:
    """Return the items and their sum; an invoice tells net and tax beside each amount."""
    total = text(PAPER["total"], language)
    if receipt.kind is not ReceiptKind.INVOICE:
        items = [
            [_when(receipt, item), _what(item, language), _amount(receipt, item)] for item in receipt.items
        ]
        return [*items, [total, "", _sum(receipt.total_minor, receipt.currency)]]
    whole = ReceiptItem(
        name=total,
        count=sum(item.count for item in receipt.items),
        amount_minor=receipt.total_minor,
        tax_minor=receipt.tax_minor,
    )
    return [_charge(receipt, item) for item in (*receipt.items, whole)]


def _charge(receipt: Receipt, item: ReceiptItem) -> list[str]:
    net, tax, whole = (
        _sum(each, receipt.currency)
        for each in (item.amount_minor - item.tax_minor, item.tax_minor, item.amount_minor)
    )
    name = item.name.replace("_", " ")
    return [name, f"{item.count:,}", net, _tax(item.tax_name, item.tax_e6), tax, whole]


def _when(receipt: Receipt, item: ReceiptItem) -> str:
    return "" if item.at is None else f"{item.at.astimezone(zone_of(receipt.zone)):%Y-%m-%d %H:%M}"


def _what(item: ReceiptItem, language: str) -> str:
    words = METHODS.get(item.name)
    return item.name if words is None else text(words, language)


def _amount(receipt: Receipt, item: ReceiptItem) -> str:
    return _sum(item.amount_minor, receipt.currency)


def _tax(name: str, rate_e6: int) -> str:
    return f"{name} {rate_text(rate_e6)}".strip() if rate_e6 else ""


def _sum(amount_minor: int, currency: str) -> str:
    """Return an amount as people read it: ``−1,234.50``."""
    whole, point, decimals = amount(abs(amount_minor), currency).partition(".")
    return f"{'−' if amount_minor < 0 else ''}{int(whole):,}{point}{decimals}"
