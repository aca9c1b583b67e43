"""The providers that are known by name: all that is particular of one stands in its entry."""

from __future__ import annotations

from parallm_magics.core.provider import Provider
from parallm_magics.providers.dialects import CHAT, DECISIONS, MESSAGES, RESPONSES
from parallm_magics.providers.entry import NO_MODEL, ProviderEntry


def simulated(entry: ProviderEntry) -> Provider:
    """What answers in a model's place."""
    from parallm_magics.simulation.simulated import SimulatedProvider

    return SimulatedProvider(entry.answers)


# Models that search the web by themselves, which is paid for by the call.
SEARCHING = r"-search|deep-research"

# What the providers state for all of their models: https://platform.claude.com/docs/en/build-with-claude/batch-processing,
# https://developers.openai.com/api/docs/guides/batch and /flex-processing,
# https://learn.microsoft.com/azure/foundry/openai/how-to/flex-processing,
# https://ai.google.dev/gemini-api/docs/flex-inference.
HALF = 0.5

ENTRIES = (
    ProviderEntry(
        "anthropic",
        "https://api.anthropic.com",
        ("ANTHROPIC_API_KEY",),
        "anthropic",
        ("claude-haiku-5-5", "claude-sonnet-5-5", "claude-opus-5-5"),
        dialect=MESSAGES,
        base_env="ANTHROPIC_BASE_URL",
        official=True,
        fixed=True,
        bare="claude-",
        tiers={"batch": HALF},
        quirks="current models take no temperature",
    ),
    ProviderEntry(
        "openai",
        "https://api.openai.com/v1",
        ("OPENAI_API_KEY",),
        "openai",
        ("gpt-6-luna", "gpt-6.1-terra"),
        base_env="OPENAI_BASE_URL",
        official=True,
        fixed=True,
        bare=r"gpt-(?!oss)|chatgpt-|o[134](?:-|$)",
        unpriced=SEARCHING,
        tiers={"flex": HALF, "batch": HALF},
        limit="max_completion_tokens",
        quirks="models that exist only on the Responses API are refused; GPT-6 takes a temperature only with "
        "--effort none",
    ),
    ProviderEntry(
        "openai-responses",
        "https://api.openai.com/v1",
        ("OPENAI_API_KEY",),
        "openai",
        ("gpt-5.2-pro",),
        dialect=RESPONSES,
        base_env="OPENAI_BASE_URL",
        official=True,
        fixed=True,
        unpriced=SEARCHING,
        tiers={"flex": HALF, "batch": HALF},
        quirks="for models that exist only there; store=false is sent, so prompts are not stored",
    ),
    ProviderEntry(
        "decide",
        "https://api.openai.com/v1",
        ("OPENAI_API_KEY",),
        {"gpt-6-luna": (0.1, 0.0)},
        ("gpt-6-luna",),
        dialect=DECISIONS,
        base_env="OPENAI_BASE_URL",
        official=True,
        fixed=True,
        enforces="nothing",
        decides=True,
        quirks="OpenAI Decisions: a probability for each label, billed by input only; answers --choices and --score, "
        "up to 400 questions about one text in one request",
    ),
    ProviderEntry(
        "gemini",
        "https://generativelanguage.googleapis.com/v1beta/openai",
        ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
        "google",
        ("gemini-2.5-flash",),
        base_env="GEMINI_BASE_URL",
        tiers={"flex": HALF},
        quirks="errors come as a list; thinking appears only in the total and is counted as output",
    ),
    ProviderEntry(
        "groq",
        "https://api.groq.com/openai/v1",
        ("GROQ_API_KEY",),
        "groq",
        ("llama-3.3-70b-versatile",),
        base_env="GROQ_BASE_URL",
        unpriced="compound",
        # https://console.groq.com/docs/flex-processing: the usual price, and ten times the rate.
        tiers={"flex": 1.0},
        limit="max_completion_tokens",
        quirks="a stream reports its tokens in x_groq; compound models run tools, so they have no known price; flex "
        "costs as much, at ten times the rate limit",
    ),
    ProviderEntry(
        "openrouter",
        "https://openrouter.ai/api/v1",
        ("OPENROUTER_API_KEY",),
        "openrouter",
        ("openai/gpt-6-luna",),
        base_env="OPENROUTER_BASE_URL",
        unpriced=r":(?!free$)|^openrouter/|^~",
        # https://openrouter.ai/docs/guides/features/service-tiers: at the price of whoever serves it.
        tiers={"flex": None},
        quirks="routers, aliases and names with a suffix other than :free have no known price",
    ),
    ProviderEntry(
        "mistral",
        "https://api.mistral.ai/v1",
        ("MISTRAL_API_KEY",),
        "mistral",
        ("mistral-small-latest",),
        base_env="MISTRAL_BASE_URL",
        stream_options=False,
        quirks="reports a stream's tokens without stream_options; reasoning models answer in parts",
    ),
    ProviderEntry(
        "deepseek",
        "https://api.deepseek.com",
        ("DEEPSEEK_API_KEY",),
        "deepseek",
        ("deepseek-chat",),
        base_env="DEEPSEEK_BASE_URL",
        enforces="nothing",
        quirks="uses its own field names for cached tokens; prices change during the day; takes no schema",
    ),
    ProviderEntry(
        "xai",
        "https://api.x.ai/v1",
        ("XAI_API_KEY",),
        "x-ai",
        ("grok-4.7",),
        base_env="XAI_BASE_URL",
        unpriced=r"multi-agent",
        limit="max_completion_tokens",
        quirks="thinking appears only in the total and is counted as output",
    ),
    ProviderEntry(
        "together",
        "https://api.together.xyz/v1",
        ("TOGETHER_API_KEY",),
        "together",
        ("Qwen/Qwen3.5-9B",),
        base_env="TOGETHER_BASE_URL",
    ),
    ProviderEntry(
        "azure",
        "{AZURE_OPENAI_ENDPOINT}",
        ("AZURE_OPENAI_API_KEY", "AZURE_OPENAI_AD_TOKEN"),
        "azure",
        ("DEPLOYMENT",),
        dialect=CHAT,
        provider="azure.AzureProvider",
        client="AsyncAzureOpenAI",
        base_env="AZURE_OPENAI_ENDPOINT",
        needs=(
            ("AZURE_OPENAI_ENDPOINT", "such as https://RESOURCE.openai.azure.com"),
            ("OPENAI_API_VERSION", "the api-version, such as 2024-10-21"),
        ),
        deployments=True,
        tiers={"flex": HALF},
        limit="max_completion_tokens",
        quirks="the price is that of the model the reply names, else of the model with the deployment's name, at "
        "global rates",
    ),
    ProviderEntry(
        "bedrock",
        "https://bedrock-runtime.{AWS_REGION}.amazonaws.com",
        ("AWS_BEARER_TOKEN_BEDROCK",),
        "aws",
        ("us.anthropic.claude-haiku-5-5",),
        dialect=MESSAGES,
        provider="bedrock.BedrockProvider",
        client="AsyncAnthropicBedrock",
        base_env="ANTHROPIC_BEDROCK_BASE_URL",
        needs=(("AWS_REGION", "such as us-east-1"),),
        extra="bedrock",
        quirks="Claude only; uses a bearer token, or the usual AWS credentials through boto3",
    ),
    ProviderEntry(
        "vertex",
        "https://aiplatform.googleapis.com/v1",
        (),
        "google",
        ("claude-haiku-5-5",),
        dialect=MESSAGES,
        provider="vertex.VertexProvider",
        client="AsyncAnthropicVertex",
        base_env="ANTHROPIC_VERTEX_BASE_URL",
        needs=(
            ("CLOUD_ML_REGION", "such as global or us-east5; prices are known for global only"),
            ("ANTHROPIC_VERTEX_PROJECT_ID", "the project that is billed"),
        ),
        priced_where=("CLOUD_ML_REGION", "global"),
        extra="vertex",
        quirks="Claude only; google-auth finds the credentials; prices are those of the global region",
    ),
    ProviderEntry(
        "sim",
        provider=simulated,
        simulated=True,
        fixed=True,
        decides="sharpness",
        enforces="schema",
    ),
    ProviderEntry("ollama", "http://localhost:11434/v1"),
    ProviderEntry(
        "vllm",
        "http://localhost:8000/v1",
        enforces="structured_outputs",
        quirks="--enforce needs vLLM 0.12 or later: earlier ones ignore it",
    ),
    ProviderEntry(
        "llamacpp",
        "http://localhost:8080/v1",
        enforces="grammar",
        enforces_free=True,
        quirks="labels and numbers are enforced by a grammar, unless --enforce off",
    ),
    ProviderEntry("lmstudio", "http://localhost:1234/v1"),
)
WITH_FLEX = tuple(entry.name for entry in ENTRIES if "flex" in entry.tiers)
"""The providers that have a flex tier."""
BY_NAME = {entry.name: entry for entry in ENTRIES}
WELL_KNOWN = tuple(model for entry in ENTRIES if entry.bare != NO_MODEL for model in entry.models)
"""Names of models that say by themselves whose they are, to show and to compare a slip with."""
