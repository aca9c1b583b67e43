"""The ways to make many calls that are compared: each as the cells that a person would type."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench import BARE, BARE_MANY, MODELS

CLIENTS = {"anthropic": ("Anthropic", "ChatAnthropic"), "openai": ("OpenAI", "ChatOpenAI")}


@dataclass(frozen=True)
class Work:
    """What is to be done.

    Attributes:
        name: a word.
        about: a sentence for the reader.
        calls, concurrency: how many, and how many at once.
        behaviour: the server's, see `server.Behaviour`; the delay in milliseconds apart.
        milliseconds: how long an answer takes.
        limit: seconds that nobody can undercut without more calls at once or more requests.
        can_be_kept: how many answers there are to be had.
        stream: whether the answers are streamed.
        timeout: seconds after which a call is given up, or None for each system's default.
    """

    name: str
    about: str
    calls: int
    concurrency: int
    milliseconds: float
    limit: float
    can_be_kept: int
    behaviour: dict[str, float]
    stream: bool = False
    timeout: float | None = None


@dataclass(frozen=True)
class System:
    """One way to do it.

    Attributes:
        name: as it stands in the table.
        setup: the cell that makes ready, for a dialect and the work; not measured.
        cell: the cell that is measured; `docs` are the prompts.
        kept: an expression: how many answers there are afterwards.
    """

    name: str
    setup: Callable[[str, Work], str]
    cell: Callable[[str, Work], str]
    kept: str = "sum(isinstance(answer, str) and bool(answer) for answer in answers)"


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
        f"%%fanout -m {dialect}:{MODELS[dialect]} --each docs -c {work.concurrency} "
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


def _gather(dialect: str, work: Work) -> str:
    return (
        f"calls = [{_ask(work)}(client, {MODELS[dialect]!r}, doc) for doc in docs]\n"
        "answers = await asyncio.gather(*calls, return_exceptions=True)"
    )


def _loop(dialect: str, work: Work) -> str:
    return (
        "async def ask(client, model, prompt):\n"
        "    try:\n"
        f"        return await {_ask(work)}(client, model, prompt)\n"
        "    except Exception as error:\n"
        "        return error\n"
        f"answers = await many(ask, client, {MODELS[dialect]!r}, docs, {work.concurrency})"
    )


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
        f"    calls = [pool.submit({_ask(work)}, client, {MODELS[dialect]!r}, doc) for doc in docs]\n"
        "answers = [call.exception() or call.result() for call in calls]"
    )


def _langchain(dialect: str, work: Work) -> str:
    chat = CLIENTS[dialect][1]
    options = [
        f"model={MODELS[dialect]!r}",
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


OURS = System("parallm_magics", _nothing, _magic, "len(run.succeeded)")
LOOP = System("loop, SDK", _client, _loop)
LOOP_ON_AIOHTTP = System("loop, SDK on aiohttp", _client_on_aiohttp, _loop)
SYSTEMS = (
    OURS,
    LOOP,
    LOOP_ON_AIOHTTP,
    System("gather, SDK", _client, _gather),
    System("gather, SDK on aiohttp", _client_on_aiohttp, _gather),
    System("threads, SDK", _sync_client, _threads),
    System("LangChain abatch", _langchain, _abatch),
)
