"""What can go wrong with a call, in one word each."""

from __future__ import annotations

from typing import Literal

FaultKind = Literal[
    "rate_limit",  # slow down and ask again
    "quota",  # the account is out of money or over its limit: asking again cannot help
    "auth",  # the key is wrong or may not do this
    "forbidden",  # a 403 that says neither of what nor of whom
    "model",  # the provider does not know the model
    "bad_request",  # the provider refuses the request as it stands
    "parameter",  # it refuses a field that we send unasked: left out from now on
    "too_large",  # the prompt does not fit
    "server",  # the provider failed or is overloaded
    "connection",  # no or a broken connection
    "timeout",  # silence, or the deadline
    "cut",  # the stream ended before the answer did
    "not_an_answer",  # status 200, but no answer of this API in it
    "empty",  # an answer without text
    "unreadable",  # text in which the asked-for label, number or object cannot be read
    "refusal",  # the model declined, or a content filter did
    "length",  # cut off at max_tokens
    "cancelled",  # stopped by us; the message says why
    "blocked",  # a guardrail has not let it pass
    "budget",  # the cap on cost leaves no room for the call
    "bad_item",  # an item of --each that cannot be put into the prompt
    "bug",  # an exception that no table knows
]
