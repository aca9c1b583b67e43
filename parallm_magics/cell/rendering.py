"""From worker specs to calls: each with its model, its prompts and what decides its answer."""

from __future__ import annotations

import contextlib
import functools
import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from parallm_magics.cell.asking import closing_lines, flag_label
from parallm_magics.cell.batch_option import fields_in_batch
from parallm_magics.cell.blocks import PREAMBLE_PLACE, Cell, Text
from parallm_magics.cell.decision_calls import as_decided
from parallm_magics.cell.enforcing import is_enforced
from parallm_magics.cell.item_prompts import beginning, names_item, refuse_gaps, words_of_item
from parallm_magics.cell.items import Items
from parallm_magics.cell.option_layers import reading_of
from parallm_magics.cell.options import Options
from parallm_magics.cell.prompts import Prompts
from parallm_magics.cell.result_keys import ResultKeys
from parallm_magics.cell.sample_counts import SampleCounts
from parallm_magics.cell.time_limits import limits_of
from parallm_magics.cell.true_labels import Labels
from parallm_magics.cell.variables import as_text
from parallm_magics.cell.worker_specs import WorkerSpec, step_of
from parallm_magics.core.models import Model
from parallm_magics.core.tasks import Fault, Plain, Reading, Record, Task
from parallm_magics.errors import ModelError, OptionError, VariableError, translated
from parallm_magics.voting.pick_rules import PICKS

MOST_STREAMED = 200
"""Most workers of which `--stream auto` reads each as it is written: a panel is watched, a map is not."""

ITEM_CHARS = 500
"""Most characters that a record keeps of its item: not the items are kept, but results."""
_NUMBERS = int | float

ParseModel = Callable[[str], Model]


@dataclass(frozen=True, slots=True)
class CallSpec:
    """A worker with all that its calls have in common.

    Attributes:
        reading: how its answers are read; None for free text.
        form: the same where it is enforced, so that no two forms share a prompt cache; else None.
        closing: the lines that ask for an answer in a readable form.
        flag: the label that marks an answer, as the choices spell it; or None.
        request: the same for workers that ask the same model in the same way.
        typed_system: its system prompt as typed, where that holds the item; else None.
        make: a call from what differs.
    """

    worker: WorkerSpec
    model: Model
    reading: Reading | None
    form: Reading | None
    closing: str
    flag: str | None
    request: int
    typed_system: str | None
    make: Callable[..., Task]


