"""Why a job is as it is, in words: a sentence, the chain that explains it, what would move it on, its pace."""
