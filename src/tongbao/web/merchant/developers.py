"""``/merchant/{merchant}/developers``: the way in for programs: reference, quick start, events, test cards."""

from fastapi import APIRouter, Request, Response
from markupsafe import Markup

from tongbao.parties.schema import Permission
from tongbao.web.merchant import developers_samples as samples
from tongbao.web.merchant.office import Office, enter
from tongbao.web.merchant.portal import PREFIX, PageRoute, Portal, Shown
from tongbao.web.merchant.webhooks_events import EVENTS

PATH = f"{PREFIX}/developers"


def router(portal: Portal) -> APIRouter:
    """Return the route."""
    routes = APIRouter(include_in_schema=False, route_class=PageRoute)

    @routes.get(PATH, response_model=None)
    async def developers(request: Request, merchant: str) -> Response:
        return _page(await enter(portal, request, merchant))

    return routes


def _page(office: Office) -> Response:
    asked = office.request.query_params.get("in", "curl")
    language = asked if asked in samples.LANGUAGES else "curl"
    name, _ = samples.LANGUAGES[language]
    base_url = office.portal.house.base_url
    shown = {
        "base_url": base_url,
        "tabs": [
            (key, title, office.to("/developers", **{"in": key}))
            for key, (title, _) in samples.LANGUAGES.items()
        ],
        "language": language,
        "language_name": name,
        "sample": samples.sample(language, base_url, samples.PLACEHOLDER),
        "can_keys": office.visitor.may(Permission.KEYS_READ),
        "can_hooks": office.visitor.may(Permission.WEBHOOKS_READ),
        "cards": [_card(each, office) for each in samples.TEST_CARDS],
        "events": [
            (
                office.t(f"events_{group}"),
                [
                    (Markup('<code class="mono">{}</code>').format(kind), office.t(f"event_{kind}"))
                    for kind in kinds
                ],
            )
            for group, kinds in EVENTS.items()
        ],
    }
    return office.page(Shown("developers.html", "developers", shown))


def _card(card: tuple[str, str, str], office: Office) -> tuple[Markup, Markup, Markup]:
    name, number, does = card
    return (
        Markup('<code class="mono">{}</code>').format(name),
        Markup('<code class="mono">{}</code>').format(number),
        office.t(f"card_does_{does}"),
    )