class Renderer:
    """Makes the calls of one item after the other; without items, those of the cell.

    Attributes:
        specs: what the calls of each worker have in common.
        keys: the keys of the result.
        rounds: how many items there are, 1 without any; None where only reading them tells.
        one_preamble: whether the preamble is the same for every item.
    """

    def __init__(
        self,
        cell: Cell,
        workers: Sequence[WorkerSpec],
        prompts: Prompts,
        parse_model: ParseModel,
        items: Items | None,
        labels: Labels | None = None,
    ) -> None:
        """Find each worker's model.

        Args:
            labels: takes note of each item of a study; None where nothing is measured.
        """
        self._cell, self._prompts, self._items, self._labels = cell, prompts, items, labels
        self.rounds = 1 if items is None else items.known
        self.keys = ResultKeys(workers, items)
        self._by_item = items is not None
        if items is not None and items.known is None:
            _refuse_spread(workers, items.name)
        total = None if self.rounds is None else self.rounds * len(workers)
        self.specs = translated(
            lambda: _call_specs(workers, cell, prompts, parse_model, total),
            functools.partial(self._unknown_variable_first, workers),
            ModelError,
        )
        self._typed: list[Text | None] = []
        self.one_preamble = self._one_beginning = True
        self._beginning: str | None = None
        if items is not None:
            self._typed += [cell.preamble, cell.system, *(t for w in workers for t in w.texts)]
            self.one_preamble = not names_item(prompts, cell.preamble)
            self._one_beginning = self.one_preamble and not names_item(prompts, cell.system)
            self._beginning = self._common_beginning()
        self._cached = [worker.options.cache == "auto" for worker in workers]
        self._systems: dict[str, str] = {}

    def _unknown_variable_first(
        self, workers: Sequence[WorkerSpec], error: ModelError
    ) -> ModelError:
        """Return the error of an unknown model; an unknown variable is raised rather than that."""
        items = self._items
        if items is None or items.read_async is None:
            values = {} if items is None else {"item": items.first, "index": 1}
            self._prompts.render(self._cell.preamble, PREAMBLE_PLACE, values)
            blocks = [block for worker in workers for block in worker.blocks]
            for block in {block.line: block for block in blocks}.values():
                self._prompts.render(block.text, block.where, values)
        return error.with_traceback(None)

    def round(self, samples: SampleCounts, at: int, item: Any) -> list[Task]:
        """Render the calls of one item.

        Args:
            samples: how often each request was made before; counts on.
            at: the item's number, from 1.

        Raises:
            VariableError: the item cannot be put into a prompt.
        """
        values = {"item": item, "index": at} if self._by_item else {}
        truth = None
        if self._labels is not None:
            words = words_of_item(self._prompts, self._typed, values)
            truth = self._labels.note(at, item, words)
        shared = self._prompts.render(self._cell.preamble, PREAMBLE_PLACE, values)
        first = (at - 1) * len(self.specs)
        texts = [self._texts(spec, shared, values) for spec in self.specs]
        common_text = shared if self._beginning is None else self._beginning
        sharing = self._sharing([system for _, system in texts])
        about = self._about(at, item, values) if self._by_item else {}
        calls = []
        for place, (spec, (prompt, system)) in enumerate(zip(self.specs, texts, strict=True)):
            worker = spec.worker
            temperature = worker.temperature if worker.span is None else self._step(worker.span, at)
            identity = hash((spec.request, temperature, prompt, system))
            calls.append(
                spec.make(
                    index=first + place,
                    name=str(self.keys.key(at, worker.name)),
                    prompt=prompt,
                    shared=shared,
                    begins=self._beginning,
                    system=system,
                    persona=spec.typed_system,
                    temperature=temperature,
                    sample=samples.next(identity),
                    cache_key=_cache_key(spec.model, spec.form, system, common_text)
                    if sharing[place]
                    else "",
                    truth=truth,
                    **about,
                )
            )
        return calls

    def _texts(
        self, spec: CallSpec, shared: str, values: Mapping[str, Any]
    ) -> tuple[str, str | None]:
        """Render the prompt and the system prompt of a worker's call."""
        render = self._prompts.render
        own = [render(block.text, block.where, values) for block in spec.worker.blocks]
        prompt = "\n\n".join(part for part in (shared, *own, spec.closing) if part)
        typed = _system_text(spec.worker, self._cell.system)
        if typed is None:
            return prompt, spec.worker.options.system
        system = render(*typed, values)
        if spec.typed_system is not None:
            return prompt, system
        # Records keep it: one text for all of them.
        return prompt, self._systems.setdefault(system, system)

    def _about(self, at: int, item: Any, values: Mapping[str, Any]) -> dict[str, Plain]:
        """Return the key of an item and what is shown of it."""
        words = ""
        if not isinstance(item, _NUMBERS):
            words = words_of_item(self._prompts, self._typed, values)
        return {"key": self.keys.plain_item(at), "item": _clipped(words) if words else brief(item)}

    def _step(self, span: tuple[float, float], at: int) -> float:
        """Return the temperature for the item of that number, of a range that the items share."""
        assert self.rounds is not None
        return step_of(*span, at - 1, self.rounds)

    def _common_beginning(self) -> str | None:
        """Return what the prompts of all items begin with, where one call an item puts it into its text.

        Several calls of one item share more than that: the item too.
        """
        alone = len(self.specs) == 1 and not self._one_beginning
        if not alone or names_item(self._prompts, self._cell.system):
            return None
        return beginning(self._prompts, self._cell.preamble, PREAMBLE_PLACE)

    def _sharing(self, systems: Sequence[str | None]) -> Sequence[bool]:
        """Return which calls of a round begin with the same text as another call, and may be cached."""
        alike = self._one_beginning or self._beginning is not None
        if alike and self._by_item and self.rounds != 1:
            return self._cached
        if len(self.specs) == 1:
            return (False,)
        kinds = ((spec.model, spec.form) for spec in self.specs)
        asked = list(zip(kinds, systems, strict=True))
        count = Counter(asked)
        return [may and count[each] > 1 for may, each in zip(self._cached, asked, strict=True)]

    def failed(self, at: int, problem: str, item: Plain = None) -> list[Record]:
        """Return what stands for the calls of an item that cannot be made."""
        first = (at - 1) * len(self.specs)
        return [
            Record(
                index=first + place,
                name=str(self.keys.key(at, spec.worker.name)),
                status="failed",
                model=str(spec.model),
                usage=None,
                error=Fault("bad_item", problem),
                key=self.keys.plain_item(at),
                item=item,
                temperature=spec.worker.temperature,
                effort=spec.worker.options.effort,
            )
            for place, spec in enumerate(self.specs)
        ]

    def refuse_gaps(self) -> None:
        """Refuse a table without a value in a cell that a prompt needs, however long it is."""
        if self._items is not None and self._items.table is not None:
            refuse_gaps(self._prompts, self._typed, self._items.table)


def _refuse_spread(workers: Sequence[WorkerSpec], items: str) -> None:
    """Refuse a range of temperatures over items whose number nobody knows."""
    for low, high in (worker.span for worker in workers if worker.span is not None):
        raise OptionError(
            f"-t {low:g}..{high:g}: a temperature range needs to know the number of items, but "
            f"{items} is read one by one; give one temperature, or make it a list"
        )


