"""Why a job is as it is: from its events and what is known around it to the few that explain it."""
