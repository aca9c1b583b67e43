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
            `{text}` stand for the client, that field and the expression of the answer's text. "" where
            no program can be written.
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
DECISIONS = Dialect(
    "decisions", "openai", "AsyncOpenAI", "decisions.OpenAIDecisions", limit="", ask=""
)
SYSTEM_ONE = Dialect(
    "System One", "openai", "AsyncOpenAI", "system_one.SystemOneProvider", limit="", ask=""
)
