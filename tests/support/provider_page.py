"""The table of docs/providers.md, made of the entries.

`python tests/support/provider_page.py` writes it into the page.
"""

from __future__ import annotations

from paths import PACKAGE

from parallm_magics.providers.registry import LOCAL
from parallm_magics.providers.services import SERVICES, Service

PAGE = PACKAGE.parent / "docs" / "providers.md"
BEGIN = "<!-- the table begins; python tests/support/provider_page.py writes it -->\n"
END = "<!-- the table ends -->\n"
HEAD = (
    "| Name | Client and what it speaks | Address, and what moves it | Variables | Prices | What differs |\n"
    "| --- | --- | --- | --- | --- | --- |\n"
)
WIRES = {
    "anthropic": "messages",
    "chat": "chat completions",
    "responses": "responses",
}


def table() -> str:
    """The table as Markdown."""
    rows = [_row(service) for service in SERVICES]
    rows += [
        f"| `{each.name}:NAME` | `AsyncOpenAI`, chat completions | {each.base_url} | none | none: "
        "it is local | |"
        for each in LOCAL
    ]
    return HEAD + "\n".join(rows) + "\n"


def page(text: str) -> str:
    """The page with the table of now."""
    before, _, rest = text.partition(BEGIN)
    return before + BEGIN + table() + END + rest.partition(END)[2]


def _row(service: Service) -> str:
    keys = " or ".join(f"`{key}`" for key in service.keys)
    needs = [f"`{name}` ({what})" for name, what in service.needs]
    extra = f"; `pip install 'parallm_magics[{service.extra}]'`" if service.extra else ""
    moved = "" if service.base_env in service.base_url else f"; `{service.base_env}`"
    return (
        f"| `{service.name}:{service.model}` | `{service.client}`, {WIRES[service.wire]} "
        f"| {service.base_url}{moved} | {'; '.join([*([keys] if keys else []), *needs])}{extra} "
        f"| genai-prices `{service.prices}` | {service.quirks} |"
    )


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
