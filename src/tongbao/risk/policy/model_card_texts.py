"""The words of a model card, Chinese first, English second (Mitchell et al., "Model cards for model reporting", 2019)."""

TITLE = ("模型卡 {digest}", "Model card {digest}")
PURPOSE = ("用途", "Purpose")
PURPOSE_TEXT = (
    "对每笔支付估计其为欺诈的概率（0 至 1，已校准），供处置策略在放行、加验、人工审核、拒绝之间按期望成本选择。"
    "模型不移动资金，也不单独作决定；评分不用于授信、定价或雇佣。",
    "Estimates for each payment the chance that it is fraud (0 to 1, calibrated), from which a policy of expected cost chooses "
    "between passing, one extra step, a review and a no. The model moves no money and decides nothing alone; scores are not "
    "for credit, prices or employment.",
)
TRAINING = ("训练", "Training")
METRICS = ("指标", "Metrics")
FEATURES = ("特征", "Features")
THRESHOLDS = ("阈值", "Thresholds")
FAIRNESS = ("公平性", "Fairness")
DRIFT = ("漂移", "Drift")
LIMITS = ("已知局限", "Known limits")
VERSIONS = ("版本", "Versions")

WHAT = ("项目", "What")
VALUE = ("值", "Value")
TRAINING_ROWS = {
    "kind": ("模型种类", "Kind of model"),
    "window": ("训练窗口（UTC，含首日，不含末日）", "Training window (UTC, first day in, last day out)"),
    "labels": ("标签截止（UTC）", "Labels known at (UTC)"),
    "delay": ("标签延迟", "Delay of labels"),
    "count": ("训练支付数", "Payments trained on"),
    "frauds": ("其中欺诈", "Frauds among them"),
    "seed": ("随机种子", "Seed"),
}
DAYS = ("{days} 天", "{days} days")
METRIC_ROWS = {
    "ap": ("平均精度 AP（越高越好）", "Average precision AP (higher is better)"),
    "auc": ("AUC（越高越好）", "AUC (higher is better)"),
    "slope": ("校准斜率（1 为准确）", "Slope of calibration (1 is right)"),
    "level": ("校准水平（对数几率，0 为准确）", "Level of calibration (log-odds, 0 is right)"),
    "cost": ("每笔成本（越低越好）", "Cost per payment (lower is better)"),
}
BASELINE = ("基线", "Baseline")
MEASURED_ON = (
    "在未参与训练的 {count} 笔支付上测得，其中 {frauds} 笔为欺诈。区间均为 95 %。",
    "Measured on {count} payments that were not trained on, {frauds} of them fraud. Intervals are of 95 %.",
)
FEATURE_HEAD = (("特征", "组", "重要性"), ("Feature", "Group", "Importance"))
FEATURES_TEXT = (
    "共 {count} 个特征，重要性为其在全部增益中的占比。各组：{groups}。",
    "{count} features; importance is a feature's share in all gains. By group: {groups}.",
)
FEATURES_MORE = ("其余 {count} 个特征合计 {share}。", "The other {count} features have {share} together.")
THRESHOLD_HEAD = (("处置", "金额", "评分不低于"), ("Tier", "Amount", "Score from"))
THRESHOLDS_TEXT = (
    "阈值随金额变化，由成本表推出；下表为示例。",
    "Thresholds follow from costs and move with the amount; these are examples.",
)
TIERS = {
    "frictionless": ("放行", "frictionless"),
    "step_up": ("加验", "step-up"),
    "review": ("人工审核", "review"),
    "decline": ("拒绝", "decline"),
}
GROUP_HEAD = (
    ("申报组别", "正常支付", "误拦率", "95 % 区间", "比值"),
    ("Declared group", "Good payments", "False positive rate", "95 % interval", "Ratio"),
)
GROUPS_TEXT = (
    "比值为最低误拦率除以该组误拦率，1 为相等；低于 {floor} 且区间与最低组的不相交的，以 ⚠ 标出。少于 {least} 笔的组不作比较。",
    "The ratio is the lowest false positive rate over the group's, 1 is equal; below {floor} with an interval clear of the "
    "lowest group's it bears ⚠. Groups of fewer than {least} payments are not compared.",
)
TOO_FEW = ("样本不足", "too few")
RATIO = ("最低与最高误拦率之比：{ratio}。", "Lowest false positive rate over the highest: {ratio}.")
NO_GROUPS = (
    "未提供申报组别，未测公平性。",
    "No declared groups were given: fairness was not measured.",
)
NO_DRIFT = ("上线前，尚无漂移数据。", "Not yet in traffic: nothing is known of drift.")
NO_ALARMS = ("截至 {at}（UTC）没有警报。", "No alarms at {at} (UTC).")
ALARMS_AT = ("截至 {at}（UTC）：", "At {at} (UTC):")
SCORE_SHIFT = ("评分的稳定性指数", "Stability index of the score")
FEATURE_SHIFT = ("特征 {name} 的稳定性指数", "Stability index of {name}")
LIMITS_ALWAYS = (
    (
        "标签平均迟到 {days} 天：更新的欺诈手法在此期间不可见。",
        "被拦下的支付没有自然结果；其标签来自复核，可能有偏差。",
        "从未见过的商户、设备或国家，评分更不确定。",
        "区间按支付相互独立计算；同一团伙的支付彼此相关，真实区间更宽。",
    ),
    (
        "Labels come {days} days late: newer ways of fraud are not seen until then.",
        "Payments that were stopped have no outcome of their own; their labels come from reviews and may be biased.",
        "Scores of merchants, devices or countries never seen before are less certain.",
        "Intervals take payments as independent; those of one gang are not, so true intervals are wider.",
    ),
)
VERSION_ROWS = {
    "digest": ("模型摘要", "Digest of the model"),
    "features": ("特征版本", "Version of features"),
    "policy": ("策略版本", "Version of the policy"),
}
