"""The benchmark of the city measures what it says, and says so when a city fails."""

import sys
from pathlib import Path

import pytest

from tongbao.bench import city
from tongbao.core.errors import InvariantBroken

TINY = city.Sizes(
    days=1, visits=8, rush_days=1, rush_visits=8, payers=12, shops=3, tpcb_seconds=1, pgbench_scale=1
)


@pytest.mark.nightly
async def test_run_measures_speed_and_finds_equal_seeds_equal() -> None:
    said: list[str] = []
    figures = await city.run(TINY, said.append)
    assert figures["same_seed_equal"] is True
    assert figures["payments_per_s"] > 0
    assert figures["ratio"] == pytest.approx(figures["payments_per_s"] / figures["tpcb_c16_per_s"], rel=0.01)
    assert figures["statistics"]["visits"] > 0
    assert len(said) == 4


async def test_a_city_that_is_refused_is_told_with_its_reason(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "tongbao",
        "city",
        "run",
        "--days",
        "0",
        "--home",
        str(tmp_path / "city"),
    ]
    with pytest.raises(InvariantBroken, match="city_terms_invalid"):
        await city._told(command, tmp_path)
