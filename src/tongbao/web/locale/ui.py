"""The words of the kit: each key with its English and its Chinese text, so that none can be missing.

Texts are trusted HTML without markup; values in braces are escaped where they are put in. Forms of number stand side by
side, divided by ``|``, in the order of the language's plural categories (English: one, other; Chinese: other).
"""

TEXTS: dict[str, tuple[str, str]] = {
    "brand": ("Tongbao", "通宝"),
    "skip": ("Skip to the content", "跳到正文"),
    "where": ("Where you are", "当前位置"),
    "pages": ("Pages", "分页"),
    "parts": ("Parts", "分栏"),
    "places": ("Places", "栏目"),
    "menu": ("Menu", "菜单"),
    "key_figures": ("Key figures", "关键数字"),
    "copy": ("Copy", "复制"),
    "copy_it": ("Copy {what}", "复制 {what}"),
    "copied": ("Copied", "已复制"),
    "dismiss": ("Dismiss", "关闭提示"),
    "close": ("Close", "关闭"),
    "details": ("Details", "详情"),
    "optional": ("optional", "选填"),
    "from": ("From", "从"),
    "until": ("Until", "至"),
    "search": ("Search", "查找"),
    "find_any": ("Find a payment, a person or an id", "查找付款、人员或编号"),
    "palette": ("Find and go", "查找与跳转"),
    "palette_hint": (
        "Type an id or the name of a place. Enter goes there.",
        "输入编号或栏目名称，按回车前往。",
    ),
    "reason": ("Reason", "理由"),
    "reason_hint": (
        "Kept with this act, for whoever asks later.",
        "随本次操作一起保存，供日后查询。",
    ),
    "next": ("Next", "下一页"),
    "previous": ("Previous", "上一页"),
    "done": ("done", "已完成"),
    "code": ("Code", "代码"),
    "as_table": ("Show as table", "以表格显示"),
    "secret_once": (
        "Shown this once. Keep it in a safe place; whoever has it can act for you.",
        "仅显示这一次。请妥善保管，持有者可以代您操作。",
    ),
    "mode": ("Mode", "环境"),
    "mode_live": ("Live", "正式"),
    "mode_test": ("Test", "测试"),
    "display": ("Display", "显示设置"),
    "theme_dark": ("Dark", "深色"),
    "theme_light": ("Light", "浅色"),
    "theme_auto": ("Automatic", "自动"),
    "elder_on": ("Large text", "大字版"),
    "elder_off": ("Normal text", "标准字号"),
    "other_language": ("中文", "English"),
    "live": ("Live", "实时"),
    "reconnecting": ("Reconnecting", "正在重新连接"),
    "loading": ("Loading", "正在加载"),
    "failed": ("That did not arrive. Try again.", "未能完成，请重试。"),
    "read_aloud": ("Read aloud", "朗读"),
    "footer": (
        "All times are UTC. Amounts are kept to the smallest unit of their currency.",
        "所有时间均为协调世界时（UTC）。金额精确到币种的最小单位。",
    ),
    # Tables.
    "columns": ("Columns", "显示列"),
    "density": ("Density", "行距"),
    "density_normal": ("Comfortable", "宽松"),
    "density_dense": ("Compact", "紧凑"),
    "filters": ("Filters", "筛选"),
    "any": ("Any", "不限"),
    "apply": ("Apply", "应用"),
    "clear": ("Clear", "清除"),
    "export": ("Export CSV", "导出 CSV"),
    "views": ("Saved views", "已存视图"),
    "view_all": ("All", "全部"),
    "view_name": ("Name of this view", "视图名称"),
    "view_save": ("Save this view", "保存当前视图"),
    "view_drop": ("Remove {name}", "移除 {name}"),
    "sort_up": ("{column}, smallest first", "{column}，升序"),
    "sort_down": ("{column}, largest first", "{column}，降序"),
    "rows": ("{count} row|{count} rows", "{count} 行"),
    "rows_more": (
        "{count} row shown, there are more|{count} rows shown, there are more",
        "已显示 {count} 行，还有更多",
    ),
    "first_page": ("To the first page", "回到第一页"),
    "nothing_title": ("Nothing here yet", "这里还没有内容"),
    "nothing_found": ("Nothing matches", "没有符合条件的内容"),
    "nothing_found_line": (
        "No row has what the filters ask for. Clear them to see all.",
        "没有符合筛选条件的行。清除筛选可查看全部。",
    ),
    # What forms answer.
    "e_required": ("This is needed.", "此项必填。"),
    "e_too_long": ("At most {most} characters.", "最多 {most} 个字符。"),
    "e_too_short": ("At least {least} characters.", "至少 {least} 个字符。"),
    "e_choice": ("Choose one of the list.", "请从列表中选择。"),
    "e_whole": ("A whole number is needed.", "请输入整数。"),
    "e_least": ("Not below {least}.", "不能小于 {least}。"),
    "e_most": ("Not above {most}.", "不能大于 {most}。"),
    "e_amount": ("This is not an amount. Example: {example}.", "金额格式不正确，例如：{example}。"),
    "e_precise": (
        "{currency} has {places} decimal.|{currency} has {places} decimals.",
        "{currency} 只有 {places} 位小数。",
    ),
    "e_day": ("This is not a day. Example: {example}.", "日期格式不正确，例如：{example}。"),
    "e_range": ("The end lies before the beginning.", "结束日期早于开始日期。"),
    "e_email": ("This is not an e-mail address.", "电子邮箱格式不正确。"),
    "e_form": (
        "Some entries need another look. Nothing was changed.",
        "部分内容需要修改，尚未保存任何更改。",
    ),
    # Finding.
    "not_found": ("Nothing has this id", "没有找到该编号"),
    "not_found_line": (
        "No place that you may see knows “{what}”.",
        "在您可见的范围内没有“{what}”。",
    ),
    "back": ("Back", "返回"),
}


def text(key: str, place: int) -> str:
    """Return the text of a key in the language at a place (0 English, 1 Chinese); raise KeyError for an unknown key."""
    return TEXTS[key][place]
