"""In a real kernel, `--schema` takes the notebook's own classes, dicts and lists of fields."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kernel import Kernel

CLASSES = """
import datetime
from dataclasses import dataclass
from pydantic import BaseModel

class Invoice(BaseModel):
    vendor: str
    total: float
    due: datetime.date | None = None

@dataclass
class Paper:
    title: str
    pages: int

shapes = {"paper": Paper}
document = {"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"]}
"""


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    """A kernel with the extension, and the user's classes in a cell."""
    with Kernel() as kernel:
        assert kernel.run("%load_ext parallm_magics").outputs == []
        assert kernel.value("'pydantic' not in __import__('sys').modules") is True
        kernel.run("%%fanout -m sim:?scale=0\n%section a\nhello\n")
        assert kernel.value("'pydantic' not in __import__('sys').modules") is True
        kernel.run(CLASSES)
        yield kernel


@pytest.mark.parametrize(
    ("option", "kind"),
    [
        ("--schema Invoice", "Invoice"),
        ("--schema {{Paper}}", "Paper"),
        ('--schema shapes["paper"]', "Paper"),
        ("--schema shapes.paper", "Paper"),
        ("--schema document", "dict"),
        ('--schema "title, pages: integer"', "dict"),
        ("--schema title,pages:integer", "dict"),
        ('--schema \'{"properties": {"title": {"type": "string"}}}\'', "dict"),
    ],
)
def test_what_is_read_is_an_object_of_that_kind(kernel: Kernel, option: str, kind: str) -> None:
    """On the cell's line and on a section's; `_` holds it at once."""
    cell = kernel.run(f"%%fanout -m sim:?scale=0 {option}\n%section a\nRead it.\n")
    assert cell.outputs == ["execute_result"], cell.error
    assert kernel.value("type(_['a']).__name__") == kind
    cell = kernel.run(f"%%fanout -m sim:?scale=0\n%section a {option}\nRead.\n%section b\nSay.\n")
    assert cell.outputs == ["execute_result"], cell.error
    assert kernel.value("type(_['a']).__name__, type(_['b']).__name__") == (kind, "str")


def test_a_name_counts_without_variables_too(kernel: Kernel) -> None:
    """`--no-vars` leaves the prompts alone, and an option is no prompt."""
    kernel.run("%%fanout -m sim:?scale=0 --no-vars --schema Invoice\n%section a\nRead {{it}}.\n")
    assert kernel.value("type(_['a']).__name__") == "Invoice"


def test_a_vote_a_map_and_a_frame(kernel: Kernel) -> None:
    """The same names in %%vote and with --each; a run is pickled with the notebook's own objects."""
    kernel.run("%%vote -m sim:?scale=0 --schema Invoice -o v\nRead it.\n")
    assert kernel.value("sorted(v.fields), type(v.value).__name__") == (
        ["due", "total", "vendor"],
        "Invoice",
    )
    kernel.run("docs = ['one', 'two']")
    kernel.run("%%fanout -m sim:?scale=0 --schema Invoice --each docs -o r\nRead {{item}}.\n")
    assert kernel.value("list(r.to_pandas()[['vendor', 'total', 'due']].columns)") == [
        "vendor",
        "total",
        "due",
    ]
    kernel.run("import pickle; again = pickle.loads(pickle.dumps(r))")
    assert kernel.value("again['1'] == r['1']") is True


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--schema Invoce", "there is no variable 'Invoce'; did you mean 'Invoice'?"),
        ("--schema document.title", "--schema"),
        ("--schema vendor", "for an object with this one field, write 'vendor: text'"),
        ("--schema vendor, total", "a value with spaces needs quotes"),
        ("--schema 'a: numer'", "did you mean 'number'?"),
        ("--schema", "--schema needs a value"),
    ],
)
def test_a_mistake_is_one_line_before_any_call(kernel: Kernel, option: str, words: str) -> None:
    """It names the line and the way out."""
    cell = kernel.run(f"%%fanout -m sim:?scale=0\n%section a {option}\nRead it.\n")
    assert cell.outputs == ["error"]
    assert words in cell.error
    assert "line 2" in cell.error
