"""The words of a process that only shows: each key with its English and its Chinese text."""

TEXTS: dict[str, tuple[str, str]] = {
    "e_read_only": ("Nothing can be changed here", "此处只能查看，不能更改"),
    "e_read_only_line": (
        "This is the read-only console. It shows what the standby has, and takes no act, no payment and no sign-in. "
        "Nothing was changed. Do it at the main address.",
        "这是只读后台，显示备库中的数据，不接受任何操作、付款或登录。没有任何内容被更改。请到主地址办理。",
    ),
    "e_read_only_sign_in": ("Sign in at the main address", "请在主地址登录"),
    "e_read_only_sign_in_line": (
        "A sign-in is written down, and this console cannot write. Sign in at the main address of this host; this console "
        "then knows you by the same cookie.",
        "登录需要写入记录，而此后台不能写入。请先在同一主机的主地址登录，此后台随后凭同一 Cookie 认出您。",
    ),
}
