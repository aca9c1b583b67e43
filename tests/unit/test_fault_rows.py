"""Every fault that we promise to bear, with the tests that show it, or the reason why there is none."""

from __future__ import annotations

import ast
from functools import cache
from typing import NamedTuple

import pytest
from paths import TESTS


class Reason(str):
    """Why a promise, or a part of it, has no test here: one sentence."""


class Row(NamedTuple):
    """A fault: what we promise, and what shows it."""

    promise: str
    shown_by: tuple[str | Reason, ...]


def row(promise: str, *shown_by: str | Reason) -> Row:
    """A row of the table."""
    return Row(promise, shown_by)


F, D, N, C = (
    f"test_{subject}_faults.py::test_" for subject in ("provider", "data", "notebook", "cost")
)
K = "test_recording.py::test_"
P = "test_processes.py::test_"
W = "test_recording_writers.py::test_"
ROWS: dict[str, Row] = {
    # What a provider does.
    "F01": row(
        "after a 429 with a wait, all workers of the key wait, and the table says so",
        F + "one_refusal_holds_all_workers_back",
        "test_limits.py::test_a_hint_closes_the_gate_for_all",
        "test_engine.py::test_a_hint_is_the_least_pause",
        "test_board.py::test_a_worker_goes_through_its_states",
    ),
    "F02": row(
        "no wait that a provider asks for outlasts the deadline; an honest one is told",
        F + "an_odd_hint_never_holds_a_worker_past_its_deadline",
        "test_faults.py::test_retry_after_is_seconds_or_nothing",
        "test_engine.py::test_a_hint_beyond_the_deadline_ends_the_worker_now",
    ),
    "F03": row(
        "an account without money or over its limit is asked by those in flight only, never again",
        F + "an_empty_account_is_asked_no_more",
        "test_faults.py::test_a_code_says_more_than_a_status",
        "test_limits.py::test_a_fault_that_no_call_can_survive_stops_the_run",
    ),
    "F04": row(
        "server faults: three attempts with full jitter, and a bound on all retries together",
        F + "a_passing_fault_gets_three_attempts",
        F + "a_dead_provider_costs_few_calls",
        F + "a_dead_provider_ends_the_run_at_the_deadline",
        F + "most_succeed_where_a_fifth_of_the_calls_fail",
        F + "pauses_are_drawn_from_the_whole_span",
        "test_limits.py::test_a_dead_provider_is_not_hammered",
    ),
    "F05": row(
        "a lost connection names its host and its cause",
        F + "each_lost_connection_names_its_host_and_cause",
        "test_faults.py::test_each_cause_of_a_lost_connection_is_told",
        "test_engine.py::test_passing_faults_are_tried_again",
    ),
    "F06": row(
        "a worker that hangs ends at its deadline, and holds up nobody",
        F + "hanging_workers_hold_up_nobody",
        "test_engine.py::test_the_deadline_bounds_everything",
    ),
    "F07": row(
        "a drip of bytes does not move the deadline",
        F + "a_drip_ends_at_the_deadline",
    ),
    "F08": row(
        "a stream that breaks off keeps its text, and is no success",
        F + "a_stream_without_its_end_is_no_success_and_no_vote",
        "test_providers.py::test_a_cut_stream_keeps_its_text_and_is_no_answer",
    ),
    "F09": row(
        "a stream that ends without a stop is no success and no vote",
        F + "a_stream_without_its_end_is_no_success_and_no_vote",
        "test_providers.py::test_a_stream_without_a_stop_event_is_cut",
    ),
    "F10": row(
        "an error inside a good stream is told by its type; the next try starts anew",
        F + "an_error_in_the_stream_is_tried_again_from_the_start",
        "test_providers.py::test_an_error_in_the_stream_is_told_by_its_type",
    ),
    "F11": row(
        "HTML with a good status is no answer; little of it is shown, escaped",
        F + "what_is_no_answer_is_invalid_and_shown_harmless",
        "test_providers.py::test_what_came_instead_is_shown_short_and_harmless",
    ),
    "F12": row(
        "an empty body or broken JSON is no answer",
        F + "what_is_no_answer_is_invalid_and_shown_harmless",
        "test_providers.py::test_strange_json_is_not_an_answer",
    ),
    "F13": row(
        "null, [] and {} are no answer",
        F + "what_is_no_answer_is_invalid_and_shown_harmless",
        "test_providers.py::test_a_200_that_is_no_answer_is_not_an_answer",
    ),
    "F14": row(
        "an answer without text is invalid, asked once and never a vote",
        F + "an_answer_without_text_is_invalid_and_no_vote",
        "test_providers.py::test_an_answer_without_text_is_a_reply",
    ),
    "F15": row(
        "a missing or absurd usage leaves the cost unknown; a cap keeps what it had set aside",
        F + "a_usage_that_cannot_be_true_costs_an_unknown_amount",
        "test_providers.py::test_a_usage_that_cannot_be_true_is_none",
        "test_budget.py::test_an_unknown_usage_keeps_the_reservation",
    ),
    "F16": row(
        "a refusal has its own status: shown, not asked again, no vote",
        F + "a_refusal_is_shown_and_asked_once",
        "test_providers.py::test_the_reason_of_the_stop_is_kept",
    ),
    "F17": row(
        "an answer cut at its longest is marked: no vote, no success",
        F + "a_cut_answer_is_marked_everywhere",
        "test_fanout.py::test_cut_and_refused_answers_are_marked_in_the_joined_text",
    ),
    "F18": row(
        "a content filter is a refusal, also where it answers 400",
        F + "a_refusal_is_shown_and_asked_once",
        "test_providers.py::test_a_filter_that_answers_400_is_a_refusal",
    ),
    "F19": row(
        "a prompt that does not fit is asked once, and the sizes are told",
        F + "a_prompt_too_large_is_asked_once",
        F + "a_prompt_over_a_known_limit_is_not_sent",
        D + "a_megabyte_is_cut_whole_and_its_cost_is_told_before_any_call",
    ),
    "F20": row(
        "a key that is not accepted is asked with by those in flight only; its variable is named",
        F + "a_wrong_key_or_model_is_asked_by_those_in_flight_only",
        "test_keys.py::test_a_key_is_nowhere",
        "test_api.py::test_a_key_is_nowhere",
    ),
    "F21": row(
        "an unknown model is asked for by those in flight only, and is named",
        F + "a_wrong_key_or_model_is_asked_by_those_in_flight_only",
        F + "an_unknown_model_is_told_with_near_names",
        "test_registry.py::test_a_text_that_means_none_says_what_is_possible",
    ),
    "F22": row(
        "a parameter that a model does not take is named with the model, and asked once",
        F + "a_parameter_that_a_model_does_not_take_is_named",
        "test_provider_checks.py::test_current_claude_models_take_no_temperature",
    ),
    "F23": row(
        "a redirect is not followed: nothing reaches another host",
        F + "a_redirect_sends_no_byte_elsewhere",
        "test_providers.py::test_a_redirect_elsewhere_is_not_followed",
    ),
    "F24": row(
        "a compressed body that swells fills no memory and does not hold the loop",
        P + "a_bomb_fills_no_memory",
        "test_providers.py::test_a_bomb_does_not_fill_the_memory",
    ),
    "F25": row(
        "where merging fails the workers are kept, and a second try asks for the merging alone",
        F + "a_second_try_asks_only_for_the_synthesis",
        "test_fanout.py::test_retry_asks_only_for_what_is_missing",
        "test_judging.py::test_a_failing_judge_keeps_the_workers",
    ),
    "F26": row(
        "whatever fails, no finished answer is lost, below the minimum it is in the error",
        F + "no_finished_answer_is_lost_in_random_runs",
        "test_fanout.py::test_too_few_successes_are_an_error_that_keeps_everything",
        "test_engine.py::test_every_worker_ends_in_exactly_one_record",
    ),
    "F27": row(
        "after an outage one call finds out, and all go on within one pause",
        F + "a_worker_is_asked_again_when_the_provider_is_back",
        "test_limits.py::test_an_outage_costs_no_call",
    ),
    # What happens around a notebook.
    "N01": row(
        "an interrupt at any moment ends the run soon and keeps what is done",
        "test_interrupt.py::test_at_random_moments",
        "test_interrupt.py::test_while_the_cell_is_read",
        "test_interrupt.py::test_while_the_answers_are_merged",
    ),
    "N02": row(
        "a second interrupt harms nothing",
        "test_interrupt.py::test_a_second_interrupt_loses_nothing",
        "test_interrupt.py::test_a_second_interrupt_waits_for_nobody",
    ),
    "N03": row(
        "an interrupt while a recording is written leaves it readable",
        "test_recordings_in_a_notebook.py::test_what_was_done_at_an_interrupt_is_served",
    ),
    "N04": row(
        "after a kernel's death a recorded run repeats only what was in flight",
        "test_recordings_in_a_notebook.py::test_a_killed_kernel_loses_what_was_in_flight_only",
        "test_recorded_runs_killed.py::test_a_killed_process_loses_what_was_in_flight_only",
    ),
    "N06": row(
        "two shells run at once, each in its own output, within the sum of their limits",
        N + "two_shells_never_pass_the_sum_of_their_limits",
        "test_loading.py::test_a_subshell_runs_at_the_same_time",
        "test_limits.py::test_two_cells_share_what_one_learnt",
    ),
    "N07": row(
        "whoever owns the loop, runs work and leave no noise",
        "test_processes.py::test_a_script_leaves_nothing_on_stderr",
        "test_api.py::test_a_second_run_in_another_loop_works",
        "test_processes.py::test_loops_that_end_leave_no_noise",
        "test_terminal.py::test_cells_show_plain_text",
        "test_terminal.py::test_without_a_prompt",
        "test_checkers.py::test_a_good_notebook_passes",
        "test_browser.py::test_one_final_table_stays",
        "test_kernel.py::test_nothing_is_left_on_the_kernels_own_stderr",
        Reason("Notebook 7 gives cells the kernel that the tests of the kernel have."),
    ),
    "N08": row(
        "without a front end the result is the same, and nothing waits for a browser",
        "test_checkers.py::test_a_good_notebook_passes",
        "test_terminal.py::test_cells_show_plain_text",
        "test_live.py::test_live_can_be_switched_off",
    ),
    "N09": row(
        "without ipywidgets one line says so, once",
        "test_live.py::test_without_ipywidgets",
    ),
    "N10": row(
        "a front end that goes away fails no worker",
        "test_live.py::test_a_failing_front_end_fails_no_worker",
    ),
    "N11": row(
        "however much happens, few drawings a second, and the last one is right",
        N + "a_flood_of_pieces_is_no_flood_of_messages",
        "test_live.py::test_at_most_five_drawings_a_second",
    ),
    "N12": row(
        "loading again registers once and keeps the settings",
        "test_loading.py::test_loading_twice_registers_once",
        "test_loading.py::test_reloading_registers_once",
        "test_loading.py::test_fifty_loads_leave_nothing",
        "test_kernel.py::test_settings_outlive_a_reload",
    ),
    "N13": row(
        "unloading in the middle of a run ends it and leaves nothing",
        "test_loading.py::test_unloading_from_a_subshell_ends_a_run",
        "test_loading.py::test_unloading_from_a_task_ends_a_run",
    ),
    "N14": row(
        "a mistake on the line is one line that says what is possible, before any call",
        N + "a_mistake_on_the_line_asks_nobody",
        "test_options.py::test_bad_options_are_one_line",
        "test_kernel.py::test_an_error_is_one_line_and_a_real_output",
    ),
    "N15": row(
        "the magic's line arrives as typed",
        N + "no_line_is_expanded",
        "test_kernel.py::test_the_line_is_not_expanded",
    ),
    "N16": row(
        "a loop that cannot be nested is left alone: the run has a thread, and can be interrupted",
        "test_nested.py::test_a_loop_that_cannot_be_nested",
    ),
    "N17": row(
        "a time-out that comes of a blocked loop is told apart from a silent provider",
        N + "a_blocked_loop_is_not_called_a_silent_provider",
    ),
    "N18": row(
        "captured, timed, in an output widget or from a thread, a run shows where its cell says",
        N + "a_run_shows_where_its_cell_says",
        "test_nested.py::test_capture_keeps_the_run",
        "test_nested.py::test_a_nested_run_is_the_cells_result",
    ),
    "N19": row(
        "a bug in what draws costs the drawing, not an answer",
        "test_live.py::test_a_failing_drawing_loses_no_answer",
        "test_live.py::test_a_failing_picture_leaves_the_plain_text",
        "test_board.py::test_no_order_of_events_breaks_it",
    ),
    # What the data holds.
    "D01": row(
        "a missing variable is told with its line, its section and near names, before any call",
        D + "what_cannot_be_asked_is_told_before_any_call",
        "test_variables.py::test_what_cannot_be_reached_is_an_error",
    ),
    "D02": row(
        "braces that name nothing are text",
        D + "braces_that_name_nothing_arrive_as_they_are",
        "test_variables.py::test_text_without_double_braces_is_unchanged",
    ),
    "D03": row(
        "a value goes in once and is never read again",
        D + "a_value_goes_in_once_and_is_not_read_again",
        "test_variables.py::test_a_text_value_arrives_as_it_is",
    ),
    "D04": row(
        "a megabyte is read whole, and what it may cost is told before any call",
        D + "a_megabyte_is_cut_whole_and_its_cost_is_told_before_any_call",
        "test_blocks.py::test_a_large_cell_is_cut_whole",
        Reason("There is no cap of our own on a prompt: --max-cost and the provider bound it."),
    ),
    "D06": row(
        "any script and normal form: the same bytes in prompt, answer and result",
        D + "prompts_and_answers_are_the_same_bytes",
        "test_api.py::test_prompts_and_answers_keep_every_byte",
        "test_kernel.py::test_prompts_arrive_byte_for_byte",
        "test_recording.py::test_texts_come_back_as_they_were",
    ),
    "D07": row(
        "control characters stay in the data and are never shown",
        D + "control_characters_are_kept_and_never_shown",
        "test_display_plain.py::test_no_terminal_sequence_passes",
        "test_display_safety.py::test_no_control_or_hidden_character_is_drawn",
    ),
    "D08": row(
        "half characters: replaced in answers and values, refused in typed text",
        D + "half_characters_never_come_out",
        D + "half_characters_of_given_answers_never_come_out",
        D + "no_text_is_too_odd_for_a_prompt",
        "test_providers.py::test_half_characters_never_leave",
        "test_variables.py::test_any_value_is_text_without_an_exception",
    ),
    "D09": row(
        "an empty cell is an error before any call",
        D + "what_cannot_be_asked_is_told_before_any_call",
        "test_kernel.py::test_an_empty_body_is_a_real_error",
    ),
    "D10": row(
        "an empty section is an error that names it",
        D + "what_cannot_be_asked_is_told_before_any_call",
        "test_plan.py::test_what_cannot_be_planned_is_refused",
    ),
    "D11": row(
        "a name used twice is an error with both lines, also by case and by code points",
        D + "what_cannot_be_asked_is_told_before_any_call",
        "test_blocks.py::test_what_cannot_be_read_is_refused",
    ),
    "D12": row(
        "only LF and CRLF end a line",
        D + "only_two_line_ends_begin_a_block",
        "test_blocks.py::test_only_line_feeds_end_lines",
    ),
    "D13": row(
        "a leading byte order mark goes, tabs and trailing blanks stay",
        D + "marks_tabs_and_blanks",
        "test_blocks.py::test_bad_cells_keep_their_sections",
    ),
    "D14": row(
        "fences and headings are text",
        D + "a_fence_is_text_and_swallows_nothing",
        "test_blocks.py::test_an_open_fence_swallows_nothing",
    ),
    "D15": row(
        "a name is escaped everywhere and never a path",
        D + "a_name_is_never_markup_or_a_path",
        D + "a_huge_or_special_name_is_a_key_only",
        "test_display_safety.py::test_nothing_but_our_own_elements",
        "test_blocks.py::test_a_huge_name_makes_no_huge_error",
    ),
    "D16": row(
        "a value that is no text goes in whole or is refused with the way out",
        D + "a_value_that_is_no_text_has_one_form_or_none",
        "test_variables.py::test_a_value_has_one_text",
        "test_variables.py::test_a_value_without_faithful_text_is_refused",
        "test_plan.py::test_items_that_cannot_be_run_over_are_refused",
        "test_maps.py::test_every_source_gives_every_result_in_order",
    ),
    "D17": row(
        "an answer in doubt abstains; every vote is counted once",
        "test_answers.py::test_every_case_is_read_as_it_must_be",
        "test_vote.py::test_votes_add_up_and_their_order_does_not_matter",
    ),
    "D18": row(
        "ties, lone voters and votes that nobody gave have a named outcome, the same every time",
        D + "an_odd_vote_has_a_named_outcome",
        D + "a_vote_that_all_fail_names_no_winner",
        D + "ten_thousand_tallies_have_an_outcome_each",
        "test_rules.py::test_the_outcome_is_what_the_rule_says",
        "test_pick_rules.py::test_ties_are_broken_as_asked",
        "test_pick_rules.py::test_who_came_first_never_matters",
    ),
    "D19": row(
        "a confidence that is not a number is dropped and its vote kept",
        "test_confidence.py::test_the_payload_that_wants_to_win_by_size_has_no_confidence",
        "test_pick_rules.py::test_stated_confidence",
    ),
    # What it costs.
    "C01": row(
        "the cap on cost is never passed, whatever runs at once",
        "test_budget.py::test_no_schedule_passes_a_cap",
        "test_budget.py::test_threads_share_one_ledger",
    ),
    "C02": row(
        "every call counts, retried, cut and cancelled ones too; untold ones make a least amount",
        C + "the_sums_of_a_mixed_run_are_those_of_the_servers_log",
        C + "a_run_of_told_calls_has_exact_sums",
        C + "an_untold_call_makes_the_sum_a_least_amount",
        C + "calls_never_made_cost_nothing",
        N + "the_sums_of_an_interrupted_run_are_those_of_the_servers_log",
    ),
    "C03": row(
        "a cap without a known price is refused before any call",
        "test_budget.py::test_without_a_price_no_cap_can_be_kept",
    ),
    "C04": row(
        "a cap holds for the whole session, run after run",
        "test_budget_in_a_kernel.py::test_run_all_again_and_again_never_passes_the_sessions_cap",
    ),
    "C05": row(
        "a stepped clock moves no limit and makes no time negative",
        C + "a_stepped_clock_moves_no_limit",
    ),
    "C06": row(
        "the limit on concurrency is exact",
        C + "a_concurrency_is_never_passed",
        "test_engine.py::test_concurrency_is_an_exact_ceiling",
    ),
    "C07": row(
        "results keep the cell's order",
        C + "results_keep_the_cells_order_whatever_ends_first",
        "test_engine.py::test_records_keep_the_cells_order",
    ),
    "C08": row(
        "run after run leaves no file, no task and no memory",
        P + "runs_leave_nothing_behind",
        "test_registry.py::test_clients_leave_nothing_behind_when_they_are_gone",
    ),
    # What happens to a file of recordings.
    "K01": row(
        "flipped bits are a miss and one warning", K + "flipped_bits_make_a_miss_and_one_warning"
    ),
    "K02": row(
        "what stands before a cut is served", K + "a_file_that_is_cut_anywhere_serves_what_is_whole"
    ),
    "K03": row(
        "a killed writer leaves a file that can be read",
        W + "a_killed_writer_leaves_a_file_that_serves",
        "test_recorded_runs_killed.py::test_a_killed_process_loses_what_was_in_flight_only",
        "test_replay.py::test_a_prune_that_fails_changes_nothing",
        Reason("Two hundred kills are counted by benchmarks/kills.py."),
    ),
    "K04": row(
        "several writers lose nothing",
        W + "two_kernels_may_write_at_once",
        "test_recordings_in_a_notebook.py::test_two_kernels_at_once_share_a_file",
        "test_replay.py::test_a_prune_keeps_what_others_add_meanwhile",
    ),
    "K05": row("a full disk costs a warning, not an answer", K + "a_full_disk_costs_no_answer"),
    "K06": row(
        "nor does a file that cannot be used", K + "a_path_that_cannot_be_used_is_told_once"
    ),
    "K07": row(
        "a newer file is refused and not touched", K + "a_newer_file_is_refused_and_not_touched"
    ),
    "K08": row(
        "a miss in a replay says what differs, and asks nobody",
        "test_replay.py::test_a_miss_says_what_differs",
        "test_recordings_in_a_notebook.py::test_the_environment_forces_replay",
        "test_mutations.py::test_a_recorded_notebook_tells_what_changed",
    ),
    "K09": row(
        "another request is a miss",
        K + "another_request_is_a_miss",
        K + "no_two_requests_share_a_key",
    ),
    "K10": row(
        "what tools do to the file is read well", K + "what_tools_do_to_the_file_is_read_well"
    ),
    "K11": row(
        "a large file holds nobody up",
        "test_recorded_runs.py::test_a_large_file_holds_nobody_up",
        Reason("How long it takes is measured by benchmarks/recordings.py."),
    ),
    "K12": row("any operation on the file may fail", K + "any_operation_may_fail"),
}

