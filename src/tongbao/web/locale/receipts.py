"""Who issues the invoices of the house, as papers name it, by language."""

HOUSE_NAMES = {"en": "Tongbao", "zh": "通宝", "zh-CN": "通宝"}
