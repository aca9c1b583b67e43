"""What `--batch` rules out: a batch is sent as a whole, and is answered hours later."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from parallm_magics.cell.blocks import Block
from parallm_magics.cell.option_layers import Layer, Layers
from parallm_magics.cell.options import TABLE
from parallm_magics.core.models import Model
from parallm_magics.errors import OptionError

Rule = tuple[Callable[[Any], bool], str]

_PACE = "the provider works through a batch at its own pace"
_HOURS = "a batch may take up to 24 hours"
_AGAIN = "what fails in a batch is asked again by await run.retry()"
_RULED_OUT: Mapping[str, Rule] = {
    "stop": (lambda value: value != "all", "a batch asks for every vote at once"),
    "launch": (lambda value: value != "all", "a batch asks for every vote at once"),
    "stream": (lambda value: value == "on", "the answers of a batch come whole, when it has ended"),
    "tier": (lambda value: value != "default", "a batch has a price of its own"),
    "engine": (lambda value: value == "dask", "the provider runs a batch, and no cluster can help"),
    "rpm": (lambda value: True, _PACE),
    "tpm": (lambda value: True, _PACE),
    "concurrency": (lambda value: True, _PACE),
    "timeout": (lambda value: True, _HOURS),
    "deadline": (lambda value: True, _HOURS),
    "retries": (lambda value: True, _AGAIN),
    "retry_timeouts": (bool, _AGAIN),
}
"""By option: which of its values a batch cannot have, and why."""

_AS_A_WHOLE: Layer = {"stop": "all", "launch": "all"}
"""What settings of the notebook give way to."""


def batched_layers(
    layers: Layers,
    cell_layer: Layer,
    workers: Sequence[tuple[Block, Layer]],
    guards: Sequence[tuple[Block, Layer]],
) -> Layers:
    """Stack the layers of a cell whose workers are asked in a batch; others stay as they are.

    Args:
        cell_layer: the options that the cell gives.
        workers: the blocks that workers are made of, each with its own options.
        guards: the blocks of its guards.

    Raises:
        OptionError: the cell asks for what a batch cannot do.
    """
    if not layers.options().batch:
        return layers
    _refuse(cell_layer, "")
    for block, own in workers:
        _refuse(own, f"line {block.line}: {block.where}: ")
    if guards:
        block = guards[0][0]
        raise OptionError(
            f"line {block.line}: {block.where} cannot be combined with --batch: a guard runs beside calls that "
            f"are answered at once; ask the guard in a cell of its own first"
        )
    return layers.over(_AS_A_WHOLE)


def _refuse(typed: Layer, where: str) -> None:
    for name, (ruled_out, why) in _RULED_OUT.items():
        if name in typed and typed[name] is not None and ruled_out(typed[name]):
            flag = TABLE[name].flags[0]
            raise OptionError(
                f"{where}{flag} cannot be combined with --batch: {why}; remove {flag} or --batch"
            )


def fields_in_batch(model: Model) -> dict[str, Any]:
    """Return the fields of a worker's call that is asked in a batch.

    Raises:
        OptionError: it is a decision model, which no batch takes.
    """
    if model.decides:
        raise OptionError(
            f"-m {model}: a decision model cannot be asked in a batch; remove --batch"
        )
    return {"tier": "batch", "stream": False}
