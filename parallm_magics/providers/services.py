"""The providers that are known by name: all that is particular of one stands in its entry."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Literal

from parallm_magics.core.prices import Tariff
from parallm_magics.core.tasks import Terms

Wire = Literal["anthropic", "chat", "responses"]
"""What is spoken: Anthropic's messages, OpenAI's chat completions or OpenAI's responses."""


@dataclass(frozen=True, slots=True)
class Service:
    """A provider that is known by name.

    Attributes:
        name: what stands before the colon.
        door: the class of what asks it, as `module.Class` in this folder; imported on use.
        wire: what it speaks.
        client: the SDK's client class; its module is `sdk`.
        base_url: its usual address; a `{VARIABLE}` in it is filled from the environment.
        base_env: the variable that moves it elsewhere.
        keys: the variables that its key may stand in; the first that is set is used.
        needs: further variables, each with what is said where it is not set.
        prices: the id of its prices in genai-prices.
        unpriced: the models that charge for more than their tokens.
        priced_where: a variable, and the value of it that the prices are of.
        deployments: whether a model's name is the user's own, and only the reply tells the model.
        model: a model's name as it is written here, as an example.
        limit: the field that bounds the output tokens.
        stream_options: whether it takes this field, and needs it to count a stream's tokens.
        extra: what of this package's extras must be installed for it, or "".
        quirks: where it differs, for people.
    """

    name: str
    door: str
    wire: Wire
    client: str
    base_url: str
    base_env: str
    keys: tuple[str, ...]
    prices: str
    model: str
    needs: tuple[tuple[str, str], ...] = ()
    unpriced: str = "(?!)"
    priced_where: tuple[str, str] | None = None
    deployments: bool = False
    limit: str = "max_tokens"
    stream_options: bool = True
    extra: str = ""
    quirks: str = ""

    @property
    def sdk(self) -> str:
        """The SDK's module."""
        return "anthropic" if self.wire == "anthropic" else "openai"

    @property
    def reads_itself(self) -> bool:
        """Whether the SDK's client finds address and key by itself."""
        return self.client != "AsyncOpenAI" or self.keys == ("OPENAI_API_KEY",)

    @property
    def variables(self) -> tuple[str, ...]:
        """Every variable that must be set, the first key for all of them."""
        return (*self.keys[:1], *(name for name, _ in self.needs))

    def tariff(self, model: str, terms: Terms) -> Tariff | None:
        """Where the model's price stands; None where it is another one, or for more than tokens."""
        if re.search(self.unpriced, model):
            return None
        if self.priced_where is not None:
            variable, value = self.priced_where
            if os.environ.get(variable, "").strip() != value:
                return None
        return Tariff(self.prices, "", model.removeprefix("models/"), terms)


# Models that search the web by themselves, which is paid for by the call.
SEARCHING = r"-search|deep-research"

