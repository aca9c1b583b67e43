"""The ways to make many calls that are compared: each as the cells that a person would type."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bench import MODELS

UNPRICED = "a-model-without-a-price"
CLIENTS = {"anthropic": ("Anthropic", "ChatAnthropic"), "openai": ("OpenAI", "ChatOpenAI")}
CHATLAS = {"anthropic": "ChatAnthropic", "openai": "ChatOpenAICompletions"}

# What a person would type: the SDK's own public calls.
BARE = {
    "anthropic": """
import asyncio, anthropic
def make_client():
    return anthropic.AsyncAnthropic(
        max_retries=0, timeout=None, http_client=anthropic.DefaultAioHttpClient(timeout=None)
    )
def request(model, prompt):
    message = {"role": "user", "content": prompt}
    return {"model": model, "max_tokens": 4096, "messages": [message]}
async def plain(client, model, prompt):
    reply = await client.messages.create(**request(model, prompt))
    return reply.content[0].text
async def streamed(client, model, prompt):
    parts = []
    async for event in await client.messages.create(**request(model, prompt), stream=True):
        if event.type == "content_block_delta" and event.delta.type == "text_delta":
            parts.append(event.delta.text)
    return "".join(parts)
""",
    "openai": """
import asyncio, openai
def make_client():
    return openai.AsyncOpenAI(
        max_retries=0, timeout=None, http_client=openai.DefaultAioHttpClient(timeout=None)
    )
def request(model, prompt):
    message = {"role": "user", "content": prompt}
    return {"model": model, "max_tokens": 4096, "messages": [message]}
async def plain(client, model, prompt):
    reply = await client.chat.completions.create(**request(model, prompt))
    return reply.choices[0].message.content
async def streamed(client, model, prompt):
    parts = []
    async for chunk in await client.chat.completions.create(
        **request(model, prompt), stream=True, stream_options={"include_usage": True}
    ):
        if chunk.choices and chunk.choices[0].delta.content:
            parts.append(chunk.choices[0].delta.content)
    return "".join(parts)
""",
}

# The same with many: one semaphore, one task a prompt.
BARE_MANY = """
async def many(ask, client, model, prompts, concurrency):
    gate = asyncio.Semaphore(concurrency)
    async def one(prompt):
        async with gate:
            return await ask(client, model, prompt)
    return await asyncio.gather(*[one(prompt) for prompt in prompts])
"""

# How a dialect's answers are read where no SDK reads them.
READ = {
    "anthropic": """
import json, os
PATH = "/v1/messages"
URL = os.environ["ANTHROPIC_BASE_URL"] + PATH
HEADERS = {"x-api-key": "none", "anthropic-version": "2023-06-01"}
def WHOLE(data): return data["content"][0]["text"]
def PIECE(data): return data["delta"].get("text", "") if data["type"] == "content_block_delta" else ""
""",
    "openai": """
import json, os
PATH = "/chat/completions"
URL = os.environ["OPENAI_BASE_URL"] + PATH
HEADERS = {"authorization": "Bearer none"}
def WHOLE(data): return data["choices"][0]["message"]["content"]
def PIECE(data):
    return (data["choices"][0]["delta"].get("content") or "") if data["choices"] else ""
""",
}

LEAN = """
import html
import ipywidgets
from httpx2 import Response
from IPython.display import display
class LeanTable:
    def __init__(self, count):
        self.rows = ["waiting"] * count
        self.slot = ipywidgets.HTML()
        display(self.slot)
    async def draw(self):
        while True:
            self.show()
            await asyncio.sleep(0.1)
    def show(self):
        rows = "".join(f"<tr><td>{n}</td><td>{html.escape(r[-80:])}</td></tr>"
                       for n, r in enumerate(self.rows))
        self.slot.value = f"<table>{rows}</table>"
async def lean(client, model, prompts, concurrency, stream):
    gate, shown = asyncio.Semaphore(concurrency), LeanTable(len(prompts))
    drawing = asyncio.ensure_future(shown.draw())
    async def one(n, prompt):
        async with gate:
            shown.rows[n] = "running"
            body = request(model, prompt) | ({"stream": True} if stream else {})
            answer = await client.post(PATH, cast_to=Response, body=body, stream=True, stream_cls=object)
            if not stream:
                text = WHOLE(json.loads(await answer.aread()))
            else:
                text = ""
                async for line in answer.aiter_lines():
                    if line.startswith("data: {"):
                        text += PIECE(json.loads(line[6:]))
                        shown.rows[n] = text
            await answer.aclose()
            shown.rows[n] = text
            return text
    answers = await asyncio.gather(*[one(n, p) for n, p in enumerate(prompts)])
    drawing.cancel()
    shown.show()
    return answers
