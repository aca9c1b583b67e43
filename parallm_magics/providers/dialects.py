"""What is spoken to providers: by which SDK, and how the program of `%parallm code` speaks it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Dialect:
    """What is spoken to a provider.

    Attributes:
        name: what it is called.
        sdk: the module of its SDK.
        client: the SDK's client class.
        provider: the class that speaks it, as `module.Class` in this folder; imported on use.
        limit: the usual field that bounds the output tokens.
        ask: the end of a program's function that asks: from `prompt`, `model`, `system`, `max_tokens`
            and the dict `more` to the text of one complete answer; `{client}`, `{limit}` and
            `{text}` stand for the client, that field and the expression of the answer's text.
        head: how that function begins, where it is not the usual way; `{ask}` and `{model}` stand for its
            name and its argument of the model.
        parse: the same for an object: from these and its pydantic class `kind` to a validated object, with
            the SDK's own way to hold an answer to a class.
        text: the expression of the answer's text.
        effort: the client's argument for the effort, and the form of its value.
        formats: the client's arguments that hold an answer to a form.
        temperature: whether the client has an argument of that name.
        tells_thinking: whether thinking always comes apart from the answer.
    """

    name: str
    sdk: str
    client: str
    provider: str
    limit: str
    ask: str
    head: str = ""
    parse: str = ""
    text: str = ""
    effort: tuple[str, str] = ("effort", "{}")
    formats: tuple[str, ...] = ()
    temperature: bool = True
    tells_thinking: bool = True


MESSAGES = Dialect(
    "messages",
    "anthropic",
    "AsyncAnthropic",
    "anthropic.AnthropicProvider",
    limit="max_tokens",
    effort=("output_config", '{{"effort": {}}}'),
    formats=("output_config",),
    temperature=False,  # not every model takes one
    ask="""\
    if system is not None:
        more["system"] = system
    async with AT_ONCE, asyncio.timeout(SECONDS):
        message = await {client}.messages.create(
            model=model,
            {limit}=max_tokens,
            messages=[{{"role": "user", "content": prompt}}],
            **more,
        )
    text = "".join(block.text for block in message.content if block.type == "text")
    if message.stop_reason not in ("end_turn", "stop_sequence") or not text.strip():
        raise ValueError(f"no complete answer: {{message.stop_reason}}")
    return text""",
    parse="""\
    if system is not None:
        more["system"] = system
    async with AT_ONCE, asyncio.timeout(SECONDS):
        message = await {client}.messages.parse(
            model=model,
            {limit}=max_tokens,
            messages=[{{"role": "user", "content": prompt}}],
            output_format=kind,
            **more,
        )
    if message.stop_reason != "end_turn" or message.parsed_output is None:
        raise ValueError(f"no complete answer: {{message.stop_reason}}")
    return message.parsed_output""",
)
CHAT = Dialect(
    "chat completions",
    "openai",
    "AsyncOpenAI",
    "openai.OpenAIProvider",
    limit="max_tokens",
    effort=("reasoning_effort", "{}"),
    formats=("response_format",),
    tells_thinking=False,
    text='choice.message.content or ""',
    ask="""\
    rules = [] if system is None else [{{"role": "system", "content": system}}]
    async with AT_ONCE, asyncio.timeout(SECONDS):
        answer = await {client}.chat.completions.create(
            model=model,
            {limit}=max_tokens,
            messages=[*rules, {{"role": "user", "content": prompt}}],
            **more,
        )
    choice = answer.choices[0]
    text = {text}
    if choice.finish_reason != "stop" or not text.strip():
        raise ValueError(f"no complete answer: {{choice.finish_reason}}")
    return text""",
    parse="""\
    rules = [] if system is None else [{{"role": "system", "content": system}}]
    async with AT_ONCE, asyncio.timeout(SECONDS):
        answer = await {client}.chat.completions.parse(
            model=model,
            {limit}=max_tokens,
            messages=[*rules, {{"role": "user", "content": prompt}}],
            response_format=kind,
            **more,
        )
    choice = answer.choices[0]
    if choice.message.parsed is None:
        raise ValueError(f"no complete answer: {{choice.message.refusal or choice.finish_reason}}")
    return choice.message.parsed""",
)
RESPONSES = Dialect(
    "responses",
    "openai",
    "AsyncOpenAI",
    "responses.ResponsesProvider",
    limit="max_output_tokens",
    effort=("reasoning", '{{"effort": {}}}'),
    formats=("text",),
    ask="""\
    if system is not None:
        more["instructions"] = system
    async with AT_ONCE, asyncio.timeout(SECONDS):
        answer = await {client}.responses.create(
            model=model,
            {limit}=max_tokens,
            input=[{{"role": "user", "content": prompt}}],
            store=False,
            **more,
        )
    if answer.status != "completed" or not answer.output_text.strip():
        raise ValueError(f"no complete answer: {{answer.status}} {{answer.incomplete_details}}")
    return answer.output_text""",
    parse="""\
    if system is not None:
        more["instructions"] = system
    async with AT_ONCE, asyncio.timeout(SECONDS):
        answer = await {client}.responses.parse(
            model=model,
            {limit}=max_tokens,
            input=[{{"role": "user", "content": prompt}}],
            text_format=kind,
            store=False,
            **more,
        )
    if answer.status != "completed" or answer.output_parsed is None:
        raise ValueError(f"no complete answer: {{answer.status}} {{answer.incomplete_details}}")
    return answer.output_parsed""",
)
_ASK_DECISION = '''\
async def {ask}(prompt, {model}, shared="", labels=(), scored=False, blocks=None, **more):
    """Return the most probable label, or the mean of a score; raise an error without an answer."""
    own = prompt.removeprefix(shared).strip("\\n") if shared else ""
    state, question = (shared, own) if own else (prompt, "Give the answer that the text asks for.")
'''
DECISIONS = Dialect(
    "decisions",
    "openai",
    "AsyncOpenAI",
    "decisions.OpenAIDecisions",
    limit="",
    head=_ASK_DECISION,
    ask="""\
    kind = {{"type": "choice", "choices": [{{"value": label}} for label in labels]}}
    if scored:
        kind = {{"type": "score", "levels": [{{"label": label}} for label in labels]}}
    async with AT_ONCE, asyncio.timeout(SECONDS):
        decision = await {client}.decisions.create(
            model=model,
            input=state,
            questions=[{{"name": "q1", "instructions": question, **kind}}],
            **more,
        )
    [answer] = decision.answers
    if answer.type != kind["type"]:
        raise ValueError(f"no answer: {{answer.type}}")
    listed = answer.probabilities
    shares = {{each.label if scored else each.value: each.probability for each in listed}}
    return likeliest(shares, scored, blocks)""",
)
SYSTEM_ONE = Dialect(
    "System One",
    "openai",
    "AsyncOpenAI",
    "system_one.SystemOneProvider",
    limit="",
    head=_ASK_DECISION,
    ask="""\
    kind = {{"type": "choice", "criteria": dict.fromkeys(labels)}}
    if scored:
        kind = {{"type": "score", "criteria": labels}}
    questions = {{"q1": {{"instructions": question, **kind}}}}
    async with AT_ONCE, asyncio.timeout(SECONDS):
        # The SDK has no method for this wire: it posts the request as it is.
        reply = await {client}.post(
            "/systemone",
            body={{"model": model, "state": state, "questions": questions, **more}},
            cast_to=object,
        )
    if "q1" not in reply["answers"]:
        raise ValueError("no answer")
    found = reply["answers"]["q1"]["probabilities"]
    shares = {{labels[int(place)]: found[place] for place in found}} if scored else found
    return likeliest(shares, scored, blocks)""",
)
