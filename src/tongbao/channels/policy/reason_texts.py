"""What people read about a reason: the payer in kind words that say what to do, the engineer in plain ones.

Payers are never accused, and never told what protects them from thieves: a lost, stolen, blocked or suspected
card is to its holder a card that cannot be used here (Stripe's guide to declines asks the same of merchants).
"""

from tongbao.channels.schema import Reason

Texts = tuple[str, str, str, str]

_OTHER_METHOD = (
    "这次未能用这种方式付款，请换一种支付方式。",
    "This payment method cannot be used this time. Please choose another one.",
)
_CALL_BANK = (
    "银行未批准这笔付款，请联系银行，或换一种支付方式。",
    "Your bank did not approve the payment. Please contact your bank, or choose another payment method.",
)
_TRY_AGAIN = (
    "支付服务繁忙，没有扣款，请稍后再试。",
    "The payment service is busy and nothing was charged. Please try again in a little while.",
)
_OUR_SIDE = (
    "我们这边出了问题，没有扣款，请换一种支付方式或稍后再试。",
    "Something went wrong on our side and nothing was charged. Please choose another method or try later.",
)
_CHECK_CARD = (
    "请核对卡片信息后重新输入。",
    "Please check the card details and enter them again.",
)
_MERCHANT = (
    "商家暂时无法完成这项操作，请联系商家。",
    "The merchant cannot do this right now. Please get in touch with the merchant.",
)

