"""The words of the step-up pages: each key with its English and its Chinese text, so that none can be missing.

Texts are trusted HTML without markup; values in braces are escaped where they are put in (``web.step_up.views``). What
frames the page (marks, switches, test mode) has the words of the checkout.
"""

from tongbao.web.locale import cashier

LANGUAGES = cashier.LANGUAGES

TEXTS: dict[str, tuple[str, str]] = {
    "who": ("Confirm that it is you", "请确认是您本人付款"),
    "the_merchant": ("the merchant", "商家"),
    "sent_to": ("We sent a code with 6 digits to {masked}.", "我们已将 6 位数字验证码发送至 {masked}。"),
    "code": ("Code", "验证码"),
    "confirm": ("Confirm and pay {amount}", "确认并支付 {amount}"),
    "checking": ("One moment…", "请稍候…"),
    "attempts": ("Attempts left: {n}", "剩余尝试次数：{n}"),
    "good_until": ("The code is good until", "验证码有效期至"),
    "only_this": (
        "The code confirms this payment only. Tell it to nobody: no merchant, bank or helpdesk ever asks for it.",
        "验证码仅用于确认本次付款，请勿告知任何人。商家、银行和客服都不会向您索要。",
    ),
    "resend": ("Send a new code", "重新发送验证码"),
    "wait": ("No code yet? You can have a new one in {n} seconds.", "没有收到？{n} 秒后可重新发送。"),
    "ready": (
        "No code yet? Please look into the folder for unwanted mail, or have a new one sent.",
        "没有收到？请查看垃圾邮件，或重新发送。",
    ),
    "no_more": (
        "No further code can be sent. The newest one is good until it expires.",
        "已达发送次数上限，请使用最近一次收到的验证码。",
    ),
    "said_sent": (
        "A new code is on its way. Codes from before no longer count.",
        "新验证码已发送，之前的验证码已失效。",
    ),
    "back": ("Back to {merchant}", "返回{merchant}"),
    # An answer that was not taken.
    "p_wrong": ("This code is not right", "验证码不正确"),
    "p_wrong_note": ("Please look at the newest message and try again.", "请核对最近收到的验证码后重试。"),
    "p_form": ("Please enter all 6 digits", "请输入完整的 6 位数字"),
    "p_form_note": (
        "They stand in the message that we sent. No attempt was used up.",
        "验证码在我们发送的消息中，本次不计入尝试次数。",
    ),
    "p_soon": ("A code was sent just now", "验证码刚刚发送"),
    "p_soon_note": ("Please wait a moment before you ask for another one.", "请稍等片刻再重新获取。"),
    "p_sends": ("No further code can be sent", "已达发送次数上限"),
    "p_sends_note": ("Please use the code of the newest message.", "请使用最近一次收到的验证码。"),
    "p_unsent": ("The code could not be sent", "验证码发送失败"),
    "p_unsent_note": (
        "This is our fault, not yours. Please ask for a new one in half a minute.",
        "这是我们的问题，请半分钟后重新发送。",
    ),
    "p_busy": ("Very busy at the moment", "系统繁忙"),
    "p_busy_note": ("Nothing was charged. Please try again shortly.", "您没有被扣款，请稍后再试。"),
    # Passkeys.
    "key_ask": (
        "Use your passkey: the fingerprint, face or PIN with which you unlock this device.",
        "请使用通行密钥：即解锁本设备的指纹、面容或锁屏密码。",
    ),
    "key_confirm": ("Confirm and pay {amount}", "确认并支付 {amount}"),
    "key_only_this": (
        "It confirms this payment to {merchant} only. Your fingerprint or face never leaves your device.",
        "仅确认本次向{merchant}的付款。您的指纹或面容信息不会离开您的设备。",
    ),
    "key_no_script": (
        "A passkey needs JavaScript, which is switched off here. A code works without.",
        "使用通行密钥需要启用 JavaScript。您也可以使用验证码。",
    ),
    "key_none": (
        "The passkey that you had here was removed. A code works as well.",
        "您的通行密钥已被移除。请使用验证码。",
    ),
    "key_other_device": ("Passkey not at hand?", "手边没有通行密钥？"),
    "use_code": ("Send me a code instead", "改用验证码"),
    "has_key": ("You have a passkey, too.", "您也可以使用通行密钥。"),
    "use_key": ("Use my passkey instead", "改用通行密钥"),
    "key_attempts": ("Attempts left: {n}", "剩余尝试次数：{n}"),
    "save": ("Thank you, it is you", "验证成功"),
    "save_note": ("Your payment to {merchant} goes on.", "向{merchant}的付款正在继续处理。"),
    "save_ask": (
        "Next time, confirm with the fingerprint, face or PIN of this device instead of a code?",
        "下次付款，要改用本设备的指纹、面容或锁屏密码代替验证码吗？",
    ),
    "save_key": ("Save a passkey on this device", "在本设备保存通行密钥"),
    "save_later": ("Not now, go on", "暂不保存，继续"),
    "save_what": (
        "For payments to {merchant} only. A device that others unlock, too, is no place for it.",
        "仅用于向{merchant}付款。请勿保存在他人也能解锁的设备上。",
    ),
    # What a browser said instead of an answer.
    "told_canceled": (
        "Nothing was confirmed. Either the question was closed, or this device has none of your passkeys. Try again, or use a code.",
        "尚未确认。您可能取消了操作，或本设备上没有您的通行密钥。请重试，或使用验证码。",
    ),
    "told_unable": (
        "This browser cannot use passkeys. Use a code, or open the page in another browser.",
        "当前浏览器不支持通行密钥。请使用验证码，或换用其他浏览器打开。",
    ),
    "told_foreign": (
        "This page was opened under another address than your passkey was made for. Use a code.",
        "当前页面地址与通行密钥不符。请使用验证码。",
    ),
    "told_failed": (
        "Your device could not answer. Try again, or use a code.",
        "设备未能响应。请重试，或使用验证码。",
    ),
    "told_unsaved": (
        "Nothing was saved. Your payment is not affected: try again, or go on.",
        "未保存，不影响您的付款。您可以重试，或直接继续。",
    ),
    "told_saved_before": (
        "This device has a passkey for you already. You can go on.",
        "本设备上已有您的通行密钥，可以直接继续。",
    ),
    # An answer of an authenticator that was not taken.
    "p_key": ("The passkey was not accepted", "通行密钥验证未通过"),
    "p_key_note": (
        "What it answered is not right. Try again, or use a code.",
        "返回内容有误。请重试，或使用验证码。",
    ),
    "p_key_unknown": ("This passkey is not known here", "此通行密钥不可用"),
    "p_key_unknown_note": (
        "It belongs to somebody else, was removed, or was saved after this payment began. Please use a code.",
        "它可能属于他人、已被移除，或在本次付款开始之后才保存。请使用验证码。",
    ),
    "p_key_foreign": ("The passkey was used on another site", "通行密钥来自其他网站"),
    "p_key_foreign_note": (
        "Check that the address of this page is the right one, or use a code.",
        "请核对当前页面的网址，或使用验证码。",
    ),
    "p_key_stale": ("That was for another payment", "该确认不属于本次付款"),
    "p_key_stale_note": (
        "What you confirmed was another payment or another amount. Please look at the amount and confirm once more.",
        "您确认的是另一笔付款或另一个金额。请核对金额后重新确认。",
    ),
    "p_key_unverified": ("Your device did not check that it is you", "设备未验证您的身份"),
    "p_key_unverified_note": (
        "Please use the fingerprint, face or PIN of the device, or a code.",
        "请使用设备的指纹、面容或锁屏密码，或使用验证码。",
    ),
    "p_key_cloned": ("This passkey may have been copied", "此通行密钥可能已被复制"),
    "p_key_cloned_note": (
        "To keep you safe we did not take it. Please use a code, and ask {merchant} to remove this passkey.",
        "为保护您的安全，未予通过。请使用验证码，并联系{merchant}移除此通行密钥。",
    ),
    "p_key_taken": ("This passkey was saved already", "通行密钥已保存"),
    "p_key_taken_note": ("You can go on.", "可以直接继续。"),
    "p_key_full": ("You have too many passkeys", "通行密钥数量已达上限"),
    "p_key_full_note": (
        "Ask {merchant} to remove those that you no longer use. You can go on.",
        "请联系{merchant}移除不再使用的通行密钥。可以直接继续。",
    ),
    "p_key_script": ("A passkey needs JavaScript", "通行密钥需要启用 JavaScript"),
    "p_key_script_note": ("Please use a code.", "请使用验证码。"),
    # Ends.
    "passed": ("Thank you, it is you", "验证成功"),
    "passed_note": ("Your payment to {merchant} can go on now.", "现在可以继续向{merchant}付款。"),
    "continue": ("Go on with the payment", "继续付款"),
    "done": ("Thank you, it is you", "验证成功"),
    "done_note": (
        "Your payment to {merchant} goes on. You can close this page.",
        "向{merchant}的付款正在继续处理，您可以关闭此页面。",
    ),
    "leaving": ("Thank you, it is you", "验证成功"),
    "leaving_note": ("Your payment goes on by itself.", "付款将自动继续。"),
    "go_on": ("Go on", "继续"),
    "expired": ("The code has expired", "验证码已过期"),
    "expired_note": (
        "Nothing was charged. You can have a new code, or go back.",
        "您没有被扣款。可以重新获取验证码，或返回。",
    ),
    "failed": ("Too many wrong codes", "验证码错误次数过多"),
    "failed_note": (
        "Nothing was charged. To keep you safe, this confirmation is closed. Please start the payment again.",
        "您没有被扣款。为保护您的安全，本次验证已关闭，请重新发起付款。",
    ),
    "expired_key": ("The time is over", "验证已超时"),
    "expired_key_note": (
        "Nothing was charged. You can confirm once more, or go back.",
        "您没有被扣款。可以重新验证，或返回。",
    ),
    "once_more": ("Confirm once more", "重新验证"),
    "failed_key": ("Too many attempts", "尝试次数过多"),
    "failed_key_note": (
        "Nothing was charged. To keep you safe, this confirmation is closed. Please start the payment again.",
        "您没有被扣款。为保护您的安全，本次验证已关闭，请重新发起付款。",
    ),
    "abandoned": ("This payment has changed", "付款内容已变更"),
    "abandoned_note": (
        "Nothing was charged here. Please go back and look at the payment as it is now.",
        "此处没有扣款。请返回查看最新的付款内容。",
    ),
    "late": ("This page is no longer good", "页面已失效"),
    "late_note": ("Nothing was charged. Please start the payment again.", "您没有被扣款，请重新发起付款。"),
    "tries": ("Too many confirmations", "验证次数过多"),
    "tries_note": (
        "Nothing was charged. Please try this payment again in an hour, or pay in another way.",
        "您没有被扣款。请一小时后重试，或换一种方式付款。",
    ),
    "no_means": ("We cannot reach you here", "无法发送验证码"),
    "no_means_note": (
        "This payment needs a confirmation, and we know no address of yours to send a code to. Nothing was charged. "
        "Please pay in another way or contact {merchant}.",
        "这笔付款需要验证，但没有可用于接收验证码的联系方式。您没有被扣款，请换一种方式付款或联系{merchant}。",
    ),
    "missing": ("There is nothing to confirm here", "此处没有待确认的付款"),
    "missing_note": (
        "The address may be incomplete. Please go back to the merchant and start the payment again.",
        "链接可能不完整，请返回商家页面重新发起付款。",
    ),
    "foreign": ("This form came from another site", "表单来自其他网站"),
    "foreign_note": (
        "Nothing was charged. Please confirm on the page that the payment led you to.",
        "您没有被扣款，请在付款跳转的页面上完成验证。",
    ),
    "busy": ("Very busy at the moment", "系统繁忙"),
    "busy_note": ("Nothing was charged. Please try again shortly.", "您没有被扣款，请稍后再试。"),
    "broken": ("This did not work", "操作未成功"),
    "broken_note": (
        "We are looking into it. Please open the page once more to see how your payment stands.",
        "我们正在处理。请重新打开页面查看付款状态。",
    ),
}


def text(key: str, language: str) -> str:
    """Return the text of a key, of the checkout where there is none here; raise KeyError or ValueError for unknown ones."""
    found = TEXTS.get(key)
    return cashier.text(key, language) if found is None else found[LANGUAGES.index(language)]
