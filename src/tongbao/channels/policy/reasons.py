"""From a channel's own code to our standard reason, and what follows from a reason.

An unknown code is ``other``: the caller keeps the raw code in ``Answer.code``, so nothing is lost, and a new row
in one of the tables mends it. Source: each table names its own.
"""

from collections.abc import Mapping

import msgspec

from tongbao.channels.policy import codes_alipay, codes_iso8583, codes_stripe, codes_wechat_pay
from tongbao.channels.policy.reason_rows import ROWS
from tongbao.channels.policy.reason_texts import TEXTS
from tongbao.channels.schema import Fault, Reason, Retry

CODES: Mapping[str, Mapping[str, Reason]] = {
    "iso8583": codes_iso8583.CODES,
    "stripe": codes_stripe.CODES,
    "alipay": codes_alipay.CODES,
    "wechat_pay": codes_wechat_pay.CODES,
}
"""The tables by network. Keys are upper case, whatever the channel writes."""


class ReasonInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What follows from a reason.

    ``error_code`` and ``decline_code`` are those of a Stripe-shaped error; the latter is None where no issuer
    declined. Payer texts may be shown as they are, engineer texts are for consoles and logs only.
    """

    fault: Fault
    retry: Retry
    error_code: str
    decline_code: str | None
    payer_zh: str
    payer_en: str
    engineer_zh: str
    engineer_en: str


def standard(network: str, code: str) -> Reason:
    """Return the standard reason of a code of ``network``, in any case; ``Reason.OTHER`` where it is unknown.

    Networks: ``iso8583``, ``stripe``, ``alipay``, ``wechat_pay``.
    """
    return CODES.get(network, {}).get(code.upper(), Reason.OTHER)


def info(reason: Reason) -> ReasonInfo:
    """Return fault, retry, outward codes and texts of a reason."""
    return _INFOS[reason]


def _info(reason: Reason) -> ReasonInfo:
    fault, retry, error_code, decline_code = ROWS[reason]
    payer_zh, payer_en, engineer_zh, engineer_en = TEXTS[reason]
    return ReasonInfo(
        fault=fault,
        retry=retry,
        error_code=error_code,
        decline_code=decline_code,
        payer_zh=payer_zh,
        payer_en=payer_en,
        engineer_zh=engineer_zh,
        engineer_en=engineer_en,
    )


_INFOS = {reason: _info(reason) for reason in Reason}
