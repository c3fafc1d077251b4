"""A statement as a page to read and to print: the browser's print makes the PDF.

The style is for paper (A4, black on white, rows that do not break, the head of the table on each page), follows light and dark
on a screen, and is served as a file of its own where a policy of content forbids styles inside the page (``css_href``), or
stands in the page where it is saved to be kept.
"""

from collections.abc import Iterable

from jinja2 import DictLoader, Environment, StrictUndefined

from tongbao.clearing.adapters.statement_cells import Cells, heading, summary
from tongbao.clearing.policy.money_texts import COLUMNS, WORDS, text
from tongbao.clearing.schema.statements import Statement, StatementLine

CONTENT_TYPE = "text/html; charset=utf-8"
LINES_SHOWN_MAX = 5_000
"""Lines of a page that a browser can still print; the files hold all of them."""
SHOWN = (
    "at",
    "entry",
    "reference",
    "method",
    "channel",
    "amount_minor",
    "fee_minor",
    "change_minor",
    "balance_minor",
)
"""The columns for which there is room on a sheet."""
CSS = """
:root { color-scheme: light dark; --ink: #16181d; --soft: #5b616e; --page: #fff; --rule: #d9dce2; --edge: #16181d; --tint: #f5f6f8; }
@media screen and (prefers-color-scheme: dark) { :root { --ink: #eceef2; --soft: #a3a9b6; --page: #15171c; --rule: #343943;
  --edge: #8d94a3; --tint: #1e2128; } }
* { box-sizing: border-box; }
html { background: var(--page); }
body { margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: var(--ink); background: var(--page);
  font: 0.95rem/1.5 -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, "Liberation Sans", "PingFang SC",
  "Noto Sans SC", "Noto Sans CJK SC", "Microsoft YaHei", sans-serif; }
header { border-bottom: 2px solid var(--edge); display: flex; justify-content: space-between; align-items: end; gap: 0.5rem 2rem;
  flex-wrap: wrap; padding-bottom: 0.6rem; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 0.2rem; }
h2 { font-size: 1.05rem; margin: 1.8rem 0 0.4rem; break-after: avoid; }
header p { margin: 0; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: auto auto; gap: 0 1rem; margin: 0 0 0.5rem; font-size: 0.85rem; }
dt { color: var(--soft); } dd { margin: 0; text-align: right; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
thead { display: table-header-group; }
th { text-align: left; font-weight: 600; border-bottom: 1px solid var(--edge); font-size: 0.85rem; color: var(--soft); }
th, td { padding: 0.35rem 0.75rem 0.35rem 0; vertical-align: top; }
td { border-bottom: 1px solid var(--rule); }
tr { break-inside: avoid; }
.amount { text-align: right; white-space: nowrap; padding-right: 0; padding-left: 0.75rem; }
.amount + td:not(.amount), .amount + th:not(.amount) { padding-left: 1.5rem; }
.sum td { font-weight: 600; border-top: 1px solid var(--edge); border-bottom: 1px solid var(--edge); }
.part td { color: var(--soft); font-size: 0.85em; } .part td:first-child { padding-left: 1.2rem; }
.lines { font-size: 0.8rem; } .lines td, .lines th { white-space: nowrap; }
.wide { overflow-x: auto; }
.note { border: 1px solid var(--edge); background: var(--tint); padding: 0.4rem 0.7rem; }
.issuer { color: var(--soft); }
.whole { text-align: right; font-variant-numeric: tabular-nums; } .whole span { color: var(--soft); margin-right: 0.4rem; }
.whole strong { font-size: 1.7rem; line-height: 1.25; }
.facts { grid-template-columns: max-content 1fr; gap: 0.15rem 1.5rem; margin: 1rem 0 1.4rem; font-size: 0.9rem; }
.facts dd { text-align: left; }
.paper { max-width: 46rem; } .slip { max-width: 34rem; } .taxes { width: auto; min-width: 16rem; }
@media screen and (max-width: 40rem) { body { margin: 1rem auto; } .whole { text-align: left; width: 100%; }
  .charges, .charges tbody, .charges tr { display: block; } .charges thead { display: none; }
  .charges td { display: flex; justify-content: space-between; gap: 1rem; border: 0; padding: 0.1rem 0; }
  .charges td::before { content: attr(data-label); color: var(--soft); font-weight: 400; } .charges td:empty { display: none; }
  .charges tr { border-bottom: 1px solid var(--rule); padding: 0.5rem 0; } .charges td:first-child { font-weight: 600; }
  .charges td:first-child::before { content: none; } .charges .sum { border-color: var(--edge); } .charges .sum td { border: 0; }
  .charges td.amount + td:not(.amount) { padding-left: 0; } }
@page { size: A4; margin: 14mm 12mm 16mm; @bottom-right { content: counter(page) " / " counter(pages); } }
@media print { :root { color-scheme: light; } body { margin: 0; max-width: none; padding: 0; font-size: 9.5pt; }
  .wide { overflow: visible; } .lines { font-size: 7pt; } .lines td { white-space: normal; overflow-wrap: anywhere; } }
"""
_PAGE = """<!doctype html>
<html lang="{{ language }}">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ word("statement") }} {{ period.from_on }} {{ statement.currency }}</title>
{% if css_href %}<link rel="stylesheet" href="{{ css_href }}">{% else %}<style>{% include "css" %}</style>{% endif %}
</head>
<body>
<header>
<div><h1>{{ word("statement") }}</h1><p>{{ merchant }}</p></div>
<dl>
{% for name, value in heading %}<dt>{{ name }}</dt><dd>{{ value }}</dd>
{% endfor %}</dl>
</header>
{% if not statement.is_final %}<p class="note">{{ word("not_final") }}</p>{% endif %}
<h2>{{ word("summary") }}</h2>
<table>
<tbody>
{% for row in rows %}<tr{% if row.kind %} class="{{ row.kind }}"{% endif %}>
<td>{{ row.name }}</td><td class="amount">{{ row.number }}</td><td class="amount">{{ row.amount }}</td></tr>
{% endfor %}</tbody>
</table>
<h2>{{ word("lines") }}</h2>
<div class="wide">
<table class="lines">
<thead><tr>{% for name in shown %}<th{% if name.endswith("_minor") %} class="amount"{% endif %}>{{ column(name) }}</th>
{% endfor %}</tr></thead>
<tbody>
{% for line in lines %}<tr>{% for name in shown %}<td{% if name.endswith("_minor") %} class="amount"{% endif %}>
{{- line[name] }}</td>{% endfor %}</tr>
{% endfor %}</tbody>
</table>
</div>
{% if left_out %}<p class="note">{{ left_out }} {{ word("left_out") }}</p>{% endif %}
</body>
</html>
"""
_TEMPLATES = Environment(
    loader=DictLoader({"statement": _PAGE, "css": CSS}),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
)


def page(
    statement: Statement,
    lines: Iterable[StatementLine],
    *,
    merchant: str,
    language: str,
    line_count: int,
    css_href: str | None = None,
) -> str:
    """Return the whole page with the first ``LINES_SHOWN_MAX`` lines; of ``line_count`` it says how many were left out.

    ``merchant``: the name at the head. Raises InvalidRequest ``language_unknown``.
    """
    cells = Cells(statement, language)
    shown = [
        dict(zip(COLUMNS, cells.of(line), strict=True))
        for line, _ in zip(lines, range(LINES_SHOWN_MAX), strict=False)
    ]
    return _TEMPLATES.get_template("statement").render(
        statement=statement,
        period=statement.period,
        heading=list(heading(statement, language)),
        merchant=merchant,
        language=language,
        rows=list(summary(statement, language)),
        lines=shown,
        shown=SHOWN,
        left_out=max(line_count - len(shown), 0),
        css_href=css_href,
        word=lambda code: text(WORDS[code], language),
        column=lambda code: text(COLUMNS[code], language),
    )
