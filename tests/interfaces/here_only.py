"""Tests of the command line that are not run a second time through a server, each with the reason why."""

from typing import Final

HERE_ONLY: Final = {
    "test_words_that_are_not_text_are_refused_before_anything_is_done": "a server makes the event store that it serves",
    "test_the_actor_is_the_account_and_not_what_the_environment_says": "over HTTP the actor is the token's name",
    "test_an_error_that_nobody_foresaw_is_told_whole_and_is_no_not_found": "a server's defects are in its log alone",
}

HERE_ONLY_MODULES: Final = {
    "test_remote.py": "it is about servers already",
    "test_settings.py": "it is about what the settings of this machine lead to",
}
