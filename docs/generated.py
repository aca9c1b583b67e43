"""The parts of the documentation that are made of the code.

    python docs/generated.py            writes them into the pages
    python docs/generated.py --check    changes nothing; names the pages that are out of date

A page holds a table between `<!-- generated: NAME -->` and `<!-- end: NAME -->`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import get_args

import exam
import measured

import parallm_magics.providers
from parallm_magics import errors, voting
from parallm_magics.cell.call_options import CALL_PLACES
from parallm_magics.cell.option_entry import MAGICS, Option
from parallm_magics.cell.options import TABLE
from parallm_magics.core.tasks import Status
from parallm_magics.display.columns import COLUMNS
from parallm_magics.display.looks import STATES
from parallm_magics.notebook.commands import COMMANDS, FLAGS
from parallm_magics.notebook.settings import Settings
from parallm_magics.providers.entries import ENTRIES
from parallm_magics.providers.entry import ProviderEntry
from parallm_magics.voting.pick_rules import BUILT_IN
from parallm_magics.voting.rule_entry import USUAL_KINDS, PickRule

DOCS = Path(__file__).parent
CODE = re.compile(
    r"\{\{[\w.]+\}\}|--(?:pick|effort) \w+|(?<![\w-])--?[a-z][\w-]*|%%?[a-z]\w+|\brun\.\w+"
)
BLOCK = re.compile(r"(<!-- generated: ([\w-]+) -->\n).*?(<!-- end: \2 -->)", re.DOTALL)

STATUS_MEANINGS: dict[str, str] = {
    "ok": "The answer is complete. This is the only success.",
    "truncated": "The answer was cut off, usually at `--max-tokens`.",
    "refused": "The model declined, or a content filter stopped the prompt or the answer.",
    "invalid": "There is an answer, but it cannot be used: it is empty, or the label or number cannot be read.",
    "failed": "The provider returned an error, or the connection broke.",
    "timed_out": "No sign of life for too long, or the deadline passed.",
    "cancelled": "Stopped from here: by you, by a cap, or because the vote was already decided.",
    "blocked": "A guard did not let the answer through.",
}
COLUMN_MEANINGS: dict[str, str] = {
    "item": "The item that the call is about (with `--each`).",
    "name": "The worker's name.",
    "state": "How the call stands or how it ended; `×2` means two tries.",
    "vote": "The label or number that was read from the answer.",
    "model": "The model.",
    "temperature": "The temperature that was sent.",
    "effort": "The reasoning effort that was sent.",
    "system": "The system prompt.",
    "elapsed": "The timeline: when the call waited and when it ran. The heading shows the seconds.",
    "seconds": "How long the call took.",
    "tokens": "Tokens in and out, together.",
    "cost": "The cost in US dollars; `–` where it is not known.",
    "probability": "The probability of the most probable label, where the model gives one.",
    "request": "The id that the provider gave to the call.",
    "batch": "The id of the batch in which the call was asked.",
    "answer": "How the answer begins, or why there is none.",
}
VARIABLE_MEANINGS: dict[str, str] = {
    "PARALLM_MODEL": "The model, where neither the cell nor a setting names one.",
    "PARALLM_RECORDINGS": "A recordings file, a mode, or both as `MODE:FILE` (see [recordings](recordings.md)).",
    "PARALLM_LIVE": "`0` switches the live table off. The saved table stays.",
}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay out rows as a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines) + "\n"


def _cell(text: str) -> str:
    return re.sub(r"(?<!\\)\|", r"\\|", text)


def options() -> str:
    """Every option: how it is typed, what it does, its default, and which blocks take it."""
    return table(
        ("Option", "What it does", "Default", "Where"),
        ((_typed(o), _prose(o.help), _default(o), _places(o)) for o in TABLE.values()),
    )


def _typed(option: Option) -> str:
    flags = ", ".join(f"`{flag}`" for flag in option.flags)
    return f"{flags} `{option.metavar}`" if option.metavar else flags


def _prose(text: str) -> str:
    """A help text as a page shows it: what is typed in a cell is code."""
    return CODE.sub(r"`\g<0>`", text)


def _default(option: Option) -> str:
    return "" if option.default in (None, False, ()) else f"`{option.default}`"


def _places(option: Option) -> str:
    if option.where == CALL_PLACES:
        return "everywhere"
    blocks = [f"`%{word}`" for word in sorted(option.where - MAGICS)]
    cells = sorted(option.where & MAGICS)
    named = ["any cell"] if len(cells) == len(MAGICS) else [f"`%%{word}`" for word in cells]
    return ", ".join([*named, *blocks])


def settings() -> str:
    """The options that can be set for a whole notebook, and the settings that are no options."""
    names = ", ".join(f"`{option.name}`" for option in TABLE.values() if option.setting)
    more = (
        (f"`{name}`", _prose(trait.help.partition(" (")[0]), _shown(trait.default_value))
        for name, trait in sorted(Settings.class_own_traits(config=True).items())
        if name not in TABLE
    )
    return f"{names}.\n\nThese are settings only:\n\n" + table(
        ("Setting", "What it does", "Default"), more
    )


def _shown(value: object) -> str:
    return "" if value is None else f"`{value}`"


def variables() -> str:
    """The environment variables of this package."""
    found = {
        name
        for path in Path(errors.__file__).parent.rglob("*.py")
        for name in re.findall(r'"(PARALLM_[A-Z_]+)"', path.read_text("utf-8"))
    }
    rows = ((f"`{name}`", VARIABLE_MEANINGS.get(name, "")) for name in sorted(found))
    return table(("Variable", "What it does"), rows)


def commands() -> str:
    """The commands of `%parallm`."""
    rows = []
    for name, command in COMMANDS.items():
        flags = "".join(f"<br>`{flag}`: {text}" for flag, text in FLAGS.get(name, {}).items())
        said = (command.__doc__ or "").partition("\n")[0].rstrip(".")
        rows.append((f"`%parallm {name}`", _prose(said) + flags))
    return table(("Command", "What it does"), rows)


def rules() -> str:
    """The rules of `--pick`."""
    head = ("`--pick`", "What wins", "Needs", "Can end early")
    return table(head, ((f"`{r.name}`", _prose(r.help), _needs(r), _early(r)) for r in BUILT_IN))


def _needs(rule: PickRule) -> str:
    needs = {
        "`--threshold`": rule.needs_share,
        "`--flag`": rule.needs_flag,
        "`--score` or `--number`": rule.kinds != USUAL_KINDS,
        "a judge": bool(rule.asks),
        "`--weight`": rule.weighs,
    }
    return ", ".join(name for name, needed in needs.items() if needed)


def _early(rule: PickRule) -> str:
    return "yes" if rule.sure is not None else "no"


def statuses() -> str:
    """How a worker can end, and what a vote makes of it."""
    ballots = {"abstain": "abstained", "invalid": "unreadable", "": "valid, if it can be read"}
    rows = []
    for status in get_args(Status):
        state = STATES[status]
        vote = ballots.get(state.ballot, state.ballot)
        vote = "unreadable" if status == "truncated" else vote
        rows.append((f"`{status}`", state.word, STATUS_MEANINGS.get(status, ""), vote))
    return table(("Status", "On the page", "What happened", "As a vote"), rows)


def columns() -> str:
    """The columns of the table."""
    rows = (
        (
            column.heading,
            COLUMN_MEANINGS.get(column.name, ""),
            f"with `--columns {column.name}`" if column.on_request else "",
        )
        for column in COLUMNS
    )
    return table(("Column", "What it shows", "Only"), rows)


def tree_of_errors() -> str:
    """The errors, as their module draws them."""
    tree = (errors.__doc__ or "").partition("\n\n")[2].rstrip()
    return f"```text\n{tree}\n```\n"


def providers() -> str:
    """The providers that are known by name: what to set, and where they differ."""
    head = ("Model", "Set these variables", "What differs")
    return table(head, ((f"`{e.example}`", _variables(e), _prose(e.quirks)) for e in _asked()))


def _asked() -> Iterable[ProviderEntry]:
    return (entry for entry in ENTRIES if not entry.simulated)


def _variables(entry: ProviderEntry) -> str:
    keys = " or ".join(f"`{key}`" for key in entry.keys)
    needs = [f"`{name}` ({what})" for name, what in entry.needs]
    extra = [f"and `pip install 'parallm_magics[{entry.extra}]'`"] if entry.extra else []
    return "<br>".join([*([keys] if keys else []), *needs, *extra]) or "none"


def addresses() -> str:
    """Where the providers are, what they speak, and where their prices come from."""
    head = ("Provider", "Address", "Moved by", "Client and API", "Prices", "Cheaper tiers")
    return table(head, map(_address, _asked()))


def _address(entry: ProviderEntry) -> tuple[str, ...]:
    dialect = entry.dialect
    assert dialect is not None
    return (
        f"`{entry.name}`",
        f"`{entry.base_url}`",
        f"`{entry.base_env}`" if entry.base_env else "",
        f"`{entry.client or dialect.client}`, {dialect.name}",
        _prices(entry),
        ", ".join(f"{tier}{_share(share)}" for tier, share in entry.tiers.items()),
    )


def _share(share: float | None) -> str:
    """A share of the usual price, where the provider states one for all of its models."""
    return "" if share is None else f" {share:.0%}"


def _prices(entry: ProviderEntry) -> str:
    if isinstance(entry.prices, str):
        return f"`{entry.prices}`" if entry.prices else "none: it is local"
    each = (
        f"`{model}` ${took:.2f} in, ${gave:.2f} out" for model, (took, gave) in entry.prices.items()
    )
    return f"{', '.join(each)}, for a million tokens"


def names() -> str:
    """What can be imported."""
    modules = (parallm_magics, voting, parallm_magics.providers)
    return table(
        ("Module", "Names"),
        (
            (f"`{m.__name__}`", ", ".join(f"`{name}`" for name in sorted(m.__all__)))
            for m in modules
        ),
    )


def figures(rows: Sequence[measured.Shown]) -> str:
    """Figures of the benchmarks."""
    return table(("What", "Measured", "Target"), measured.shown(rows))


def judged() -> str:
    """The figures that speed is judged by, where they were measured."""
    rows = list(measured.summary())
    return table(("What", "Anthropic", "OpenAI", "Target"), rows) if rows else ""


def parts() -> str:
    """The parts of the results."""
    return table(("Part", "Targets met"), measured.parts())


BLOCKS: dict[str, Callable[[], str]] = {
    "options": options,
    "settings": settings,
    "variables": variables,
    "commands": commands,
    "rules": rules,
    "statuses": statuses,
    "columns": columns,
    "errors": tree_of_errors,
    "providers": providers,
    "addresses": addresses,
    "names": names,
    "figures-judged": judged,
    "figures-speed": partial(figures, measured.SPEED),
    "figures-faults": partial(figures, measured.FAULTS),
    "figures-votes": partial(figures, measured.VOTES),
    "figures-studies": partial(figures, measured.STUDIES),
    "figures-page": partial(figures, measured.PAGE),
    "figures-parts": parts,
    "figures-scale": partial(figures, measured.SCALE),
    "scale-account": partial(measured.copied, "A large map with an account"),
    "scale-own": partial(measured.copied, "A large map on servers of your own"),
    "exam": exam.text,
    "scale-results": partial(measured.copied, "Results of a large map"),
}


def page(text: str) -> str:
    """Return a page with its tables as the code has them now."""
    return BLOCK.sub(lambda found: found[1] + BLOCKS[found[2]]() + found[3], text)


def stale() -> list[Path]:
    """Return the pages whose tables are not what the code says."""
    return [path for path in sorted(DOCS.glob("*.md")) if page(_text(path)) != _text(path)]


def _text(path: Path) -> str:
    return path.read_text("utf-8")


def main() -> None:
    """Write the tables, or check them."""
    pages = stale()
    names = ", ".join(path.name for path in pages)
    if "--check" in sys.argv[1:]:
        sys.exit(f"out of date: {names}; run python docs/generated.py" if pages else 0)
    for path in pages:
        path.write_text(page(_text(path)), "utf-8")
    print(f"wrote {names}" if pages else "all tables are up to date")


if __name__ == "__main__":
    main()
