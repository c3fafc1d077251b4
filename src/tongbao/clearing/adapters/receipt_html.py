"""A receipt or invoice as a page to print, in the style of statements; the browser's print makes the PDF."""

from datetime import timedelta

from jinja2 import DictLoader, Environment, StrictUndefined

from tongbao.clearing.adapters.statement_cells import amount
from tongbao.clearing.adapters.statement_html import CSS
from tongbao.clearing.policy.cycles import zone_of
from tongbao.clearing.policy.money_texts import PAPER, RECEIPTS, text
from tongbao.clearing.schema.receipts import Receipt, ReceiptItem, ReceiptKind

_PAGE = """<!doctype html>
<html lang="{{ language }}">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }} {{ receipt.text_number }}</title>
{% if css_href %}<link rel="stylesheet" href="{{ css_href }}">{% else %}<style>{% include "css" %}</style>{% endif %}
</head>
<body>
<header>
<div><h1>{{ title }}</h1><p>{{ issuer }}</p></div>
<dl>{% for name, value in facts %}<dt>{{ name }}</dt><dd>{{ value }}</dd>
{% endfor %}</dl>
</header>
<table>
<thead><tr><th>{{ word("what") }}</th><th class="amount">{{ word("count") }}</th>
{% if is_invoice %}<th class="amount">{{ word("net") }}</th><th class="amount">{{ word("tax") }}</th>{% endif %}
<th class="amount">{{ word("amount") }}</th></tr></thead>
<tbody>
{% for row in rows %}<tr{% if loop.last %} class="sum"{% endif %}>
{% for cell in row %}<td{% if not loop.first %} class="amount"{% endif %}>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</tbody>
</table>
</body>
</html>
"""
_TEMPLATES = Environment(
    loader=DictLoader({"receipt": _PAGE, "css": CSS}),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
)


def page(
    receipt: Receipt, *, issuer: str, recipient: str = "", language: str, css_href: str | None = None
) -> str:
    """Return the whole page; ``issuer`` is the merchant, or of an invoice the house. Raises InvalidRequest ``language_unknown``."""
    return _TEMPLATES.get_template("receipt").render(
        receipt=receipt,
        title=text(RECEIPTS[receipt.kind], language),
        issuer=issuer,
        language=language,
        facts=_facts(receipt, recipient, language),
        rows=_rows(receipt, language),
        is_invoice=receipt.kind is ReceiptKind.INVOICE,
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
        "issued_at": issued_at.isoformat(sep=" ", timespec="minutes"),
        "recipient": recipient,
        "days": days,
        "source": receipt.source if receipt.kind is not ReceiptKind.INVOICE else "",
        "merchant_reference": receipt.merchant_reference,
        "description": receipt.description,
        "currency": receipt.currency,
    }
    return [(text(PAPER[name], language), value) for name, value in facts.items() if value]


def _rows(receipt: Receipt, language: str) -> list[list[str]]:
    """Return the items and their sum; an invoice tells net and tax beside each amount."""
    whole = ReceiptItem(
        name=text(PAPER["total"], language),
        count=sum(item.count for item in receipt.items),
        amount_minor=receipt.total_minor,
        tax_minor=receipt.tax_minor,
    )
    return [_row(receipt, item) for item in (*receipt.items, whole)]


def _row(receipt: Receipt, item: ReceiptItem) -> list[str]:
    when = "" if item.at is None else f"{item.at.astimezone(zone_of(receipt.zone)):%Y-%m-%d %H:%M} · "
    amounts = [item.amount_minor]
    if receipt.kind is ReceiptKind.INVOICE:
        amounts = [item.amount_minor - item.tax_minor, item.tax_minor, item.amount_minor]
    return [f"{when}{item.name}", str(item.count), *(amount(each, receipt.currency) for each in amounts)]
