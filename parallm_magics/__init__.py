"""Run LLM calls in parallel from a notebook cell: sections with %%fanout, votes with %%vote."""
