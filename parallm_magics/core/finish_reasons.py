"""Why a model stopped, in the words of all providers; a word that nobody knows is not good."""

from __future__ import annotations

from typing import Literal

from parallm_magics.core.tasks import Finish

Ending = Finish | Literal["failed", "unknown"]

WORDS: dict[Ending, str] = {
    "stop": "stop stop_sequence stop_token stopped end end_turn eos eos_token complete completed done "
    "finished tool_use tool_call tool_calls function_call",
    # pause_turn: a turn that the server broke off, so that what is there is not the answer
    "length": "length max_length max_tokens max_new_tokens max_output_tokens max_tokens_reached "
    "max_completion_tokens max_messages model_length token_limit context_length context_length_exceeded "
    "model_context_window_exceeded error_limit pause_turn",
    "refusal": "refusal refused content_filter content_filtered safety recitation prohibited_content sensitive "
    "blocked blocklist spii image_safety model_armor moderation guardrail_intervened error_toxic",
    "failed": "error errored failed failure server_error internal_error network_error timeout abort "
    "aborted cancel cancelled canceled user_cancel overloaded engine_overloaded "
    "insufficient_system_resource",
}
ENDINGS = {word: ending for ending, words in WORDS.items() for word in words.split()}
# What stands in pieces that do not end an answer.
NONE = frozenset({"", "null", "none"})


def ending_of(reason: str) -> Ending | None:
    """Return what a finish reason says, in any letter case; None where it says nothing yet.

    >>> ending_of("MAX_TOKENS"), ending_of("FinishReason.SAFETY"), ending_of("spleen")
    ('length', 'refusal', 'unknown')
    """
    if known := ENDINGS.get(reason):
        return known
    word = reason.strip().lower().replace("-", "_").replace(" ", "_")
    word = word.rpartition(".")[2].removeprefix("finish_reason_")
    return None if word in NONE else ENDINGS.get(word, "unknown")
