"""In a real kernel, an interrupt ends code of the user's that makes items, labels or answers."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from kernel import Cell, Kernel

# On a busy machine; the 0.5 s that we promise are measured by a benchmark. Without an end, the slow
# code of these tests takes minutes.
SOON = 2.0
HEADS = pytest.mark.parametrize("head", ["", "%%time\n"], ids=["awaited", "nested"])
SETUP = """
import asyncio, os, time
get_ipython().run_line_magic("load_ext", "parallm_magics")

long_from = 2

def slowly(value):
    "The first calls take a moment, a later one takes a minute."
    with open("slow", "a+") as file:
        file.write("x")
        file.flush()
        seconds = 60 if file.tell() >= long_from else 0.05
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.01)
    return value

class Sized:
    def __len__(self): return 60
    def __getitem__(self, at): return slowly(f"t{at}")

class Iterated:
    at = 0
    def __iter__(self): return self
    def __next__(self):
        self.at += 1
        return slowly(f"t{self.at}") if self.at > 1 else "t1"

class Lazy:
    def __init__(self, at): self.at = at
    @property
    def text(self): return slowly(f"t{self.at}")

def generated():
    yield "t0"
    for at in range(1, 600): yield slowly(f"t{at}")

async def awaited():
    for at in range(600):
        await asyncio.sleep(0)
        yield slowly(f"t{at}") if at else "t0"

def answer(task, index): return slowly("a")
async def answered(task, index):
    await asyncio.sleep(0)
    return slowly("a")
labels = (slowly("a") for _ in range(60))

from pydantic import BaseModel, field_validator
class Checked(BaseModel):
    name: str
    @field_validator("name")
    @classmethod
    def check(cls, name): return slowly(name)
get_ipython().run_line_magic("parallm", "provider slow --sim answer")
get_ipython().run_line_magic("parallm", "provider slowly --sim answered")
"""
FAST = "-m sim:?scale=0"
SOURCES = {
    "sized": f"docs = Sized()\0%%fanout --each docs {FAST} -o kept\n{{{{item}}}}",
    "iterator": f"docs = Iterated()\0%%fanout --each docs {FAST} -o kept\n{{{{item}}}}",
    "generator": f"docs = generated()\0%%fanout --each docs {FAST} -o kept\n{{{{item}}}}",
    "awaited": f"docs = awaited()\0%%fanout --each docs {FAST} -o kept\n{{{{item}}}}",
    "parts": f"docs = [Lazy(n) for n in range(60)]\0%%fanout --each docs {FAST} -o kept\n{{{{item.text}}}}",
    "labels": "docs = ['x'] * 60\0"
    f"%%vote --each docs --truth labels --choices a,b {FAST} -o kept\n{{{{item}}}}",
    "answers": "docs = ['x'] * 60\0%%fanout --each docs -m slow:?scale=0 -o kept\n{{item}}",
    "awaited-answers": "docs = ['x'] * 60\0%%fanout --each docs -m slowly:?scale=0 -o kept\n{{item}}",
    "validators": f"docs = ['x'] * 60\0%%fanout --each docs {FAST} --schema Checked -o kept\n{{{{item}}}}",
    "variable": f"doc = Lazy(1)\0%%vote -n 3 {FAST} -o kept\n" + "{{doc.text}}\n",
}


@pytest.fixture(scope="module")
def one_kernel() -> Iterator[Kernel]:
    """The kernel of this module."""
    with Kernel() as kernel:
        kernel.run(SETUP)
        yield kernel


@pytest.fixture
def kernel(one_kernel: Kernel) -> Iterator[Kernel]:
    """The kernel; after each test a next cell works in it."""
    one_kernel.run("kept = None; labels = (slowly('a') for _ in range(60))")
    (one_kernel.home / "slow").unlink(missing_ok=True)
    yield one_kernel
    assert "3 votes" in one_kernel.run(f"%%vote -n 3 {FAST}\nx").plain
    assert one_kernel.alive


def stopped(kernel: Kernel, code: str, after: int = 2) -> Cell:
    """The cell, interrupted in the middle of its slow code."""
    slow = kernel.home / "slow"
    kernel.run(f"long_from = {after}")
    number = kernel.send(code)
    kernel.until(lambda: slow.exists() and len(slow.read_text()) >= after, "the slow code")
    at = kernel.interrupt()
    cell = kernel.cell(number)
    assert cell.replied - at < SOON
    assert cell.reply["ename"] == "KeyboardInterrupt"
    assert cell.error.startswith("KeyboardInterrupt: interrupted")
    assert "\n" not in cell.error
    return cell


@HEADS
@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_slow_code_is_ended(kernel: Kernel, source: str, head: str) -> None:
    """Wherever it is called, the notebook is back at once, and none of it runs afterwards."""
    before, cell = source.split("\0")
    kernel.run(before)
    stopped(kernel, head + cell, after=1 if "Lazy(1)" in before else 2)
    called = len((kernel.home / "slow").read_text())
    time.sleep(0.1)
    assert len((kernel.home / "slow").read_text()) == called


def test_what_was_done_is_kept_and_a_retry_loses_no_item(kernel: Kernel) -> None:
    """The items before it are answered; the one that was being made is made again."""
    kernel.run("docs = Iterated()")
    stopped(kernel, f"%%fanout --each docs {FAST} -o kept\n{{{{item}}}}", after=3)
    kernel.run("first = dict(kept)\nasync def later(): await asyncio.sleep(0)")
    assert kernel.value("list(first) == [str(n + 1) for n in range(len(first))] and len(first) > 1")
    kernel.run("long_from = 6")
    number = kernel.send("kept = await kept.retry()")
    kernel.until(lambda: len((kernel.home / "slow").read_text()) >= 6, "the next items")
    kernel.interrupt()
    kernel.cell(number)
    assert kernel.value("all(record.index == at for at, record in enumerate(kept.results))")


def test_an_async_answer_is_bound_by_the_timeout(kernel: Kernel) -> None:
    """A function that sleeps for 30 s has timed out after --timeout."""
    kernel.run("async def asleep(task, index):\n    await asyncio.sleep(30)")
    kernel.run("%parallm provider asleep --sim asleep")
    began = time.monotonic()
    cell = kernel.run(
        "%%vote -n 3 -m asleep:?scale=0 --choices a,b --timeout 1 --min-success 0 -o kept\nx"
    )
    assert time.monotonic() - began < 10
    assert cell.error == ""
    assert kernel.value("[r.status for r in kept.results]") == ["timed_out"] * 3
    assert kernel.value("kept.results[0].error.message").endswith("took longer than 1 s")
