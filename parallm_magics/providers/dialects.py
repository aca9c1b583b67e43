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
        text: the expression of the answer's text.
        effort: the client's argument for the effort, and the form of its value.
        temperature: whether the client has an argument of that name.
        tells_thinking: whether thinking always comes apart from the answer.
    """

    name: str
    sdk: str
    client: str
    provider: str
    limit: str
    ask: str
    text: str = ""
    effort: tuple[str, str] = ("effort", "{}")
    temperature: bool = True
    tells_thinking: bool = True


MESSAGES = Dialect(
    "messages",
    "anthropic",
    "AsyncAnthropic",
    "anthropic.AnthropicProvider",
    limit="max_tokens",
    effort=("output_config", '{{"effort": {}}}'),
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
)
CHAT = Dialect(
    "chat completions",
    "openai",
    "AsyncOpenAI",
    "openai.OpenAIProvider",
    limit="max_tokens",
    effort=("reasoning_effort", "{}"),
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
)
RESPONSES = Dialect(
    "responses",
    "openai",
    "AsyncOpenAI",
    "responses.ResponsesProvider",
    limit="max_output_tokens",
    effort=("reasoning", '{{"effort": {}}}'),
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
)
DECISIONS = Dialect(
    "decisions", "openai", "AsyncOpenAI", "decisions.OpenAIDecisions", limit="", ask=""
)
SYSTEM_ONE = Dialect(
    "System One", "openai", "AsyncOpenAI", "system_one.SystemOneProvider", limit="", ask=""
)