WANTED = {
    *(f"F{number:02}" for number in range(1, 28)),
    *(f"N{number:02}" for number in range(1, 20) if number != 5),
    *(f"D{number:02}" for number in range(1, 20) if number != 5),
    *(f"C{number:02}" for number in range(1, 9)),
    *(f"K{number:02}" for number in range(1, 13)),
}
NAMED = sorted(
    {shown for each in ROWS.values() for shown in each.shown_by if not isinstance(shown, Reason)}
)


@cache
def functions_of(file: str) -> frozenset[str]:
    """The names of a file's tests, found without running it."""
    [path] = TESTS.glob(f"*/{file}")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in tree.body if isinstance(node, functions))


def test_every_fault_has_its_row() -> None:
    """None is left out, none is added in silence, and each says what shows it."""
    assert set(ROWS) == WANTED
    assert all(each.promise and each.shown_by for each in ROWS.values())


@pytest.mark.parametrize("name", NAMED)
def test_what_shows_a_promise_exists(name: str) -> None:
    """A test that is renamed or taken away is missed here."""
    file, _, test = name.partition("::")
    assert test.startswith("test_")
    assert test in functions_of(file)


def test_a_reason_is_a_sentence() -> None:
    """A row without a test says why in plain words."""
    reasons = [s for each in ROWS.values() for s in each.shown_by if isinstance(s, Reason)]
    for reason in reasons:
        assert reason[0].isupper()
        assert reason.endswith(".")
