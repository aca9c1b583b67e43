"""The table of docs/providers.md, made of the entries.

`python tests/support/provider_page.py` writes it into the page.
"""

from __future__ import annotations

from paths import PACKAGE

from parallm_magics.providers.entries import ENTRIES
from parallm_magics.providers.entry import ProviderEntry

PAGE = PACKAGE.parent / "docs" / "providers.md"
BEGIN = "<!-- the table begins; python tests/support/provider_page.py writes it -->\n"
END = "<!-- the table ends -->\n"
HEAD = (
    "| Name | Client and what it speaks | Address, and what moves it | Variables | Prices | What differs |\n"
    "| --- | --- | --- | --- | --- | --- |\n"
)


def table() -> str:
    """The table as Markdown."""
    return HEAD + "\n".join(_row(entry) for entry in ENTRIES if not entry.simulated) + "\n"


def page(text: str) -> str:
    """The page with the table of now."""
    before, _, rest = text.partition(BEGIN)
    return before + BEGIN + table() + END + rest.partition(END)[2]


def _row(entry: ProviderEntry) -> str:
    dialect = entry.dialect
    assert dialect is not None
    keys = " or ".join(f"`{key}`" for key in entry.keys)
    needs = [f"`{name}` ({what})" for name, what in entry.needs]
    extra = f"; `pip install 'parallm_magics[{entry.extra}]'`" if entry.extra else ""
    moved = (
        f"; `{entry.base_env}`" if entry.base_env and entry.base_env not in entry.base_url else ""
    )
    variables = "; ".join([*([keys] if keys else []), *needs]) or "none"
    prices = f"genai-prices `{entry.prices}`" if entry.prices else "none: it is local"
    return (
        f"| `{entry.example}` | `{entry.client or dialect.client}`, {dialect.name} "
        f"| {entry.base_url}{moved} | {variables}{extra} | {prices} | {entry.quirks} |"
    )


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
