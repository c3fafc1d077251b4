"""``tongbao channels check``: what a file of channels names, before money depends on it."""

from pathlib import Path

import pytest
from tests.web.desk_calls import call, shown

from tongbao.channels.errors import ChannelMisconfigured

ROUTES = """
[[channel]]
name = "purse"
adapter = "wallet"

[[channel]]
name = "purse_live"
adapter = "wallet"
mode = "live"
enabled = false

[[channel]]
name = "purse_both"
adapter = "wallet"
mode = "both"
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "channels.toml"
    path.touch(0o600)
    path.write_text(text)
    return path


async def test_check_lists_each_route_with_its_mode(tmp_path: Path) -> None:
    lines = (await shown("channels", "check", written(tmp_path, ROUTES))).splitlines()
    assert "route adapter mode enabled" in lines
    assert "purse wallet test yes" in lines
    assert "purse_live wallet live no" in lines
    assert "purse_both wallet both yes" in lines


async def test_check_of_a_setting_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, ROUTES + '[channel.settings]\ncurrency = "CNY"\n')
    with pytest.raises(ChannelMisconfigured, match="currency"):
        await call("channels", "check", path)
