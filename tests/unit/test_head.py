"""Which cells are ours: what may stand above and before the magic, and what is dropped below it."""

from __future__ import annotations

import asyncio

import pytest

from parallm_magics import fanout
from parallm_magics.cell.blocks import parse
from parallm_magics.cell.directives import head
from parallm_magics.patterns.fanout_run import FanoutRun


@pytest.mark.parametrize(
    "above",
    [
        "",
        "\n",
        "# my note\n",
        "#| label: x\n#| echo: false\n",
        "  # indented\n\n\t\n",
        "# NBVAL_SKIP\n# a\n",
        "#!shebang\r\n\r\n",
        "\ufeff# note\n",
        "\u200b\n\u00a0\n",
        "#\n##\n",
    ],
)
@pytest.mark.parametrize("before", ["", "  ", "\t", "\ufeff", "\u00a0", "\u200b"])
def test_comments_above_and_blanks_before_hide_no_magic(above: str, before: str) -> None:
    """They are dropped; the cell's line numbers count them, and its lines lose what is before it."""
    text = f"{above}{before}%%vote -n 2\n{before}q\n{before} r\n# s"
    found = head(text)
    assert found is not None
    assert (found.magic, found.line, found.body) == ("vote", "-n 2", "q\n r\n# s")
    assert text.split("\n")[found.first - 1] == f"{before}q"


@pytest.mark.parametrize(
    "text",
    [
        "x = 1\n%%vote",
        "# note",
        "# note\n",
        "",
        "%vote",
        "%%votes",
        "%%vote?",
        "# note\n%%fanout??",
        "%%time\n%%vote",
        "'%%vote'",
        "# %%vote\nx = 1",
        "% %vote",
    ],
)
def test_other_cells_are_not_ours(text: str) -> None:
    """Python, other magics and help stay IPython's."""
    assert head(text) is None


@pytest.mark.parametrize(
    ("body", "preamble"),
    [
        ("#| echo: false\nq", "q"),
        ("#| a\n# NBVAL_SKIP\n  #| b\n#|\nq", "q"),
        ("#| a\r\nq", "q"),
        ("# a heading\n#| b\nq", "# a heading\n#| b\nq"),
        ("q\n#| b", "q\n#| b"),
        ("\n#| b\nq", "#| b\nq"),
        ("#|b\n# c\n#| d\nq", "# c\n#| d\nq"),
        ("# | b\nq", "# | b\nq"),
        ("#tag\nq", "#tag\nq"),
    ],
)
def test_only_cell_options_directly_below_the_magic_are_dropped(body: str, preamble: str) -> None:
    """Any other line that begins with # is prompt, as headings are."""
    assert parse("vote", "", body).preamble.value == preamble


def test_a_scripts_text_may_stand_as_its_code_does() -> None:
    """A text between triple quotes is indented; comments may lead it."""
    text = """
        # what the desk asks
        %%fanout
        Be short.

        %section a
        One?

        %section b
            Two?
        """
    run = asyncio.run(fanout(text, model="sim:?scale=0"))
    assert isinstance(run, FanoutRun)
    assert list(run) == ["a", "b"]
