"""Lists as users type them, such as models and labels: commas, brackets and quotes.

Each reader raises ValueError with what is wrong and what is possible.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any

from parallm_magics.cell.typography import COMMAS, QUOTES, named, quote_problem
from parallm_magics.core.characters import is_invisible
from parallm_magics.display import columns as table


def models(value: Any) -> tuple[str, ...]:
    """Read model names; commas separate them, except within brackets."""
    found = listed(value, "a model")
    if len(set(found)) < len(found):
        raise ValueError("the same model is listed twice; for more calls to one model, use -n")
    return found


def columns(value: Any) -> tuple[str, ...]:
    """Columns that are shown on request."""
    found = listed(value, "a column") if value else ()
    known = [column.name for column in table.COLUMNS if column.on_request]
    for name in found:
        if name not in known:
            raise ValueError(f"there is no extra column {name!r}; known: {', '.join(known)}")
    return found


def choices(value: Any) -> tuple[str, ...]:
    """Read at least two labels that differ in more than case, width and blanks."""
    found = listed(value, "a label")
    if len(found) < 2:
        other = next((char for char in ";|/" if char in found[0]), "")
        hint = f"; separate them with commas, not {other}" if other else ""
        raise ValueError(f"expected at least two labels, such as yes,no{hint}")
    seen: dict[str, str] = {}
    for label in found:
        if any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") for char in label):
            raise ValueError(f"the label {label!r} contains a line break or a control character")
        seen_as = "".join(char for char in label if not is_invisible(char))
        key = " ".join(unicodedata.normalize("NFKC", seen_as).casefold().split())
        if not key:
            raise ValueError(f"the label {label!r} is blank")
        if key in seen:
            raise ValueError(
                f"the labels {seen[key]!r} and {label!r} differ only in case, spaces "
                "or invisible characters; choose labels that differ more"
            )
        seen[key] = label
    return found


def listed(value: Any, what: str) -> tuple[str, ...]:
    """Read the parts of a list, none of them blank."""
    if isinstance(value, str):
        parts = _split_list(value)
    elif isinstance(value, list | tuple):
        parts = [str(part).strip() for part in value]
    else:
        found: Any = getattr(value, "tolist", list)()
        if not isinstance(found, list) or not found:
            raise ValueError(f"expected a list, or text with commas, got {shown(value)}")
        parts = [str(part).strip() for part in found]
    if not parts or not all(parts):
        last = "; write no space after a comma" if len(parts) > 1 and not parts[-1] else ""
        raise ValueError(
            f"{what} is missing between the commas{last}"
            if len(parts) > 1
            else f"{what} is missing"
        )
    return tuple(parts)


_BRACKETS = {"[": "]", "(": ")", "{": "}"}


def _split_list(typed: str) -> list[str]:
    """Return the parts of a list as it is typed, a list of Python's or JSON's included.

    Commas within round brackets separate nothing, since models have arguments.

    Raises:
        ValueError: a character that another notation means something by; names it.
    """
    inside = typed.strip()
    if _wrapped(inside, "[") or (_wrapped(inside, "(") and "," in inside):
        inside = inside[1:-1].strip().removesuffix(",")
    commas = {char for char in inside if char in COMMAS}
    if commas and "," not in inside:
        inside = re.sub(f"[{COMMAS}]", ",", inside)
    elif commas:
        raise ValueError(
            f"the comma {named(min(commas))} is mixed with plain commas: separate the labels with , only, "
            "or pass a list, as in --choices {{labels}}"
        )
    parts, depth = [""], 0
    for char in inside:
        depth = max(depth + (char == "(") - (char == ")"), 0)
        if char == "," and not depth:
            parts.append("")
        else:
            parts[-1] += char
    return [_unquoted(part.strip()) for part in parts]


def _unquoted(part: str) -> str:
    """Return a part of a list without the quotes around it.

    Raises:
        ValueError: a bracket or a typographic quote that has no partner in it.
    """
    if len(part) > 1 and part[0] == part[-1] and part[0] in "\"'":
        return part[1:-1].strip()
    if part and (part[0] in QUOTES or part[-1] in QUOTES.replace("’", "")):
        raise ValueError(
            f"{part[:40]!r}: {quote_problem(part[0] if part[0] in QUOTES else part[-1])}"
        )
    for opening, closing in _BRACKETS.items():
        begun = part.startswith(opening) and closing not in part
        if begun or (part.endswith(closing) and opening not in part and closing != ")"):
            raise ValueError(
                f"{part[:40]!r} contains {opening if begun else closing} without its partner; "
                "write the list with commas only, such as yes,no"
            )
    return part


def _wrapped(text: str, opening: str) -> bool:
    """Tell whether one pair of brackets stands around the whole text."""
    if not text.startswith(opening):
        return False
    depth = 0
    for at, char in enumerate(text):
        depth += (char == opening) - (char == _BRACKETS[opening])
        if depth == 0:
            return at == len(text) - 1
    return False


def shown(value: Any) -> str:
    """Return a value of a wrong kind as an error names it."""
    return repr(value[:40]) if isinstance(value, str) else type(value).__name__
