"""What a guard has blocked leaves a real kernel by no way."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kernel import Cell, Kernel


def canary() -> str:
    """Put together only when it is said, so that no test holds it in a variable of its own."""
    return "".join([*"CANARY", "-7F3A"])


ANSWER = (
    "verdict = 'BLOCK'\n"
    "def answer(task, sample):\n"
    "    return verdict if 'harmful' in task.prompt else '-'.join(('CANARY', '7F3A')) + ' x'\n"
    "%parallm provider teacher --sim answer\n"
)


MODEL = "-m teacher:?scale=0.8&latency=3"


GUARD = "%guardrail OPTIONS -m teacher:?scale=0.8&latency=2\nIs this harmful?\n"


CELLS = {
    "fanout": f"%%fanout {MODEL} -o kept\nthis\n%section a\nA\n%section b\nB\n%synthesis\nMerge.\n{GUARD}",
    "vote": f"%%vote -n 3 {MODEL} -o kept\nthis\n%judge\n{GUARD}",
}


LOOKED_AT = (
    "kept",
    "print(kept, repr(kept), kept.text, kept.to_dict(), kept.results)",
    "kept.timeline()",
    "kept.to_pandas()",
    "again = await kept.retry() if kept.guard.passed else kept\nagain",
)


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """A kernel with the teacher's answers, that keeps recordings."""
    path = tmp_path_factory.mktemp("kernel") / "recorded.jsonl"
    with Kernel(PARALLM_RECORDINGS=os.fspath(path)) as kernel:
        kernel.run("%load_ext parallm_magics\nimport os, sys")
        yield kernel


def everything(kernel: Kernel, run: Callable[[], Cell]) -> tuple[Cell, str]:
    """A cell, and all that the kernel sent until it and some looks at its run had come back."""
    kernel.everything.clear()
    cell = run()
    for code in LOOKED_AT:
        done = kernel.run(code)
        assert done.reply["status"] == "ok", done
    return cell, json.dumps(kernel.everything, default=str)


@pytest.mark.parametrize("magic", CELLS)
def test_a_kernel_sends_nothing_of_blocked_work(kernel: Kernel, magic: str) -> None:
    """Live table, result and all that is asked of the run; once the guard passes, it is there."""
    for verdict in ("BLOCK", "ALLOW"):
        kernel.run(ANSWER.replace("BLOCK", verdict))
        cell = CELLS[magic].replace("OPTIONS", "").replace("this", f"{magic} {verdict}")
        done, sent = everything(kernel, functools.partial(kernel.run, cell))
        assert done.outputs == ["execute_result"]
        assert len(done.of("comm_msg")) > 1
        assert "withheld until the guard has passed" in json.dumps(done.of("comm_msg"))
        assert "guardrail" in sent
        assert (canary() in sent) is (verdict == "ALLOW")
        assert (canary() in json.dumps(done.of("comm_msg"))) is (verdict == "ALLOW")


@pytest.mark.parametrize("magic", CELLS)
def test_a_kernel_raises_without_a_word_of_it(kernel: Kernel, magic: str) -> None:
    """With `--on-block raise` the cell fails, and `-o` keeps the blocked run."""
    kernel.run(ANSWER)
    cell = CELLS[magic].replace("OPTIONS", "--on-block raise").replace("this", f"{magic} raises")
    failed, sent = everything(kernel, lambda: kernel.run(cell))
    assert failed.outputs[-1] == "error"
    assert failed.reply["ename"] == "GuardrailBlocked"
    assert "said BLOCK" in failed.error
    assert "kept holds every record" in failed.error
    assert canary() not in sent
    assert kernel.value("(kept.blocked, {r.status for r in kept.results})") == (True, {"blocked"})
    assert kernel.value("sys.last_value.run is kept") is True


def test_a_kernel_records_nothing_of_blocked_work(kernel: Kernel) -> None:
    """The file holds that there was work, and of work that has passed its words."""
    path = Path(kernel.value("os.environ['PARALLM_RECORDINGS']"))
    for verdict in ("BLOCK", "ALLOW"):
        kernel.run(ANSWER.replace("BLOCK", verdict))
        before = path.stat().st_size if path.exists() else 0
        kernel.run(CELLS["fanout"].replace("OPTIONS", "").replace("this", f"record {verdict}"))
        added = path.read_text()[before:]
        assert ('"status":"blocked"' in added) is (verdict == "BLOCK")
        assert (canary() in added) is (verdict == "ALLOW")
