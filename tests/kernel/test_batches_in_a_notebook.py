"""Batches as a person meets them: typed cells, an interrupt, a new kernel, and `%parallm batches`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kernel import Kernel
from provider import KEY, Act, Loopback
from provider_batches import Accepted

MODELS = {"anthropic": "claude-haiku-5-5", "openai": "gpt-6-luna"}
each_dialect = pytest.mark.parametrize("dialect", MODELS)
ITEMS = "docs = ['one', 'two', 'three']"


@pytest.fixture
def server() -> Iterator[Loopback]:
    """A provider whose batches are under way until they are told to end."""
    with Loopback() as server:
        server.batches.seconds = None
        yield server


def started(server: Loopback, path: Path) -> Kernel:
    """A kernel that can ask both dialects, with the file of recordings of a kernel before it."""
    return Kernel(
        ANTHROPIC_API_KEY=KEY,
        ANTHROPIC_BASE_URL=server.url,
        OPENAI_API_KEY=KEY,
        OPENAI_BASE_URL=f"{server.url}/v1",
        PARALLM_RECORDINGS=str(path),
    )


def ready(kernel: Kernel) -> Kernel:
    """The same, with the extension and the items."""
    assert kernel.run(f"%load_ext parallm_magics\n{ITEMS}").outputs == []
    return kernel


def cell(dialect: str, *lines: str, options: str = "") -> str:
    """A map over the items as a batch."""
    first = f"%%fanout --each docs -m {MODELS[dialect]} --batch -o run {options}"
    return "\n".join([first, "{{item}}", *lines])


def left(kernel: Kernel, server: Loopback, typed: str) -> Any:
    """The cell, interrupted once its batch is under way."""
    number, before = kernel.send(typed), len(server.batches.made)
    kernel.until(lambda: len(server.batches.made) > before, "the batch")
    made = server.batches.made
    kernel.until(lambda: any(c.endpoint.rpartition("/")[2] in made for c in server.log), "a look")
    kernel.interrupt()
    return kernel.cell(number)


def said(kernel: Kernel, command: str) -> str:
    """What a command prints, shows or refuses."""
    ran = kernel.run(f"%parallm batches {command}".strip())
    return "\n".join([ran.stream(), *(str(each["text/plain"]) for each in ran.shown), ran.error])


@each_dialect
def test_an_interrupt_leaves_the_batch_and_a_new_kernel_goes_on(
    server: Loopback, dialect: str, tmp_path: Path
) -> None:
    """Nothing is sent twice; the page says where the calls are, and each run ends in its records."""
    path = tmp_path / "answers.jsonl"
    with started(server, path) as kernel:
        ready(kernel)
        ended = left(kernel, server, cell(dialect))
        assert "0 of 3 workers were done, 3 go on in a batch; run the cell again" in ended.error
        [page] = ended.shown
        assert page["text/plain"].startswith("0 of 3 items succeeded (3 in a batch)")
        assert "run.collect()" in page["text/plain"]
        assert kernel.value("[*run.batches.values()]") == [3]
        assert kernel.value("{r.status for r in run.results}") == {"cancelled"}
        assert "sent, not collected" in said(kernel, "")
    server.batches.finish()
    with started(server, path) as kernel:
        ready(kernel)
        again = kernel.run(cell(dialect))
        assert again.error == ""
        assert again.plain.startswith("3 of 3 items succeeded")
        assert "in 1 batch" in again.plain
        assert kernel.value("[run[key] for key in run]") == [f"echo: {d}" for d in ("one", "two", "three")]  # fmt: skip
        assert kernel.value("{r.replayed for r in run.results}") == {False}
        assert "collected" in said(kernel, "")
        assert kernel.run(cell(dialect)).plain.startswith("3 of 3 items succeeded")
        assert kernel.value("{r.replayed for r in run.results}") == {True}
    assert sorted(server.batches.names()) == sorted({*server.batches.names()})
    assert len(server.batches.made) == 1


def test_a_killed_kernel_loses_nothing(server: Loopback, tmp_path: Path) -> None:
    """The next one finds the batch in the file, whose end is asked for there."""
    path = tmp_path / "answers.jsonl"
    with started(server, path) as kernel:
        ready(kernel)
        kernel.send(cell("anthropic"))
        kernel.until(lambda: "batch_sent" in (path.read_text() if path.exists() else ""), "the id")
    server.batches.finish()
    with started(server, path) as kernel:
        ready(kernel)
        assert kernel.run(cell("anthropic")).plain.startswith("3 of 3 items succeeded")
    assert len(server.batches.made) == 1


def test_a_batch_is_shown_and_cancelled(server: Loopback, tmp_path: Path) -> None:
    """What the provider says of it is asked for by name; its end makes records like any other."""
    with started(server, tmp_path / "answers.jsonl") as kernel:
        ready(kernel)
        assert "no batches in 'answers.jsonl'" in said(kernel, "")
        left(kernel, server, cell("anthropic"))
        [name] = server.batches.made
        assert f"{name} anthropic:claude-haiku-5-5" in " ".join(said(kernel, "").split())
        assert "under way" in said(kernel, "show")
        assert "3: 0 succeeded, 0 failed" in said(kernel, f"show {name}")
        wrong = said(kernel, f"cancel {name}x")
        assert f"the file has no batch '{name}x'; did you mean '{name}'?" in wrong
        assert "what has ended by then is paid" in said(kernel, f"cancel {name}")
        assert "cancelled, not collected" in said(kernel, "")
        run = kernel.run(f"{cell('anthropic')}").error
        assert "0 of 3 workers succeeded" in run
        assert kernel.value("{r.status for r in run.results}") == {"cancelled"}
        assert kernel.value("{r.is_in_batch for r in run.results}") == {False}
        assert "is over: collected" in said(kernel, f"cancel {name}")
        for typed in ("cancel", "show a b", "adopt", "drop", "collect", "nothing"):
            assert "OptionError: " in said(kernel, typed)


def test_a_batch_is_collected_without_its_cell(server: Loopback, tmp_path: Path) -> None:
    """`collect ID` records the answers of a batch that has ended; the cell is then served from the file."""
    with started(server, tmp_path / "answers.jsonl") as kernel:
        ready(kernel)
        left(kernel, server, cell("openai"))
        [name] = server.batches.made
        assert "has not ended yet" in said(kernel, f"collect {name}")
        server.batches.finish()
        assert "3 answers recorded, 0 requests failed" in said(kernel, f"collect {name}")
        assert kernel.run(cell("openai")).plain.startswith("3 of 3 items succeeded")
        assert kernel.value("{r.replayed for r in run.results}") == {True}


def with_another(server: Loopback) -> None:
    """Let somebody else make a batch of the same size beside each of ours, and the answer to ours be lost."""
    make = server.batches._make

    def both(kind: str, requests: dict[str, Any], endpoint: str, call: Any) -> Any:
        make(kind, {f"other-{at}": body for at, body in enumerate(requests.values())}, endpoint, call)  # fmt: skip
        return make(kind, requests, endpoint, call)

    server.batches._make = both  # type: ignore[method-assign]
    server.batches.script("create", Accepted(Act(reset="close")))


@pytest.mark.parametrize("way", ["adopt", "drop", "adopt the other"])
def test_where_two_batches_may_be_it_the_cell_asks(
    server: Loopback, way: str, tmp_path: Path
) -> None:
    """It stops with one line that names the ways out, and each of them works; nothing is sent unasked."""
    with started(server, tmp_path / "answers.jsonl") as kernel:
        ready(kernel)
        with_another(server)
        kernel.run("import parallm_magics.engine.batch_search as s; s.LOOK_AGAIN_SECONDS = 0.1")
        kernel.run(cell("anthropic"))
        other, ours = server.batches.made
        asks = kernel.run(cell("anthropic")).error
        assert "%parallm batches adopt" in asks
        assert "%parallm batches drop" in asks
        assert len(asks.splitlines()) == 1
        assert len(server.batches.made) == 2
        server.batches.script("create", Act())
        assert "not known whether it was taken" in said(kernel, "")
        server.batches.finish()
        server.batches.seconds = 0.0
        if way == "drop":
            nonce = re.findall("drop ([0-9a-f]{16})", asks)[0]
            assert "a cell that needs its answers sends them" in said(kernel, f"drop {nonce}")
        else:
            named = ours if way == "adopt" else other
            assert "its results will tell" in said(kernel, f"adopt {named}")
        ran = kernel.run(cell("anthropic"))
        if way == "drop":  # and so is the other batch of somebody else
            assert len(server.batches.made) == 4
        else:
            assert len(server.batches.made) == 2
        assert ran.plain.startswith("3 of 3 items succeeded"), ran.error


def test_a_study_and_what_follows_a_batch(server: Loopback, tmp_path: Path) -> None:
    """Votes of a study go in the batch; a synthesis and a judge are asked after it, one by one."""
    server.batches.seconds = 0.0
    server.answers = lambda body: "ANSWER: a"
    with started(server, tmp_path / "answers.jsonl") as kernel:
        ready(kernel)
        model = MODELS["anthropic"]
        study = f"%%vote --each docs --truth labels -n 3 --choices a,b -m {model} --batch -o study"
        kernel.run("labels = ['a', 'b', 'a']")
        assert kernel.run(f"{study}\n{{{{item}}}}?").error == ""
        assert kernel.value("[*study.values()]") == ["a"] * 3
        assert len(server.batches.names()) == 9
        server.clear()
        sections = "%section a\nA\n%section b\nB\n%synthesis\nMerge."
        assert kernel.run(f"%%fanout -m {model} --batch -o run\n{sections}").error == ""
        assert kernel.value("(run.synthesis.batch, [r.batch for r in run.results].count(''))") == (
            "",
            0,
        )
        assert sum(call.path.endswith("/messages") for call in server.log) == 1


def test_tab_offers_the_commands_and_the_open_batches(server: Loopback, tmp_path: Path) -> None:
    """Behind `%parallm batches` the words, behind those the ids."""
    with started(server, tmp_path / "answers.jsonl") as kernel:
        ready(kernel)
        left(kernel, server, cell("openai"))
        line = "%parallm batches "
        assert {"show", "cancel", "collect", "adopt", "drop"} == {
            *kernel.complete(line, len(line))["matches"]
        }
        line = "%parallm batches cancel "
        assert kernel.complete(line, len(line))["matches"] == [*server.batches.made]


def test_a_batch_without_a_file_is_refused_in_one_line(server: Loopback, tmp_path: Path) -> None:
    """Before any call, with the way out; the command says the same."""
    with started(server, tmp_path / "a.jsonl") as kernel:
        ready(kernel)
        kernel.run("%parallm recordings --mode off")
        error = kernel.run(cell("openai")).error
        assert "--batch needs a file of recordings" in error
        assert len(error.splitlines()) == 1
        assert "run %parallm recordings PATH" in said(kernel, "")
        assert not server.batches.made
