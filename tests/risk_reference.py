"""The generated parts of the pages of risk control. ``python -m tests.risk_reference`` writes them.

Features come from the registry, fields of rules from their language, reasons with their words from their tables, fields and
bounds of a policy from its structs, commands from the command line. What a field of a policy means is written here: a
field without a meaning, or a meaning without a field, fails.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec
import typer
from msgspec import inspect
from tests import routing_reference as printed
from tests.routing_reference import DOCS, Part, write

from tongbao.decisions.policy.expression_language import TEXT_FUNCTIONS
from tongbao.risk.models.registry import DAY_S, FEATURES, Feature, Pair, entity_name, span
from tongbao.risk.policy.language import LANGUAGE
from tongbao.risk.policy.reason_texts import TEXTS
from tongbao.risk.policy.reasons import CODES
from tongbao.risk.policy.starter_rules import STARTER_RULES
from tongbao.risk.schema.cases import CaseSpec
from tongbao.risk.schema.reasons import ReasonCode
from tongbao.risk.schema.rules import Act
from tongbao.risk.schema.signals import Entity
from tongbao.risk.schema.spec import RiskSpec
from tongbao.risk.schema.tiers import Costs, Tier
from tongbao.web.commands import risk

FEATURES_PAGE = DOCS / "reference" / "risk-features.md"
RULES_PAGE = DOCS / "reference" / "risk-rules.md"
REASONS_PAGE = DOCS / "reference" / "risk-reasons.md"
POLICY_PAGE = DOCS / "reference" / "risk-policy.md"

MEANINGS: Mapping[type[msgspec.Struct], Mapping[str, str]] = {
    RiskSpec: {
        "model": "digest of the model that scores, hexadecimal; empty: the scorecard that the house comes with, "
        "under which step-ups and reviews cost 400 hundredths more than what stands here",
        "costs": "what outcomes cost: a `Costs`",
        "step_up_price": "what a step-up costs beyond its fee because payers' patience is scarce, hundredths",
        "review_price": "what a review costs beyond its fee because analysts are scarce, hundredths",
        "explore_share": "share of payments that may get the tier beside their best one, so that rates stay known",
        "explore_value_max": "greatest payment that is explored with, hundredths",
        "fallback": "the tier of a payment that could not be judged",
        "can_step_up": "whether this house can ask payers for a proof; where not, `review` takes its place",
        "can_review": "whether somebody looks at held payments; where not, `decline` takes its place",
        "rules": "the house's rules, as text: [the language](risk-rules.md)",
        "worth": "by currency, what one unit counts for in that of the costs; unnamed: 1, without hundredths 0.01",
    },
    Costs: {
        "fraud_fee": "what a fraud that passes costs beyond its amount",
        "margin_bps": "what a good payment earns, basis points of its amount",
        "goodwill": "what a good payment that is lost costs beyond its margin",
        "step_up_fee": "what asking a payer costs, apart from those who give up",
        "review_fee": "what a look by a person costs",
    },
    CaseSpec: {
        "declined_value_min": "from which amount on a declined payment rings, hundredths",
        "rules": "names of rules that ring wherever they match",
        "is_across_books": "whether cards, people, devices and addresses have one case in the house, not one a book",
        "fresh_h": "hours after its latest alert in which a case takes in more",
        "sla_h": "hours within which a case is to be closed, by severity; "
        "where left out: low 72, medium 24, high 4, critical 1",
        "release_alone_max": "more than this, in hundredths, is released by two people only",
        "worth": "what one unit of a currency counts for in that of the house; 1 where it is not named",
    },
}
ACTS: Mapping[Act, str] = {
    Act.ALLOW: "sets the score aside: the tier is that of the floors alone. Lifts no floor, block list or freeze",
    Act.STEP_UP: "the payment gets at least a step-up",
    Act.REVIEW: "the payment is held and looked at, at least",
    Act.DECLINE: "the payment is declined",
    Act.WATCH: "nothing; that it matched is written with the decision",
}
TIERS: Mapping[Tier, str] = {
    Tier.FRICTIONLESS: "goes on; the payer notices nothing",
    Tier.STEP_UP: "the payer proves who it is, once, then the payment goes on",
    Tier.REVIEW: "the money is reserved and not taken until a person has decided",
    Tier.DECLINE: "ends as `risk_blocked`; nothing is sent to a channel",
}
_OF_PAYMENT = "payment"
_PAIRS = "pairs"


def parts() -> list[Part]:
    """Return every generated part."""
    found = [Part(FEATURES_PAGE, entity_name(entity), _features(_of(entity))) for entity in Entity]
    return [
        Part(FEATURES_PAGE, "count", f"{len(FEATURES)} features.\n"),
        Part(FEATURES_PAGE, _OF_PAYMENT, _features(each for each in FEATURES if each.source is None)),
        *found,
        Part(FEATURES_PAGE, _PAIRS, _features(each for each in FEATURES if isinstance(each.source, Pair))),
        Part(RULES_PAGE, "acts", _words(("act", "does"), ACTS)),
        Part(RULES_PAGE, "fields", _language()),
        Part(RULES_PAGE, "functions", _functions()),
        Part(RULES_PAGE, "starter", f"```rules\n{STARTER_RULES}```\n"),
        Part(REASONS_PAGE, "analysts", _analysts()),
        Part(REASONS_PAGE, "payers", _payers()),
        Part(POLICY_PAGE, "tiers", _words(("tier", "the payment"), TIERS)),
        *(Part(POLICY_PAGE, struct.__name__, _fields(struct)) for struct in MEANINGS),
        Part(POLICY_PAGE, "commands", _commands()),
    ]


def _of(entity: Entity) -> Iterable[Feature]:
    return (each for each in FEATURES if isinstance(each.source, Entity) and each.source is entity)


def _features(features: Iterable[Feature]) -> str:
    rows = [
        (
            f"`{each.name}`",
            span(each.window_s) if each.window_s else "–",
            f"{each.delay_s // DAY_S} d" if each.delay_s else "–",
            each.description,
            f"`{CODES[each.name].value}`",
        )
        for each in features
    ]
    return printed._table(("feature", "window", "delay", "is", "reason"), rows)


def _words(head: Sequence[str], words: Mapping[Act, str] | Mapping[Tier, str]) -> str:
    kind = type(next(iter(words)))
    if list(words) != list(kind):
        raise ValueError(f"the words for {kind.__name__} are not those of its values")
    return printed._table(head, [(f"`{each.value}`", told) for each, told in words.items()])


def _language() -> str:
    """Return the fields of rules that are no features, which have a page of their own."""
    features = {each.name for each in FEATURES} - {"hour"}
    rows = [
        (f"`{each.name}`", each.type.value, "yes" if each.may_be_unknown else "–", each.description)
        for each in LANGUAGE.fields
        if each.name not in features
    ]
    return printed._table(("field", "type", "may be unknown", "is"), rows)


def _functions() -> str:
    rows = [
        (f"`{each.name}({', '.join(kind.value for kind in each.parameters)})`", each.description)
        for each in TEXT_FUNCTIONS
    ]
    return printed._table(
        ("function", "is"), [*rows, ('`listed("name")`', "whether anything of the payment is on this list")]
    )


def _analysts() -> str:
    rows = [(f"`{code.value}`", TEXTS[code][3], TEXTS[code][2]) for code in ReasonCode]
    return printed._table(("code", "English", "中文"), rows)


def _payers() -> str:
    """Return what payers may read, once for all codes that share it."""
    codes: dict[tuple[str, str], list[ReasonCode]] = {}
    for code in ReasonCode:
        codes.setdefault((TEXTS[code][1], TEXTS[code][0]), []).append(code)
    rows = [
        (english, chinese, " ".join(f"`{code}`" for code in of)) for (english, chinese), of in codes.items()
    ]
    return printed._table(("English", "中文", "codes"), rows)


def _fields(struct: type[msgspec.Struct]) -> str:
    described = inspect.type_info(struct)
    assert isinstance(described, inspect.StructType)
    meanings = MEANINGS[struct]
    if {each.name for each in described.fields} != set(meanings):
        raise ValueError(f"the meanings of {struct.__name__} are not those of its fields")
    rows = [
        (f"`{each.name}`", _kind(each.type), _default(each), meanings[each.name]) for each in described.fields
    ]
    return printed._table(("field", "type and bounds", "default", "meaning"), rows)


def _kind(kind: inspect.Type) -> str:
    if isinstance(kind, inspect.BoolType):
        return "true or false"
    if isinstance(kind, inspect.FloatType) and kind.gt is not None:
        return f"number, above {kind.gt:,} and at most {kind.le or 0:,}"
    if isinstance(kind, inspect.DictType):
        return f"{_kind(kind.value_type)}, by name"
    return printed._kind(kind)


def _default(field: inspect.Field) -> str:
    if isinstance(field.type, inspect.StructType):
        return "its defaults"
    return printed._default(field)


def _commands() -> str:
    rows = [
        (f"`{path}`", (command.help or "").split("\n")[0], printed._options(command))
        for path, command in printed._under("tongbao risk", typer.main.get_command(risk.app))
    ]
    return printed._table(("command", "does", "options"), rows)


if __name__ == "__main__":
    for part in parts():
        write(part)
