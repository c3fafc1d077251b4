"""The benchmark runs from end to end in small and gives every figure that it promises."""

import json
import math

import pytest

from tongbao.bench import ledger

PROMISED = (
    "ratio_uniform",
    "ratio_hot",
    "ratio_hot_limited",
    "ratio_bulk",
    "p99_ms_at_2000",
    "bytes_per_transfer",
    "rss_mb",
    "statement_ms",
)


@pytest.mark.nightly
async def test_bench_ledger_in_small_gives_every_promised_figure() -> None:
    said: list[str] = []
    sizes = ledger.Sizes(seconds=0.3, transfers=20_000, pgbench_scale=1, accounts=400, books=40, reads=30)
    figures = await ledger.run(sizes, said.append)
    assert all(math.isfinite(figures[name]) and figures[name] > 0 for name in PROMISED)
    assert figures["transfers"] >= 20_000
    assert figures["naive_per_s"] > 0
    assert any("nothing wrong" in line for line in said)
    assert json.loads(json.dumps(figures)) == figures