"""

RAW = """
import aiohttp, asyncio
def request(model, prompt):
    return {"model": model, "max_tokens": 4096, "messages": [{"role": "user", "content": prompt}]}
# Kept from cell to cell, as the others keep their connections.
if "session" not in globals():
    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
async def raw(model, prompts, concurrency, stream):
    gate = asyncio.Semaphore(concurrency)
    async def one(prompt):
        body = request(model, prompt) | ({"stream": True} if stream else {})
        async with gate, session.post(URL, json=body, headers=HEADERS) as answer:
            if not stream:
                return WHOLE(json.loads(await answer.read()))
            text = ""
            async for line in answer.content:
                if line.startswith(b"data: {"):
                    text += PIECE(json.loads(line[6:]))
            return text
    return await asyncio.gather(*[one(p) for p in prompts])
"""


@dataclass(frozen=True)
class Work:
    """What is to be done.

    Attributes:
        name: a few words.
        about: a sentence for the reader.
        calls, concurrency: how many, and how many at once.
        milliseconds: how long an answer takes.
        limit: seconds that nobody can undercut without more calls at once or more requests.
        behaviour: the server's, see `server.Behaviour`; the delay apart.
        stream: whether the answers are streamed.
        priced: whether the model has a price.
        can_be_kept: how many answers there are to be had, if not all.
        timeout: seconds after which a call is given up, or None for each system's default.
    """

    name: str
    about: str
    calls: int
    concurrency: int
    milliseconds: float
    limit: float
    behaviour: Mapping[str, float] = field(default_factory=dict)
    stream: bool = False
    priced: bool = True
    can_be_kept: int | None = None
    timeout: float | None = None

    def model(self, dialect: str) -> str:
        """The model that is asked."""
        return MODELS[dialect] if self.priced else UNPRICED

    @property
    def docs(self) -> str:
        """The cell that makes the prompts: the number decides what goes wrong."""
        return (
            f"docs = [f'Say something about document number {{n}}.' for n in range({self.calls})]"
        )


@dataclass(frozen=True)
class System:
    """One way to do it.

    Attributes:
        name: as it stands in the table.
        setup: the cell that makes ready, for a dialect and the work; not measured.
        cell: the cell that is measured; `docs` are the prompts.
        kept: an expression: how many answers there are afterwards.
        streams: whether it can stream.
        retries: whether it tries again what failed.
    """

    name: str
    setup: Callable[[str, Work], str]
    cell: Callable[[str, Work], str]
    kept: str = "sum(isinstance(answer, str) and bool(answer) for answer in answers)"
    streams: bool = True
    retries: bool = True


def bare(dialect: str) -> dict[str, Any]:
    """The functions over the SDK's own call, for use in this process."""
    names: dict[str, Any] = {}
    exec(BARE[dialect] + BARE_MANY, names)  # noqa: S102  # the text above, as in the kernels
    return names


def _ask(work: Work) -> str:
    return "streamed" if work.stream else "plain"


def _timeout(work: Work) -> str:
    return "" if work.timeout is None else f"timeout={work.timeout:g}"


def _nothing(dialect: str, work: Work) -> str:
    return ""


def _magic(dialect: str, work: Work) -> str:
    stream = "on" if work.stream else "off"
    limit = "" if work.timeout is None else f" --deadline {work.timeout:g}"
    return (
        f"%%fanout -m {dialect}:{work.model(dialect)} --each docs -c {work.concurrency} "
        f"--stream {stream}{limit} -o run\n{{{{item}}}}"
    )


def _client(dialect: str, work: Work) -> str:
    made = f"{dialect}.Async{CLIENTS[dialect][0]}({_timeout(work)})"
    return f"{BARE[dialect]}{BARE_MANY}\nclient = {made}"


def _client_on_aiohttp(dialect: str, work: Work) -> str:
    http = f"http_client={dialect}.DefaultAioHttpClient({_timeout(work)})"
    options = ", ".join(filter(None, [http, _timeout(work)]))
    made = f"{dialect}.Async{CLIENTS[dialect][0]}({options})"
    return f"{BARE[dialect]}{BARE_MANY}\nclient = {made}"


