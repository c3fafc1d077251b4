"""Where the server listens: here, or elsewhere under a name of its own."""

import pytest

from tongbao.core.config import Settings
from tongbao.core.errors import NotPermitted
from tongbao.web.commands.listening import listen


def settings(host: str, public_url: str | None = None) -> Settings:
    return Settings(http_host=host, http_port=0, public_url=public_url, _env_file=None)  # type: ignore[call-arg]  # a setting of the library


@pytest.mark.parametrize(
    ("public_url", "may_leave", "code"),
    [
        (None, False, "listen_not_loopback"),
        ("https://pay.example", False, "listen_not_loopback"),
        (None, True, "public_url_missing"),
    ],
)
def test_server_leaves_this_machine_under_a_name_only(
    public_url: str | None, may_leave: bool, code: str
) -> None:
    with pytest.raises(NotPermitted) as refused:
        listen(settings("0.0.0.0", public_url), may_leave=may_leave)
    assert refused.value.code == code


def test_server_with_a_name_listens_for_others() -> None:
    with listen(settings("0.0.0.0", "https://pay.example"), may_leave=True) as listening:
        assert listening.getsockname()[0] == "0.0.0.0"
    with listen(settings("127.0.0.1")) as listening:
        assert listening.getsockname()[0] == "127.0.0.1"