def _call_specs(
    workers: Sequence[WorkerSpec],
    cell: Cell,
    prompts: Prompts,
    parse_model: ParseModel,
    total: int | None,
) -> list[CallSpec]:
    parsed: dict[str, Model] = {}
    requests: dict[object, int] = {}
    specs = []
    unlike = len({(worker.block.line if worker.block else 0, worker.model) for worker in workers})
    for place, each in enumerate(workers):
        model = model_of(each.model, parsed, parse_model)
        worker = as_decided(each, model, prompts.notes)
        options = worker.options
        reading = reading_of(options)
        asks = reading is not None or PICKS[options.pick].states_confidence
        asks = asks and not model.decides
        params = repr(sorted(dict(options.param).items()))
        enforced = is_enforced(options, reading, model)
        form = reading if enforced or model.decides else None
        request = (model, worker.temperature, options.effort, options.max_tokens, params, form)
        fields = call_fields(options, total)
        fields["stream"] &= not model.decides
        if options.batch:
            fields |= fields_in_batch(model)
        specs.append(
            CallSpec(
                worker=worker,
                model=model,
                reading=reading,
                form=form,
                closing=closing_lines(options, reading, place, unlike, form) if asks else "",
                flag=flag_label(worker, reading) if options.flag is not None else None,
                request=requests.setdefault(request, len(requests)),
                typed_system=_typed_system(worker, cell, prompts) if prompts.items else None,
                make=functools.partial(
                    Task, model=model, reading=reading, enforced=enforced, **fields
                ),
            )
        )
    if any(worker.options.flag for worker in workers) and not any(spec.flag for spec in specs):
        raise OptionError("--flag: no section has that label in its --choices")
    return specs


def _system_text(worker: WorkerSpec, shared: Text | None) -> tuple[Text, str] | None:
    """Return the text that makes a worker's system prompt, and its place; None where only an option may.

    Args:
        shared: the cell's own system text.
    """
    found = None
    if shared is not None and "system" not in worker.own:
        found = shared, "%system"
    for block in worker.blocks:
        if block.system is not None and not (block is worker.panel and "system" in worker.own):
            found = block.system, f"{block.where} %system"
    return found


def _typed_system(worker: WorkerSpec, cell: Cell, prompts: Prompts) -> str | None:
    """Return a worker's system prompt as it is typed, where it holds the item."""
    typed = _system_text(worker, cell.system)
    if typed is None or not names_item(prompts, typed[0]):
        return None
    return typed[0].value


def brief(item: Any) -> Plain:
    """Return an item in a few words, whatever it is."""
    if item is None or isinstance(item, _NUMBERS):
        return item
    with contextlib.suppress(VariableError):
        return _clipped(as_text(item, "item"))
    return type(item).__name__


def _clipped(words: str) -> str:
    return words if len(words) <= ITEM_CHARS else f"{words[: ITEM_CHARS - 1]}…"


def model_of(text: str | None, parsed: dict[str, Model], parse_model: ParseModel) -> Model:
    """Return the model of this text, each text parsed once.

    Raises:
        ModelError: no model is chosen, or there is none of that name.
    """
    if text is None:
        raise ModelError(
            'no model is chosen: add -m MODEL to the cell, run %config ParallmMagics.model = "MODEL", '
            "or set PARALLM_MODEL; MODEL is for example claude-haiku-5-5, gpt-6-luna, ollama:llama3.2, "
            "or sim for a simulation that needs no key"
        )
    if text not in parsed:
        parsed[text] = parse_model(text)
    return parsed[text]


def call_fields(options: Options, total: int | None) -> dict[str, Any]:
    """Return the fields of a call that its options alone decide.

    Args:
        total: how many calls there are; None, unknown, counts as many.
    """
    few = total is not None and total <= MOST_STREAMED
    return {
        "effort": options.effort,
        "max_tokens": options.max_tokens,
        "params": dict(options.param),
        "tier": "flex" if options.tier == "flex" else "",
        "stream": options.stream == "on" or (options.stream == "auto" and few),
        "seed": options.seed,
        **limits_of(options)._asdict(),
        "retries": options.retries,
        "retry_timeouts": options.retry_timeouts,
    }


@functools.lru_cache(64)
def _cache_key(model: Model, form: Reading | None, system: str | None, shared: str) -> str:
    """Return the same for calls whose prompts begin with the same text; tells nothing of the text.

    What an answer is held to stands before the prompt, for a provider's cache too.
    """
    if not (shared or system):
        return ""
    text = f"{model}\0{system or ''}\0{shared}" + (f"\0{form}" if form else "")
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]
