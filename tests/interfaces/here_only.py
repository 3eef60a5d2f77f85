"""Tests of the command line that are not run a second time through a server, each with the reason why."""

from typing import Final

RUNS_HERE: Final = "it is about what this process runs itself, which no server is asked for"
ARCHIVED_HERE: Final = "an archive is written where the event store is opened, and a server is not asked for one"

HERE_ONLY: Final = {
    "test_words_that_are_not_text_are_refused_before_anything_is_done": "a server makes the event store that it serves",
    "test_an_event_store_that_does_not_answer_is_a_finding": "a server has names of its own for event stores",
    "test_an_event_store_that_is_not_there_yet_says_what_makes_one": "a server makes the event store that it serves",
    "test_the_actor_is_the_account_and_not_what_the_environment_says": "over HTTP the actor is the token's name",
    "test_an_error_that_nobody_foresaw_is_told_whole_and_is_no_not_found": "a server's defects are in its log alone",
    "test_run_does_the_job_here_and_exits_by_how_it_ended": RUNS_HERE,
    "test_run_tells_people_how_it_ended_and_what_went_wrong": RUNS_HERE,
    "test_run_does_steps_in_processes_of_their_own": RUNS_HERE,
    "test_a_second_ctrl_c_does_not_wait_for_a_step_that_does_not_react": RUNS_HERE,
    "test_a_worker_runs_steps_on_a_cluster_of_its_own": RUNS_HERE,
    "test_the_scheduler_of_a_cluster_is_refused_where_steps_run_elsewhere": RUNS_HERE,
    "test_an_empty_address_of_a_scheduler_is_refused": RUNS_HERE,
    "test_a_cluster_that_nobody_runs_cannot_be_connected_to": RUNS_HERE,
    "test_a_worker_for_a_type_that_nobody_knows_is_refused": RUNS_HERE,
    "test_there_is_a_completion_script_for_each_shell": RUNS_HERE,
    "test_a_run_shows_live_progress_and_ctrl_c_stops_the_job": RUNS_HERE,
    "test_a_second_ctrl_c_leaves_the_job_at_once": RUNS_HERE,
    "test_what_goes_is_archived_before_and_can_be_imported_elsewhere": ARCHIVED_HERE,
    "test_without_a_folder_for_the_archive_nothing_goes": ARCHIVED_HERE,
}

HERE_ONLY_MODULES: Final = {
    "test_remote.py": "it is about servers already",
    "test_serve.py": "it is about a server itself",
    "test_tokens.py": "tokens are made on the event store itself",
    "test_webhooks.py": "webhooks are made on the event store itself",
    "test_audit_rebuild.py": "it damages the event store itself",
    "test_audit_verify.py": "it reads the stored bytes of the event store itself",
    "test_settings.py": "it is about what the settings of this machine lead to",
}
