"""What batches cost whose process is killed 200 times: nothing lost, nothing sent again unasked."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from bench import Figure, table
from dying_batches import MODELS, Cell, Told, trials

REQUESTS, DEATHS = 100_000, 200
ITEMS, CHUNK = 5_000, 250
ABOUT = (
    f"{REQUESTS:,} requests or more through both SDKs to a scripted provider, in cells of {ITEMS:,} items with "
    f"`batch=True`, dialects in turn, until {DEATHS} processes have been killed with SIGKILL. A process dies at a "
    "random moment; as a batch is made, so that nobody hears of it; as one is about to be made, and is not; or within "
    "6 ms after the answer. In a fifth of the second and third kind, somebody else makes a batch of the same size in "
    f"that moment. So that it takes minutes, a batch holds at most {CHUNK} requests and ends after 50 ms, and the "
    "pauses between two looks are 30 to 100 ms; nothing else is otherwise than in a notebook. Each cell has a file "
    "of recordings of its own, and is run once more in the end. Asked about: a cell has stopped, or ended "
    "some records, as two batches could be its own, and a person has said which."
)


def measured(requests: int, deaths: int, items: int, chunk: int) -> tuple[Told, float]:
    """What became of so many requests and deaths, and in how many minutes."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, trials(21) as trial:
        told, number = trial.told, 0
        while told.requests < requests or told.deaths.total() < deaths:
            dialect = [*MODELS][number % 2]
            file = Path(folder) / f"{number}.jsonl"
            cells = max(requests // items - number, 1)
            share = -(-(deaths - told.deaths.total()) // cells)
            trial.run(Cell(dialect, file, items, chunk, f"cell {number}"), share)
            print(f"{time.monotonic() - began:.0f} s {told}", file=sys.stderr, flush=True)
            file.unlink()
            number += 1
    return told, (time.monotonic() - began) / 60


def main() -> str:
    """Measure and give out the table."""
    return shown(*measured(REQUESTS, DEATHS, ITEMS, CHUNK))


def shown(told: Told, minutes: float) -> str:
    """The table of what became of all of them."""
    return table(
        "Batches and deaths",
        ABOUT,
        [
            Figure("requests", [told.requests], digits=0),
            Figure("batches", [told.batches], digits=0),
            Figure("deaths", [told.deaths.total()], digits=0),
            *(Figure(f"– {moment}", [told.deaths[moment]], digits=0) for moment in told.deaths),
            Figure("batches of somebody else", [told.strangers], digits=0),
            Figure("answers lost", [told.lost], 0, whole=True, digits=0),
            Figure("requests sent again unasked", [told.twice], 0, whole=True, digits=0),
            Figure("batches made by a finished cell", [told.again], 0, whole=True, digits=0),
            Figure("other trouble", [len(told.wrong)], 0, whole=True, digits=0),
            Figure("asked about", [told.asked], digits=0),
            Figure("minutes", [minutes], digits=1),
        ],
    )


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--quick", action="store_true", help="4,000 requests and 20 deaths")
    quick = options.parse_args().quick
    print(shown(*(measured(4000, 20, 1000, 50))) if quick else main())