def _loop(dialect: str, work: Work) -> str:
    return (
        "async def ask(client, model, prompt):\n"
        "    try:\n"
        f"        return await {_ask(work)}(client, model, prompt)\n"
        "    except Exception as error:\n"
        "        return error\n"
        f"answers = await many(ask, client, {work.model(dialect)!r}, docs, {work.concurrency})"
    )


def _lean_client(dialect: str, work: Work) -> str:
    return f"{BARE[dialect]}{READ[dialect]}{LEAN}\nclient = make_client()"


def _lean(dialect: str, work: Work) -> str:
    model = work.model(dialect)
    return f"answers = await lean(client, {model!r}, docs, {work.concurrency}, {work.stream})"


def _no_client(dialect: str, work: Work) -> str:
    return READ[dialect] + RAW


def _raw(dialect: str, work: Work) -> str:
    return f"answers = await raw({work.model(dialect)!r}, docs, {work.concurrency}, {work.stream})"


def _sync_client(dialect: str, work: Work) -> str:
    """The same functions without `async`."""
    code = BARE[dialect].replace("async def", "def").replace("async for", "for")
    return (
        f"from concurrent.futures import ThreadPoolExecutor\n{code.replace('await ', '')}\n"
        f"client = {dialect}.{CLIENTS[dialect][0]}({_timeout(work)})"
    )


def _threads(dialect: str, work: Work) -> str:
    return (
        f"with ThreadPoolExecutor({work.concurrency}) as pool:\n"
        f"    calls = [pool.submit({_ask(work)}, client, {work.model(dialect)!r}, doc) for doc in docs]\n"
        "answers = [call.exception() or call.result() for call in calls]"
    )


def _langchain(dialect: str, work: Work) -> str:
    chat = CLIENTS[dialect][1]
    options = [
        f"model={work.model(dialect)!r}",
        "max_tokens=4096",
        f"base_url=os.environ['{dialect.upper()}_BASE_URL']",
        f"streaming={work.stream}",
        _timeout(work),
    ]
    return (
        f"import os\nfrom langchain_{dialect} import {chat}\n"
        f"chat = {chat}({', '.join(filter(None, options))})"
    )


def _abatch(dialect: str, work: Work) -> str:
    return (
        f"replies = await chat.abatch(docs, {{'max_concurrency': {work.concurrency}}}, "
        "return_exceptions=True)\n"
        "answers = [reply if isinstance(reply, Exception) else reply.text for reply in replies]"
    )


def _chatlas(dialect: str, work: Work) -> str:
    address = f"base_url=os.environ['{dialect.upper()}_BASE_URL']"
    own = address if dialect == "openai" else ""
    of_client = ", ".join(filter(None, ["" if own else address, _timeout(work)]))
    options = [f"model={work.model(dialect)!r}", own, f"kwargs=dict({of_client})"]
    return (
        f"import os\nfrom chatlas import {CHATLAS[dialect]}, parallel_chat_text\n"
        f"chat = {CHATLAS[dialect]}({', '.join(filter(None, options))})"
    )


def _parallel_chat(dialect: str, work: Work) -> str:
    """With a rate that never makes it wait: its default is 500 a minute."""
    return (
        f"answers = await parallel_chat_text(chat, docs, max_active={work.concurrency}, "
        "rpm=10**9, on_error='continue')"
    )


OURS = System("parallm_magics", _nothing, _magic, "len(run.succeeded)")
LEAN_CELL = System("lean cell", _lean_client, _lean, retries=False)
NAIVE = System("gather, SDK", _client, _loop)
LOOP_ON_AIOHTTP = System("gather, SDK on aiohttp", _client_on_aiohttp, _loop)
THREADS = System("threads, SDK", _sync_client, _threads)
CHATLAS_TEXT = System("chatlas parallel_chat_text", _chatlas, _parallel_chat, streams=False)
LANGCHAIN = System("LangChain abatch", _langchain, _abatch)
RAW_AIOHTTP = System("raw aiohttp", _no_client, _raw, retries=False)
SYSTEMS = (
    OURS,
    LEAN_CELL,
    NAIVE,
    LOOP_ON_AIOHTTP,
    THREADS,
    CHATLAS_TEXT,
    LANGCHAIN,
    RAW_AIOHTTP,
)
