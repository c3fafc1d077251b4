"""Where a card comes from as prices see it: the merchant's own country, its economic area, or elsewhere.

Interchange rules know one such area, the European Economic Area (Regulation (EU) 2015/751, "text with EEA relevance").
"""

DOMESTIC = "domestic"
INTRA = "intra"
INTER = "inter"
REGIONS = frozenset({DOMESTIC, INTRA, INTER})

EEA = frozenset(
    {
        "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IS", "IT", "LI",
        "LT", "LU", "LV", "MT", "NL", "NO", "PL", "PT", "RO", "SE", "SI", "SK",
    }
)  # fmt: skip
"""Members of the European Economic Area, ISO 3166 alpha-2: the 27 of the Union with Iceland, Liechtenstein, Norway."""


def region_of(card_country: str, merchant_country: str) -> str:
    """Return ``domestic``, ``intra`` or ``inter``; empty where a country is not known (empty), which no price asks for."""
    if not card_country or not merchant_country:
        return ""
    if card_country == merchant_country:
        return DOMESTIC
    return INTRA if card_country in EEA and merchant_country in EEA else INTER
