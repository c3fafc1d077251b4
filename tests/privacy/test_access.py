"""Who may see a card in clear, and what for."""

import pytest
from tests.privacy.conftest import VISA

from tongbao.core.errors import AppError, InvalidRequest
from tongbao.privacy.errors import CardDataRefused, RevealNotPermitted
from tongbao.privacy.policy.access import check_reveal
from tongbao.privacy.schema import SUBJECT_CHARS_MAX, Purpose


@pytest.mark.parametrize("purpose", [purpose for purpose in Purpose if purpose is not Purpose.LEGAL])
def test_check_reveal_by_a_channel_is_permitted(purpose: Purpose) -> None:
    assert check_reveal(purpose.value, "channel:iso_main", "pa_1") is purpose


def test_check_reveal_by_legal_for_a_legal_purpose_is_permitted() -> None:
    assert check_reveal("legal", "legal:01jd3k8v4y", "case 7") is Purpose.LEGAL


@pytest.mark.parametrize(
    ("purpose", "actor", "subject", "error", "code"),
    [
        ("browse", "channel:a", "s", InvalidRequest, "purpose_unknown"),
        ("", "channel:a", "s", InvalidRequest, "purpose_unknown"),
        ("AUTHORIZE", "channel:a", "s", InvalidRequest, "purpose_unknown"),
        ("authorize", "", "s", RevealNotPermitted, "reveal_not_permitted"),
        ("authorize", "channel", "s", RevealNotPermitted, "reveal_not_permitted"),
        ("authorize", "channel:", "s", RevealNotPermitted, "reveal_not_permitted"),
        ("authorize", "channel:a b", "s", RevealNotPermitted, "reveal_not_permitted"),
        ("authorize", "channel:a\n", "s", RevealNotPermitted, "reveal_not_permitted"),
        ("authorize", "key:1", "s", RevealNotPermitted, "reveal_not_permitted"),
        ("authorize", "person:1", "s", RevealNotPermitted, "reveal_not_permitted"),
        ("authorize", "Xchannel:a", "s", RevealNotPermitted, "reveal_not_permitted"),
        ("authorize", "legal:1", "s", RevealNotPermitted, "reveal_not_permitted"),
        ("legal", "channel:a", "s", RevealNotPermitted, "reveal_not_permitted"),
        ("authorize", "channel:a", "", InvalidRequest, "subject_invalid"),
        ("authorize", "channel:a", "x" * (SUBJECT_CHARS_MAX + 1), InvalidRequest, "subject_invalid"),
        ("authorize", "channel:a", "a\nb", InvalidRequest, "subject_invalid"),
        ("authorize", "channel:a", f"card {VISA}", CardDataRefused, "card_data_not_allowed_here"),
        ("authorize", f"channel:{VISA}", "s", CardDataRefused, "card_data_not_allowed_here"),
    ],
)
def test_check_reveal_without_a_right_is_refused(
    purpose: str, actor: str, subject: str, error: type[AppError], code: str
) -> None:
    with pytest.raises(error) as raised:
        check_reveal(purpose, actor, subject)
    assert raised.value.code == code
    assert VISA not in str(raised.value)
