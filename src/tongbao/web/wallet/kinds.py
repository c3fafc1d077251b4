"""What kind of spending a shop is, by its merchant category code (ISO 18245): the categories of bills. Pure."""

FOOD, GROCERIES, TRAVEL, GOING = "food", "groceries", "travel", "going"
HOME, HEALTH, FUN, SHOPPING, OTHER = "home", "health", "fun", "shopping", "other"
KINDS = (FOOD, GROCERIES, GOING, TRAVEL, HOME, HEALTH, FUN, SHOPPING, OTHER)
ICONS = {
    FOOD: "heart",
    GROCERIES: "shop",
    GOING: "route",
    TRAVEL: "globe",
    HOME: "home",
    HEALTH: "plus",
    FUN: "calendar",
    SHOPPING: "shop",
    OTHER: "dot",
}
# The first range that holds a code is its kind; the wide ones stand last.
_RANGES: tuple[tuple[int, int, str], ...] = (
    (5811, 5814, FOOD),
    (5411, 5499, GROCERIES),
    (4111, 4131, GOING),
    (4784, 4789, GOING),
    (5541, 5542, GOING),
    (7512, 7549, GOING),
    (3000, 3999, TRAVEL),
    (4411, 4582, TRAVEL),
    (4722, 4723, TRAVEL),
    (7011, 7033, TRAVEL),
    (4812, 4900, HOME),
    (6513, 6513, HOME),
    (5912, 5912, HEALTH),
    (5975, 5976, HEALTH),
    (8011, 8099, HEALTH),
    (5815, 5818, FUN),
    (5942, 5942, FUN),
    (5945, 5947, FUN),
    (7829, 7999, FUN),
    (5200, 5999, SHOPPING),
)


def kind_of(mcc: str) -> str:
    """Return the kind of a category code of four digits; ``other`` for any other text."""
    if not (len(mcc) == 4 and mcc.isascii() and mcc.isdigit()):
        return OTHER
    code = int(mcc)
    return next((kind for low, high, kind in _RANGES if low <= code <= high), OTHER)
