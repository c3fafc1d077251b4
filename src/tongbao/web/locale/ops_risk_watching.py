"""The words of risk control in the console for capacity, settings of cases, looks at models, fairness, what lists did.

Each key with its English and its Chinese text, as in ``ops_risk``.
"""

TEXTS: dict[str, tuple[str, str]] = {
    # Settings of cases.
    "case_settings": ("How cases are worked", "案件处理设置"),
    "case_settings_line": (
        "What rings, by when it is to be closed, how much one person releases. Every version stays on record.",
        "设定告警条件、结案时限与单人放行额度，每一版均留存。",
    ),
    "settings_now": ("Settings", "设置"),
    "settings_of": ("Version {n} by {name}, {at}", "第 {n} 版，{name} 于 {at}"),
    "settings_built_in": ("What is built in; nobody has changed it.", "内置设置，尚未修改。"),
    "settings_due": ("To be closed within, hours", "结案时限（小时）"),
    "settings_fresh": (
        "A case takes in alerts for so many hours after the last",
        "末次告警后继续吸收告警的小时数",
    ),
    "settings_fresh_note": ("Later ones open a case of their own.", "之后的告警另立新案。"),
    "settings_alone": ("One person releases up to", "单人可放行上限"),
    "settings_alone_note": (
        "In units of the house's currency. Raising it takes a second person.",
        "以本位币计；上调须双人复核。",
    ),
    "settings_declined": ("Declined payments ring from this amount", "拒绝付款达到此金额时告警"),
    "settings_rules": ("Rules that ring wherever they match, one a line", "命中即告警的规则，每行一条"),
    "settings_across": ("One case for a card or device across merchants", "同一卡或设备跨商户合为一案"),
    "settings_worth": (
        "What one unit of a currency counts for, one a line: JPY 0.006",
        "各币种折算，每行一种，例如 JPY 0.006",
    ),
    "settings_note": ("What changes, and why", "改动内容与理由"),
    "settings_button": ("Keep as a new version", "保存为新版本"),
    "settings_history": ("Versions", "历史版本"),
    "settings_none": ("Nobody has changed anything yet.", "尚无修改记录。"),
    "settings_version": ("Version", "版本"),
    "settings_state": ("State", "状态"),
    "settings_waiting": ("Version {n} by {name}: {why}", "第 {n} 版，{name}：{why}"),
    "settings_approve": ("Agree", "同意"),
    "settings_refuse": ("Refuse", "拒绝"),
    "setting_in_force": ("in force", "生效中"),
    "setting_past": ("replaced", "已被替换"),
    "setting_waiting": ("waits", "待复核"),
    "setting_refused": ("refused", "已拒绝"),
    "said_settings_made": ("The new version is in force.", "新版本已生效。"),
    "said_settings_asked": (
        "One person would release more than before: a second person has to agree.",
        "单人放行额度有变，须他人复核后生效。",
    ),
    "said_settings_refused": ("The version is not put into force.", "该版本不予生效。"),
    "x_case_settings_invalid": ("This cannot be kept: {detail}.", "无法保存：{detail}。"),
    "x_case_settings_changed": (
        "Somebody else made a version meanwhile. What you typed is kept: compare, then send it again.",
        "他人已保存新版本。填写内容已保留，请核对后重新提交。",
    ),
    "x_case_settings_same": ("These settings are in force already.", "与现行设置相同，无需保存。"),
    "x_case_settings_waiting": (
        "A version waits for a second person: agree or refuse first.",
        "有版本待复核，请先处理。",
    ),
    "x_case_settings_not_waiting": ("This version waits no longer.", "该版本已不在复核中。"),
    # Capacity.
    "tradeoff": ("What friction buys", "打扰换来什么"),
    "tradeoff_line": (
        "Analysts and payers' patience are scarce. See what they buy, name how much there is, and draft a policy that keeps to it.",
        "审核人力与付款人耐心都有限。查看它们的价值，填写可用容量，并据此起草策略。",
    ),
    "tradeoff_front": ("Cost against payers bothered", "成本与打扰的权衡"),
    "tradeoff_of": (
        "{n} payments of {days} days, asked again under {policy}.",
        "{days} 天内 {n} 笔付款，按 {policy} 重新评估。",
    ),
    "tradeoff_left_out": ("{n} cannot be looked at again.", "{n} 笔无法还原。"),
    "capacity": ("How much there is", "可用容量"),
    "capacity_reviews": ("Reviews a day", "每日可审核笔数"),
    "capacity_share": ("Payments stepped up, %", "加强验证占比，%"),
    "capacity_note": ("Leave empty what has no bound.", "不设上限则留空。"),
    "capacity_button": ("Find the prices", "计算影子价格"),
    "prices_found": ("Prices that keep to it", "对应的影子价格"),
    "price_step_up": ("Price of a step-up, beyond its fee", "验证影子价格（手续费之外）"),
    "price_review": ("Price of a review, beyond its fee", "审核影子价格（手续费之外）"),
    "tradeoff_draft": ("Draft these prices", "以此价格起草策略"),
    "tradeoff_draft_note": (
        "A draft decides nothing. It is replayed on the log before anybody may publish it.",
        "草稿不影响决策，发布前须在决策日志上重放。",
    ),
    "tradeoff_drafted": (
        "Version {n} is drafted with these prices. Replay it before it is published.",
        "第 {n} 版草稿已按此价格保存，发布前请先重放。",
    ),
    "x_tradeoff_empty": (
        "No payment of this time can be looked at again, so nothing can be said.",
        "此期间没有可还原的付款，无法给出结论。",
    ),
    "x_budget_invalid": (
        "Reviews a day are a number from 0 on, the share lies between 0 and 100 %.",
        "每日审核量须不小于 0，占比须在 0 至 100% 之间。",
    ),
    # Looks at models, and whom risk control bothers.
    "watch_title": ("What was seen of it lately", "近期监测"),
    "watch_at": ("looked at {at}", "监测于 {at}"),
    "watch_features": ("The {n} features that it leans on most", "最重要的 {n} 个特征"),
    "watch_no_features": (
        "What its features looked like was not kept with this model; the next training keeps it.",
        "该模型未留存特征分布，下次训练起会留存。",
    ),
    "watch_no_payments": ("No payment of the last day to compare.", "最近一天没有可比较的付款。"),
    "alarm_since": ("since {at}", "自 {at} 起"),
    "alarm_span": ("{since} to {at}", "{since} 至 {at}"),
    "alarms_past": ("Alarms that went away: {n}", "已解除的告警：{n}"),
    "feature": ("Feature", "特征"),
    "psi": ("Stability index", "稳定性指数"),
    "psi_noise": ("By chance", "随机可达"),
    "psi_note": (
        "The last day against what the model learned on. Above 0.2 and beyond chance somebody should look; one feature alone never takes a model back.",
        "最近一天与训练数据的比较。超过 0.2 且非随机波动时应查看；单个特征漂移不会自动回退模型。",
    ),
    "fair": ("Whom it bothers", "对不同群体的影响"),
    "fair_line": (
        "{n} payments of the last five weeks, by groups that merchants know; {good} are known to have been good.",
        "最近五周 {n} 笔付款，按商户可见的分组统计，其中 {good} 笔已知正常。",
    ),
    "fair_note": (
        "A false positive is a good payment that was not let pass unseen. Of declined ones nobody knows. Groups of fewer than 100 are not told. Intervals are of 95 %.",
        "误拦指正常付款未能无感通过；被拒绝的付款无从得知真相。不足 100 笔的分组不予显示，区间为 95%。",
    ),
    "fair_group": ("Group", "分组"),
    "fair_step_up": ("Stepped up", "加强验证"),
    "fair_review": ("Held", "暂扣"),
    "fair_decline": ("Declined", "拒绝"),
    "fair_false": ("False positives", "误拦"),
    "fair_few": ("too few to tell", "数量不足"),
    "fair_marked": ("bothered more", "打扰偏多"),
    "fair_ratio": ("lowest over highest: {ratio}", "最低与最高之比：{ratio}"),
    # What entries of lists did.
    "did": ("What it did", "作用情况"),
    "did_matched": ("payments: {n}", "命中 {n} 笔"),
    "did_blocked": ("declined: {n}", "拦截 {n} 笔"),
    "did_allowed": ("let through: {n}", "放行 {n} 笔"),
    "did_fraud": ("known fraud: {n}", "已知欺诈 {n} 笔"),
    "did_nothing": ("nothing yet", "尚未命中"),
}
