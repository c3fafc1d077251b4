"""Reading pages of risk control in tests: each is held against what must be true of every page of the console."""

from html.parser import HTMLParser

from tests.web.whole_house import Whole

LANGUAGES = ("en", "zh-CN")
PAGE_BYTES_MAX = 120 * 1024
SCRIPT = "<script>alert(1)</script>"


class _Reader(HTMLParser):
    """Collects what a page is made of."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


async def get(whole: Whole, path: str, status: int = 200, language: str = "en") -> str:
    """Fetch a page, check it, and return its text."""
    answer = await whole.http.get(path, headers={"accept-language": language})
    assert answer.status_code == status, answer.text[:300]
    assert answer.headers["cache-control"] == "no-store"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert len(answer.content) <= PAGE_BYTES_MAX
    assert f'<html lang="{language}"' in answer.text
    hold(answer.text)
    return answer.text


def hold(html: str) -> None:
    """Check what a page is made of."""
    reader = _Reader()
    reader.feed(html)
    tags = reader.tags
    assert not [tag for tag, attrs in tags if tag == "style" or "style" in attrs]
    assert not [tag for tag, attrs in tags if tag == "script" and not attrs.get("src")]
    assert not [name for _, attrs in tags for name in attrs if name.startswith("on")]
    ids = [str(attrs["id"]) for _, attrs in tags if "id" in attrs]
    assert len(ids) == len(set(ids)), sorted(ids)
    assert [tag for tag, _ in tags].count("h1") == 1
    fields = {
        attrs["id"]
        for tag, attrs in tags
        if tag in {"input", "select", "textarea"} and attrs.get("type") != "hidden"
    }
    assert fields <= {attrs["for"] for tag, attrs in tags if tag == "label"}
    assert all("scope" in attrs for tag, attrs in tags if tag == "th")
    forms = [attrs for tag, attrs in tags if tag == "form" and attrs.get("method") == "post"]
    own = [each for each in forms if str(each["action"]).startswith(("/ops/", "/sign-out"))]
    assert len([1 for _, attrs in tags if attrs.get("name") == "csrf"]) >= len(own)
    assert SCRIPT not in html
