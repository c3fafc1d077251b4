"""The words of the hosted checkout: each key with its English and its Chinese text, so that none can be missing.

Texts are trusted HTML without markup; values in braces are escaped where they are put in (``web.cashier.views``).
What a decline means is said by ``channels.service.codes``, in both languages.
"""

from tongbao.web.locale import ledger

LANGUAGES = ledger.LANGUAGES

TEXTS: dict[str, tuple[str, str]] = {
    "brand": ("Tongbao", "通宝"),
    "skip": ("Skip to the content", "跳到正文"),
    "settings": ("Display", "显示设置"),
    "other_language": ("中文", "English"),
    "elder_on": ("Large text", "大字版"),
    "elder_off": ("Normal text", "标准字号"),
    "to_dark": ("Dark", "深色"),
    "to_light": ("Light", "浅色"),
    "full_page": ("Full page", "完整页面"),
    "read_aloud": ("Read aloud", "朗读金额"),
    "speak": ("Pay {amount} to {merchant}.", "向{merchant}付款，{amount}。"),
    "test_mode": ("Test mode", "测试模式"),
    "test_note": ("This is a test. No real money moves.", "这是测试页面，不会产生真实扣款。"),
    "pay_to": ("Pay {merchant}", "向{merchant}付款"),
    "choose_amount": ("How much would you like to pay?", "您要付多少？"),
    "amount_in": ("Amount in {currency}", "金额（{currency}）"),
    "amount_bounds": ("From {least} to {most}.", "{least} 至 {most}。"),
    "to_ways": ("Go on", "下一步"),
    "amount_next": (
        "Nothing is charged yet: you choose how to pay next.",
        "此时不会扣款，下一步选择付款方式。",
    ),
    "total": ("Total", "合计"),
    "subtotal": ("Subtotal", "小计"),
    "part_discount": ("Discount", "优惠"),
    "part_shipping": ("Shipping", "运费"),
    "part_tax": ("Tax", "税费"),
    "part_fee": ("Fee", "手续费"),
    "items": ("What you are paying for", "付款明细"),
    "how": ("How would you like to pay?", "选择付款方式"),
    "how_again": ("Please check and try again", "请核对后重试"),
    "how_next": ("Another way usually works", "换一种方式付款"),
    "how_once_more": ("Try once more", "请再试一次"),
    "why_last": ("Last used", "上次使用"),
    "why_reliable": ("Works best", "成功率高"),
    "more_ways": ("More ways to pay ({n})", "更多付款方式（{n}）"),
    "pay_instead": ("Pay with {method} instead", "改用{method}付款"),
    "m_card": ("Card", "银行卡"),
    "m_alipay": ("Alipay", "支付宝"),
    "m_wechat_pay": ("WeChat Pay", "微信支付"),
    "m_wallet": ("Wallet", "钱包"),
    "h_card": ("Visa, Mastercard, UnionPay and others", "银联、Visa、Mastercard 等"),
    "h_alipay": ("Scan a code with the app", "用支付宝扫一扫"),
    "h_wechat_pay": ("Scan a code with the app", "用微信扫一扫"),
    "number": ("Card number", "卡号"),
    "expiry": ("Expiry date", "有效期"),
    "expiry_hint": ("MM / YY", "月 / 年"),
    "cvc": ("Security code", "安全码"),
    "cvc_hint": ("3–4 digits", "3–4 位数字"),
    "name": ("Name on the card", "持卡人姓名"),
    "optional": ("optional", "选填"),
    "pay": ("Pay {amount}", "支付 {amount}"),
    "show_code": ("Show the code", "显示付款码"),
    "paying": ("One moment…", "请稍候…"),
    "reassure": (
        "Card details are sealed at once. The merchant never sees them.",
        "卡片信息即时加密保存，商家无法看到。",
    ),
    "code_alone": (
        "While its code is open, this payment cannot be made in another way.",
        "付款码有效期间，无法改用其他方式支付这笔款项。",
    ),
    "cancel": ("Back to {merchant}", "返回{merchant}"),
    "until": ("You can pay until", "付款截止时间"),
    "declined": ("The payment did not go through", "付款未成功"),
    "not_charged": ("Nothing was charged.", "您没有被扣款。"),
    "tried": ("Already tried", "已尝试"),
    "tried_lost": ("did not arrive", "未送达"),
    "never_made": (
        "Your bank or wallet has no such payment: it never arrived there, and nothing was charged. You can pay now.",
        "银行或钱包没有收到这笔付款，您没有被扣款，现在可以重新付款。",
    ),
    "tried_once": ("declined", "未成功"),
    "tried_routes": ("declined over {n} routes, one after the other", "已自动换 {n} 条线路，均未成功"),
    "contact": ("Questions? {merchant}:", "如有疑问，请联系{merchant}："),
    "contact_page": ("Help page", "帮助页面"),
    "more_time": ("I need more time", "需要更多时间"),
    "said_longer": ("You have 20 minutes more. Take your time.", "已延长 20 分钟，请慢慢操作。"),
    "said_forgotten": ("This device keeps nothing of you any more.", "本设备上保存的信息已清除。"),
    "device": ("What this device remembers", "本设备记住的信息"),
    "device_mark": (
        "That it was here before: a random mark without your name. It saves you a confirmation now and then.",
        "曾在此付款的随机标记，不含您的姓名，可减少重复验证。",
    ),
    "device_way": ("How you paid last: {method}.", "上次的付款方式：{method}。"),
    "device_look": ("Language, text size and colors.", "语言、字号和配色。"),
    "device_forget": ("Forget all of it", "全部清除"),
    "no_way": ("This cannot be paid here right now", "暂时无法在此付款"),
    "no_way_note": (
        "No payment method is available for this amount at the moment. Please try later or contact {merchant}.",
        "这笔金额目前没有可用的付款方式，请稍后再试或联系{merchant}。",
    ),
    "tries": ("Too many attempts", "尝试次数过多"),
    "tries_note": (
        "To keep cards safe, this page takes no more attempts. Please ask {merchant} for a new link.",
        "为保护您的卡片安全，此页面不再接受付款。请向{merchant}索取新的链接。",
    ),
    "paused": ("{merchant} takes no payments right now", "{merchant}暂停收款"),
    "paused_note": ("Please contact the merchant.", "请联系商家。"),
    # A form that was not taken.
    "p_title": ("Please check the form", "请检查填写内容"),
    "p_number": ("Enter the card number as it stands on the card.", "请输入卡面上的完整卡号。"),
    "p_expiry": (
        "Enter the month and year until which the card is good, such as 08/30.",
        "请输入卡片有效期的月份和年份，例如 08/30。",
    ),
    "p_cvc": (
        "Enter the security code: 3 digits on the back, or 4 on the front of an American Express card.",
        "请输入安全码：卡背面的 3 位数字，美国运通卡为正面的 4 位数字。",
    ),
    "p_name": ("Enter the name as it stands on the card, or leave it empty.", "请输入卡面上的姓名，或留空。"),
    "p_method": (
        "This method cannot be used now. Please choose another one.",
        "暂时无法使用这种方式，请换一种。",
    ),
    "p_again": ("Please fill in the form once more. Nothing was charged.", "请重新填写一次。您没有被扣款。"),
    "p_busy": (
        "Very many people are paying at the moment and nothing was charged. Please try again.",
        "当前付款人数较多，您没有被扣款，请再试一次。",
    ),
    # A code, a page elsewhere, an outcome that is not known yet.
    "scan_alipay": ("Scan with Alipay", "请用支付宝扫码"),
    "scan_wechat_pay": ("Scan with WeChat", "请用微信扫码"),
    "scan_other": ("Scan to pay", "扫码付款"),
    "scan_note": (
        "Open the app on your phone, scan the code and confirm. This page moves on by itself.",
        "打开手机应用，扫描二维码并确认付款，本页面会自动跳转。",
    ),
    "scan_label": ("Payment code for {amount}", "金额为 {amount} 的付款码"),
    "open_app": ("Open the app on this phone", "在本机打开应用付款"),
    "code_until": ("The code is valid until", "付款码有效期至"),
    "check_now": ("I have paid – check now", "我已付款，立即查看"),
    "waiting": ("Waiting for your confirmation", "等待您确认付款"),
    "leave": ("Confirm that it is you", "请确认是您本人付款"),
    "leave_note": (
        "Your bank or wallet asks you to confirm this payment on its own page. You come back here afterwards.",
        "银行或钱包需要您在其页面上确认这笔付款，完成后会返回此处。",
    ),
    "asked_note": (
        "It takes a minute. Nothing is charged before; afterwards the payment goes on by itself and you come back here.",
        "只需一分钟。验证前不会扣款，完成后付款自动继续并返回此处。",
    ),
    "leave_until": ("Please confirm until", "请在此之前确认"),
    "leave_button": ("Go on to the confirmation", "前往确认"),
    "wait": ("Your payment is being checked", "正在确认付款结果"),
    "dont_pay": ("Please do not pay again.", "请勿重复付款。"),
    "w_known": ("What we know", "目前情况"),
    "w_next": ("What happens next", "接下来"),
    "w_since": ("Since", "开始时间"),
    "w_known_asked": (
        "Your payment was sent and the answer is on its way.",
        "付款请求已发出，正在等待结果。",
    ),
    "w_next_asked": (
        "This usually takes seconds. This page shows the result as soon as it is known.",
        "通常只需几秒钟，结果一经确认即在此显示。",
    ),
    "w_known_pending": (
        "Your bank or wallet has taken the payment in and is still working on it.",
        "银行或钱包已受理付款，正在处理中。",
    ),
    "w_next_pending": (
        "This can take some minutes. You can close this page: {merchant} hears the result, too.",
        "可能需要几分钟。您可以关闭此页面，结果也会通知{merchant}。",
    ),
    "w_known_unknown": (
        "The answer did not arrive. The payment may have been made, or not.",
        "尚未收到结果，付款可能已成功，也可能未成功。",
    ),
    "w_next_unknown": (
        "We keep asking until we know. You are charged at most once; if it was not made, you can pay here again. "
        "You can close this page: {merchant} hears the result, too.",
        "我们会持续查询直到确认。您最多只会被扣款一次；若未成功，可在此重新付款。您可以关闭此页面，结果也会通知{merchant}。",
    ),
    "w_known_lapsed": (
        "The time for your confirmation is over. We are asking whether it was made before.",
        "确认时间已过，正在查询是否已完成付款。",
    ),
    "w_next_lapsed": (
        "If it was made, you see it here. If not, you can choose a way to pay again in a moment.",
        "若已完成将在此显示；若未完成，稍后可重新选择付款方式。",
    ),
    "check_again": ("Check again", "重新查看"),
    # Ends.
    "paid": ("Thank you, your payment is complete", "付款成功，谢谢"),
    "reserved": ("Thank you, your payment is reserved", "付款已授权，谢谢"),
    "reserved_note": (
        "{merchant} collects the money when the order is fulfilled.",
        "{merchant}将在履行订单时收款。",
    ),
    "held": ("Thank you, your payment is being looked at", "付款已提交，正在审核"),
    "held_note": (
        "The amount is reserved and nothing has been collected yet. There is nothing that you need to do, and please do not pay again: {merchant} hears the result and tells you.",
        "金额已预授权，尚未扣款。您无需进行任何操作，也请勿重复付款，结果将通知{merchant}并由其告知您。",
    ),
    "receipt": ("Receipt", "付款凭证"),
    "receipt_page": ("Receipt to print or save", "打印或保存凭证"),
    "receipt_back": ("Back", "返回"),
    "print": ("Print", "打印"),
    "r_merchant": ("Paid to", "收款方"),
    "r_amount": ("Amount", "金额"),
    "r_refunded": ("Refunded", "已退款"),
    "r_method": ("Paid with", "付款方式"),
    "r_at": ("Date", "时间"),
    "r_reference": ("Reference", "交易编号"),
    "keep": ("Keep the reference for questions about this payment.", "如有疑问，请提供此交易编号。"),
    "go_on": ("Go on to {merchant}", "返回{merchant}"),
    "expired": ("This checkout has expired", "付款页面已过期"),
    "expired_note": (
        "Nothing was charged. Please ask {merchant} for a new link, or open the link once more.",
        "您没有被扣款。请重新打开链接，或向{merchant}索取新的链接。",
    ),
    "canceled": ("This payment was canceled", "付款已取消"),
    "canceled_note": (
        "There is nothing left to pay here. If you still want to pay, please contact {merchant}.",
        "此处已无需付款。如仍想付款，请联系{merchant}。",
    ),
    "undecided": ("This payment could not be completed in time", "未能在规定时间内完成付款"),
    "undecided_note": (
        "Nothing was charged, and what was reserved is released. If you still want to pay, please contact {merchant} for a new link.",
        "您没有被扣款，预授权的金额已释放。如仍想付款，请联系{merchant}获取新的链接。",
    ),
    "inactive": ("This link is no longer active", "此链接已失效"),
    "inactive_note": (
        "Nothing was charged. Please ask whoever sent it to you for a new one.",
        "您没有被扣款，请向发送者索取新的链接。",
    ),
    "missing": ("There is nothing to pay here", "此处没有待付款项"),
    "missing_note": (
        "The address may be incomplete. Please open it once more from the message that you were sent.",
        "链接可能不完整，请从收到的消息中重新打开。",
    ),
    "foreign": ("This form came from another site", "表单来自其他网站"),
    "foreign_note": (
        "Nothing was charged. Please open the checkout from the merchant's link and pay there.",
        "您没有被扣款。请通过商家的链接打开付款页面。",
    ),
    "busy": ("Very busy at the moment", "系统繁忙"),
    "busy_note": ("Nothing was charged. Please try again shortly.", "您没有被扣款，请稍后再试。"),
    "failed": ("This did not work", "操作未成功"),
    "failed_note": (
        "We are looking into it. Open the page once more to see how your payment stands.",
        "我们正在处理。请重新打开页面查看付款状态。",
    ),
}


def text(key: str, language: str) -> str:
    """Return the text of a key; raise KeyError for an unknown key or ValueError for an unknown language."""
    return TEXTS[key][LANGUAGES.index(language)]
