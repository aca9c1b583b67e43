"""How soon a cell ends in which calls never answer, and what it keeps of the others."""

from __future__ import annotations

from bench import MODELS, Cell, Figure, Kernel, Server, table

ROUNDS = 9
CALLS = 20
LIMIT = 1
CALL = 100
ABOUT = (
    f"{CALLS} plain calls of {CALL} ms at once in a cell of a real kernel, `--deadline {LIMIT}`. A few: "
    "one never answers, one loses its connection at every try, one is answered by a 429 at first; "
    "so 18 can be kept. Half: ten never answer. Shown means that the cell gave out its result."
)


def cells(dialect: str, **behaviour: float) -> list[Cell]:
    """The same cell again and again; its value is how many answers it kept."""
    code = (
        f"%%fanout -m {dialect}:{MODELS[dialect]} --each docs --stream off --deadline {LIMIT} "
        "-o run\nRead {{item}}."
    )
    found = []
    with Server(CALL, **behaviour) as server, Kernel(server.environment()) as kernel:
        kernel.run(f"docs = [f'document number {{n}}' for n in range(100, 100 + {CALLS})]")
        kernel.run(code)
        kernel.run(f"docs = [f'document number {{n}}' for n in range({CALLS})]")
        server.calls_since(0)
        for _ in range(ROUNDS):
            found.append(kernel.run(code, "len(run.succeeded)"))
            server.calls_since(0)
    return found


def main() -> str:
    """Measure and give out the table."""
    found: list[Figure] = []
    for dialect in MODELS:
        few = cells(dialect, hang=1, dead=1, limited=1)
        half = cells(dialect, hang=CALLS // 2)
        found += [
            Figure(f"{dialect}, a few: seconds", [c.seconds for c in few], 1.3, whole=True),
            Figure(
                f"{dialect}, a few: kept",
                [c.value for c in few],
                18,
                whole=True,
                least=True,
                digits=0,
            ),
            Figure(
                f"{dialect}, half: seconds after the limit",
                [c.seconds - LIMIT for c in half],
                0.5,
                whole=True,
            ),
            Figure(
                f"{dialect}, half: kept and shown",
                [c.value if c.result else 0 for c in half],
                CALLS // 2,
                whole=True,
                least=True,
                digits=0,
            ),
        ]
    return table("Calls that never answer", ABOUT, found)


if __name__ == "__main__":
    print(main())