TEXTS: dict[Reason, Texts] = {
    # reason: payer zh, payer en, engineer zh, engineer en
    Reason.APPROVE_WITH_ID: (
        *_CALL_BANK,
        "发卡行要求核对持卡人身份后再授权。",
        "The issuer approves only after the cardholder was identified.",
    ),
    Reason.AUTHENTICATION_REQUIRED: (
        "需要您确认本人付款，请按提示完成验证。",
        "Please confirm that it is you: follow the steps of the verification.",
        "发卡行或渠道要求先做强认证，再以同一笔意图重试。",
        "The issuer or the channel wants authentication first; step up, then try the same intent again.",
    ),
    Reason.AUTHENTICATION_FAILED: (
        "身份验证没有完成，请再试一次或换一种支付方式。",
        "The verification was not completed. Please try again, or choose another payment method.",
        "强认证失败、被放弃或超时。",
        "Authentication failed, was abandoned or timed out.",
    ),
    Reason.AMOUNT_TOO_SMALL: (
        "金额低于这种支付方式的最低限额，请换一种方式。",
        "The amount is below the minimum of this payment method. Please choose another one.",
        "金额低于渠道下限。",
        "The amount is below the channel's minimum.",
    ),
    Reason.AMOUNT_TOO_LARGE: (
        "金额超过这种支付方式的单笔上限，请换一种方式。",
        "The amount is above the maximum of this payment method. Please choose another one.",
        "金额超过渠道、商户或账户的单笔上限。",
        "The amount is above a maximum per payment of the channel, the merchant or the account.",
    ),
    Reason.ACCOUNT_CLOSED: (*_OTHER_METHOD, "账户已关闭。", "The account behind the method is closed."),
    Reason.ACCOUNT_FROZEN: (
        *_OTHER_METHOD,
        "付款账户或交易被冻结、限制。",
        "The payer's account, or this payment, is frozen or restricted.",
    ),
    Reason.ACCOUNT_UNKNOWN: (
        *_OTHER_METHOD,
        "找不到对应账户，或账户类型不符。",
        "There is no such account, or it is of another type than was named.",
    ),
    Reason.CARD_BLOCKED: (
        *_CALL_BANK,
        "卡片被发卡行限制或要求没收；不得再次提交。",
        "The issuer restricted the card or wants it picked up; never submit it again.",
    ),
    Reason.CARD_EXPIRED: (
        "这张卡已过有效期，请换一张卡。",
        "This card has expired. Please use another card.",
        "卡片过期。",
        "The card has expired.",
    ),
    Reason.CARD_LOST: (
        *_CALL_BANK,
        "卡片已挂失；不得向付款人说明，不得再次提交。",
        "The card is reported lost; do not tell the payer, never submit it again.",
    ),
    Reason.CARD_STOLEN: (
        *_CALL_BANK,
        "卡片被报失窃；不得向付款人说明，不得再次提交。",
        "The card is reported stolen; do not tell the payer, never submit it again.",
    ),
    Reason.CARD_NOT_SUPPORTED: (
        "这里暂不支持这张卡，请换一张卡或其他方式。",
        "This kind of card is not accepted here. Please use another card or method.",
        "渠道或收单行不支持该卡种、卡组织或测试卡。",
        "The channel or acquirer does not take this type of card, its network, or a test card.",
    ),
    Reason.CARD_NUMBER_INVALID: (*_CHECK_CARD, "卡号无效或无此发卡行。", "No such card number or issuer."),
    Reason.CARD_VELOCITY_EXCEEDED: (
        "这张卡近期使用次数已到上限，请稍后再试或换一张卡。",
        "This card has reached its limit for now. Please try later, or use another card.",
        "超过发卡行的次数或累计金额限制。",
        "Above the issuer's limit on the number or the sum of payments in a period.",
    ),
    Reason.CHANNEL_ERROR: (*_OUR_SIDE, "渠道内部错误。", "The channel reports an error of its own."),
    Reason.CHANNEL_RATE_LIMITED: (*_TRY_AGAIN, "触发渠道限流。", "The channel limits our rate of calls."),
    Reason.CHANNEL_UNAVAILABLE: (*_TRY_AGAIN, "渠道不可用。", "The channel is not available."),
    Reason.CONFIGURATION_INVALID: (
        *_OUR_SIDE,
        "渠道配置、密钥、签名或权限错误；请告警处理。",
        "The channel's settings, keys, signature or permissions are wrong; alert somebody.",
    ),
    Reason.CURRENCY_NOT_SUPPORTED: (
        *_OTHER_METHOD,
        "渠道或卡片不支持该币种。",
        "The channel or the card does not take this currency.",
    ),
    Reason.CVC_INCORRECT: (
        "卡背面的安全码不正确，请重新输入。",
        "The security code on the card does not match. Please enter it again.",
        "卡片校验码不符。",
        "The card verification code does not match.",
    ),
    Reason.DO_NOT_HONOR: (
        *_CALL_BANK,
        "发卡行拒绝且未说明原因。",
        "The issuer declined without giving a reason.",
    ),
    Reason.DUPLICATE: (
        "这笔付款似乎已经提交过，请先查看订单状态。",
        "This payment seems to have been made already. Please look at the order first.",
        "渠道认为是重复请求；先查询，勿换号重发。",
        "The channel takes it for a repeat; inquire first, never send it under a new reference.",
    ),
    Reason.EXPIRED: (
        "付款码或支付页面已过期，请刷新后再试。",
        "The code or the page has expired. Please refresh it and try again.",
        "付款码、二维码、授权或认证已失效。",
        "The payment code, the QR code, the authorization or its authentication has run out.",
    ),
    Reason.EXPIRY_INVALID: (
        "请核对卡片有效期后重新输入。",
        "Please check the expiry date of the card and enter it again.",
        "有效期格式或数值不正确。",
        "The expiry month or year is not valid.",
    ),
    Reason.FRAUD_SUSPECTED: (
        *_CALL_BANK,
        "发卡行或网络怀疑欺诈；不得向付款人说明，不得重试。",
        "The issuer or the network suspects fraud; do not tell the payer, never try again.",
    ),
    Reason.INSUFFICIENT_FUNDS: (
        "可用余额不足，请换一种支付方式或稍后再试。",
        "There are not enough funds available. Please choose another method, or try later.",
        "余额或信用额度不足。",
        "Not enough balance or credit.",
    ),
    Reason.ISSUER_ERROR: (*_TRY_AGAIN, "发卡行系统错误。", "The issuer's system reports an error."),
    Reason.ISSUER_UNAVAILABLE: (
        "暂时联系不上银行，没有扣款，请稍后再试或换一种方式。",
        "The bank cannot be reached and nothing was charged. Please try later, or choose another method.",
        "发卡行或其代理不可用。",
        "The issuer, or the switch in front of it, is not available.",
    ),
    Reason.LIMIT_EXCEEDED: (
        "超过了账户的限额，请换一种支付方式或改日再试。",
        "This is above the limit of the account. Please choose another method, or try another day.",
        "超过账户的日、月或累计限额。",
        "Above a daily, monthly or total limit of the account.",
    ),
    Reason.MANDATE_INVALID: (
        "自动付款的授权已失效，请重新授权。",
        "The permission for automatic payments is no longer valid. Please give it again.",
        "代扣协议不存在、无效或未生效。",
        "The mandate does not exist, is invalid or not in force.",
    ),
    Reason.MERCHANT_INVALID: (
        *_MERCHANT,
        "商户号无效、被停用，或其账户余额不足以退款。",
        "The merchant's number is unknown or suspended, or its balance cannot cover the act.",
    ),
    Reason.NETWORK_ERROR: (*_TRY_AGAIN, "卡网络或路由故障。", "The network failed or found no route."),
    Reason.NETWORK_TIMEOUT: (
        "还没有得到银行的结果，请稍后查看订单，请勿重复付款。",
        "The bank has not answered yet. Please look at the order in a while, and do not pay twice.",
        "网络报告超时，结局可能未知；查询后再决定。",
        "The network reports a time-out and the outcome may be open; inquire before anything else.",
    ),
    Reason.NOT_PERMITTED_TO_CARDHOLDER: (
        *_CALL_BANK,
        "持卡人未开通此类交易。",
        "The issuer does not permit this kind of payment to the cardholder.",
    ),
    Reason.NOT_PERMITTED_TO_MERCHANT: (
        *_MERCHANT,
        "商户未开通此类交易或产品。",
        "The merchant may not make this kind of payment, or lacks the product.",
    ),
    Reason.OTHER: (
        *_OTHER_METHOD,
        "渠道代码未收录；原始代码已保留。",
        "A code not listed; see the raw code.",
    ),
    Reason.PAYER_CANCELED: (
        "您取消了这次付款，没有扣款。",
        "You canceled this payment and nothing was charged.",
        "付款人取消。",
        "The payer canceled.",
    ),
    Reason.PIN_INCORRECT: (
        "密码不正确，请重新输入。",
        "The PIN does not match. Please enter it again.",
        "个人密码错误。",
        "The PIN is wrong, or could not be verified.",
    ),
    Reason.PIN_REQUIRED: (
        "这笔付款需要输入密码。",
        "This payment needs your PIN.",
        "发卡行要求个人密码。",
        "The issuer wants a PIN.",
    ),
    Reason.PIN_TRIES_EXCEEDED: (*_CALL_BANK, "个人密码错误次数超限。", "Too many wrong PINs."),
    Reason.POSTAL_CODE_INCORRECT: (
        "账单地址或邮编不符，请核对后重新输入。",
        "The billing address or postal code does not match. Please check it and enter it again.",
        "地址校验不符。",
        "The address check failed.",
    ),
    Reason.RECURRING_REVOKED: (
        "自动付款已被取消，请重新授权或换一种支付方式。",
        "Automatic payments were stopped. Please give permission again, or choose another method.",
        "付款人已撤销持续授权；不得继续扣款。",
        "The payer revoked the standing permission; never charge under it again.",
    ),
    Reason.REFERENCE_CONFLICT: (
        *_OUR_SIDE,
        "同一参考号的内容与之前不同。",
        "The reference was used before with other contents.",
    ),
    Reason.REFUND_TOO_LARGE: (
        *_MERCHANT,
        "退款金额超过可退余额。",
        "The refund is larger than what is left to refund.",
    ),
    Reason.REFUND_TOO_LATE: (
        *_MERCHANT,
        "超过可退款期限。",
        "The time in which refunds are possible is over.",
    ),
    Reason.REQUEST_INVALID: (
        *_OUR_SIDE,
        "请求格式错误，或渠道能力不支持；未产生资金动作。",
        "The request is malformed, or outside of the channel's capabilities; nothing happened.",
    ),
    Reason.RISK_BLOCKED: (
        *_OTHER_METHOD,
        "被渠道或我方风控拦截；不得向付款人说明。",
        "Blocked by the risk rules of the channel or of this house; do not tell the payer.",
    ),
    Reason.SECURITY_VIOLATION: (
        *_CALL_BANK,
        "报文安全校验失败（密钥、校验码、密码块）。",
        "A security check of the message failed: key, MAC, cryptogram or PIN block.",
    ),
    Reason.STATE_INVALID: (
        *_MERCHANT,
        "支付当前状态不允许此操作，或找不到原交易。",
        "The payment is in a state that does not allow the act, or is not known there.",
    ),
    Reason.TRY_AGAIN_LATER: (*_TRY_AGAIN, "渠道或发卡行要求稍后重试。", "Asked to try again later."),
}
