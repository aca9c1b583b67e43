"""`--batch` is refused where no batch could be sent, or found again."""

from __future__ import annotations

from pathlib import Path

import pytest

from parallm_magics.api import plan_cell
from parallm_magics.errors import OptionError
from parallm_magics.patterns.batch_checks import refuse_unbatchable
from parallm_magics.patterns.run_context import RunContext
from parallm_magics.providers.registry import Clients
from parallm_magics.recordings.store import Recordings


def check(model: str, store: Recordings | None) -> None:
    """Check a cell of that model."""
    plan = plan_cell("fanout", f"-m {model} --batch", "hi", {})
    refuse_unbatchable(plan, RunContext(Clients(), recordings=store))


def test_a_provider_without_batches_is_refused_and_others_are_named(tmp_path: Path) -> None:
    """The error says who has batches."""
    with pytest.raises(
        OptionError, match=r"--batch: groq has no batch API.*anthropic, openai"
    ) as told:
        check("groq:llama-4", Recordings(tmp_path / "r.jsonl"))
    assert "groq" not in str(told.value).partition("these have one")[2]


@pytest.mark.parametrize("model", ["claude-haiku-5-5", "gpt-6-luna", "openai-responses:gpt-6"])
def test_a_real_batch_needs_a_file(model: str, tmp_path: Path) -> None:
    """Without one a batch would be lost with its kernel; the way out is named."""
    with pytest.raises(
        OptionError, match=r"needs a file.*%parallm recordings PATH.*PARALLM_RECORD"
    ):
        check(model, None)
    check(model, Recordings(tmp_path / "r.jsonl"))