SERVICES = (
    Service(
        "anthropic",
        "anthropic.AnthropicProvider",
        "anthropic",
        "AsyncAnthropic",
        "https://api.anthropic.com",
        "ANTHROPIC_BASE_URL",
        ("ANTHROPIC_API_KEY",),
        "anthropic",
        "claude-haiku-5-5",
        quirks="current models take no temperature",
    ),
    Service(
        "openai",
        "openai.OpenAIProvider",
        "chat",
        "AsyncOpenAI",
        "https://api.openai.com/v1",
        "OPENAI_BASE_URL",
        ("OPENAI_API_KEY",),
        "openai",
        "gpt-6-luna",
        unpriced=SEARCHING,
        limit="max_completion_tokens",
        quirks="models of the Responses API alone are refused; GPT-6 takes a temperature only with --effort none",
    ),
    Service(
        "openai-responses",
        "responses.ResponsesProvider",
        "responses",
        "AsyncOpenAI",
        "https://api.openai.com/v1",
        "OPENAI_BASE_URL",
        ("OPENAI_API_KEY",),
        "openai",
        "gpt-5.2-pro",
        unpriced=SEARCHING,
        limit="max_output_tokens",
        quirks="for models that exist only there; store=false is sent, so that no prompt is kept there",
    ),
    Service(
        "gemini",
        "compatible.CompatibleProvider",
        "chat",
        "AsyncOpenAI",
        "https://generativelanguage.googleapis.com/v1beta/openai",
        "GEMINI_BASE_URL",
        ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
        "google",
        "gemini-2.5-flash",
        quirks="errors come as a list; thinking is counted in the total alone, and booked as output",
    ),
    Service(
        "groq",
        "compatible.CompatibleProvider",
        "chat",
        "AsyncOpenAI",
        "https://api.groq.com/openai/v1",
        "GROQ_BASE_URL",
        ("GROQ_API_KEY",),
        "groq",
        "llama-3.3-70b-versatile",
        unpriced="compound",
        limit="max_completion_tokens",
        quirks="a stream's tokens may stand in x_groq; compound models run tools, so that they have no price",
    ),
    Service(
        "openrouter",
        "compatible.CompatibleProvider",
        "chat",
        "AsyncOpenAI",
        "https://openrouter.ai/api/v1",
        "OPENROUTER_BASE_URL",
        ("OPENROUTER_API_KEY",),
        "openrouter",
        "openai/gpt-6-luna",
        unpriced=r":(?!free$)|^openrouter/|^~",
        quirks="names with a suffix other than :free, routers and aliases have no price of their own",
    ),
    Service(
        "mistral",
        "compatible.CompatibleProvider",
        "chat",
        "AsyncOpenAI",
        "https://api.mistral.ai/v1",
        "MISTRAL_BASE_URL",
        ("MISTRAL_API_KEY",),
        "mistral",
        "mistral-small-latest",
        stream_options=False,
        quirks="takes no stream_options and counts a stream's tokens without; "
        "reasoning models answer in parts",
    ),
    Service(
        "deepseek",
        "compatible.CompatibleProvider",
        "chat",
        "AsyncOpenAI",
        "https://api.deepseek.com",
        "DEEPSEEK_BASE_URL",
        ("DEEPSEEK_API_KEY",),
        "deepseek",
        "deepseek-chat",
        quirks="cached tokens have names of their own; prices change within the day",
    ),
    Service(
        "xai",
        "compatible.CompatibleProvider",
        "chat",
        "AsyncOpenAI",
        "https://api.x.ai/v1",
        "XAI_BASE_URL",
        ("XAI_API_KEY",),
        "x-ai",
        "grok-4.7",
        unpriced="multi-agent",
        limit="max_completion_tokens",
        quirks="thinking is counted in the total alone, and booked as output",
    ),
    Service(
        "together",
        "compatible.CompatibleProvider",
        "chat",
        "AsyncOpenAI",
        "https://api.together.xyz/v1",
        "TOGETHER_BASE_URL",
        ("TOGETHER_API_KEY",),
        "together",
        "Qwen/Qwen3.5-9B",
    ),
    Service(
        "azure",
        "azure.AzureProvider",
        "chat",
        "AsyncAzureOpenAI",
        "{AZURE_OPENAI_ENDPOINT}",
        "AZURE_OPENAI_ENDPOINT",
        ("AZURE_OPENAI_API_KEY", "AZURE_OPENAI_AD_TOKEN"),
        "azure",
        "DEPLOYMENT",
        needs=(
            ("AZURE_OPENAI_ENDPOINT", "such as https://RESOURCE.openai.azure.com"),
            ("OPENAI_API_VERSION", "the api-version, such as 2024-10-21"),
        ),
        deployments=True,
        limit="max_completion_tokens",
        quirks="a deployment has the price of the model of its name, at a global deployment; "
        "the model that the reply names decides where it has another",
    ),
    Service(
        "bedrock",
        "bedrock.BedrockProvider",
        "anthropic",
        "AsyncAnthropicBedrock",
        "https://bedrock-runtime.{AWS_REGION}.amazonaws.com",
        "ANTHROPIC_BEDROCK_BASE_URL",
        ("AWS_BEARER_TOKEN_BEDROCK",),
        "aws",
        "us.anthropic.claude-haiku-5-5",
        needs=(("AWS_REGION", "such as us-east-1"),),
        extra="bedrock",
        quirks="Claude alone; a bearer token, else boto3 signs with what AWS's own tools use",
    ),
    Service(
        "vertex",
        "vertex.VertexProvider",
        "anthropic",
        "AsyncAnthropicVertex",
        "https://aiplatform.googleapis.com/v1",
        "ANTHROPIC_VERTEX_BASE_URL",
        (),
        "google",
        "claude-haiku-5-5",
        needs=(
            ("CLOUD_ML_REGION", "such as global or us-east5; prices are known of global"),
            ("ANTHROPIC_VERTEX_PROJECT_ID", "the project that pays"),
        ),
        priced_where=("CLOUD_ML_REGION", "global"),
        extra="vertex",
        quirks="Claude alone; google-auth finds the credentials; prices are those of the region global",
    ),
)
BY_NAME = {service.name: service for service in SERVICES}
