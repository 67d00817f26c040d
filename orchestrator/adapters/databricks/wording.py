"""Recognise what the words of an error response speak of. Pure.

Databricks documents few of these words and changes them without notice. A text therefore counts only for what
it says plainly; what is not recognised here is taken to be the workspace's trouble, not the entry's.
"""

import re

#: Only this part of a message is searched, in characters. Its start says what it is, and a long one must not
#: block the event loop.
_SEARCHED_CHARACTERS = 4_000


def _word(*alternatives: str) -> str:
    """Return a pattern for whole words, also inside a name such as ``job_id``."""
    return rf"(?<![a-z])(?:{'|'.join(alternatives)})(?![a-z])"


def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


#: The workspace is in trouble, whatever the status and the code. The first line is what Databricks' own SDK
#: repeats a call on (``databricks-sdk``, ``_base_client.py``).
_TROUBLE = _compiled(
    r"does not have any associated worker environments|there is no worker environment with id"
    r"|unknown ?worker ?environment|ClusterNotReadyException|unexpected error"
    r"|try a faster operation|RPC token bucket limit has been exceeded"
    r"|try again later|(?:try|retry) (?:the|your|this) request|has to be retried|retry later"
    r"|temporarily (?:unavailable|unable|disabled)|currently unavailable"
    r"|internal (?:server )?error|(?:under|for|undergoing) maintenance"
)

#: What a request can be wrong about.
_OF_REQUEST = _compiled(_word("jobs?", "tasks?", "runs?", "notebooks?", r"param\w*", "fields?", "arguments?"))
#: What is wrong with a workspace, unless the same text names something of the request.
_OF_WORKSPACE = _compiled(
    _word(
        "workspace",
        "network",
        "features?",
        "oauth",
        "tenant",
        "subscription",
        "account",
        "metastore",
        "region",
    )
)
#: What is wrong with a workspace even where the text names a job.
_ONLY_WORKSPACE = _compiled(
    r"public access|private[ -]?(?:link|access)|oauth config|ip (?:acl|access list)"
    r"|(?:feature|jobs?|workflows?|workspace)\b[^.;]{0,40}\b(?:disabled|not enabled|suspended|deactivated)"
    r"|(?:not (?:enabled|allowed|available|supported)|disabled) (?:for|in|on|by) "
    r"(?:this |your |the )?(?:workspace|account|region|network)"
)
#: One job, not jobs in general.
_OF_ONE_JOB = _compiled(rf"{_word('job')}|jobs/\d")

_GONE = (
    r"(?:does(?:n.?t| not) exist|no longer (?:exists?|known|available)|deleted|removed|purged"
    r"|not found|(?:can ?not|could not) be found"
    r"|(?:is|was) gone)"
)
#: Things that a request may name, so that "the run cannot start: notebook x does not exist" speaks of no run.
_OTHER_THINGS = (
    "notebook",
    "task",
    "cluster",
    "file",
    "path",
    r"param\w*",
    "table",
    "schema",
    "user",
    "principal",
    "policy",
    "workspace",
    "warehouse",
    "pipeline",
    r"repo\w*",
    "branch",
    "directory",
    "secret",
    "environment",
    "feature",
    "fields?",
    "owner",
    "creator",
    "identity",
    r"permission\w*",
)
_NOT_OTHER_THAN_RUN = rf"(?:(?!{_word('job', *_OTHER_THINGS)})[^.;]){{0,120}}?"
_NOT_OTHER_THAN_JOB = rf"(?:(?!{_word('run', *_OTHER_THINGS)})[^.;]){{0,120}}?"
#: A run as a noun that is gone itself: neither "to run", "cannot run" and "run-now" nor "a task of the run".
_RUN = (
    r"(?<!to )(?<!not )(?<!cannot )(?<!can't )(?<!of the )(?<!in the )(?<!of this )"
    rf"{_word('run', 'run[ _]?id')}(?![ _-]?(?:now|as)(?![a-z]))"
)
#: "no such run" and the like, but neither "no run permission" nor "unknown run parameter"
_NO_SUCH = (
    r"\b(?:no such|no|unknown|deleted|removed|purged"
    r"|(?:not|cannot|unable to|n.?t) (?:find|locate)(?: the| a| any)?)"
)
_ITSELF = r"(?=\s*(?:$|[.:;,#(=\d]|(?:id|with|for|of|exists?|was|is|found|can|cannot)(?![a-z])))"

#: "run 11 in job 7" is a run, not a job
_JOB_OF_RUN = _compiled(r"\b(?:of|in|for|from) (?:the |this )?job\b:? ?\d*")
_RUN_GONE = _compiled(rf"{_RUN}{_NOT_OTHER_THAN_RUN}\b{_GONE}|{_NO_SUCH} (?:job )?{_word('run')}{_ITSELF}")
_TOKEN_GONE = _compiled(
    rf"idempotency{_NOT_OTHER_THAN_RUN}\b{_GONE}|\b{_GONE}{_NOT_OTHER_THAN_RUN}idempotency"
)
_JOB_GONE = _compiled(
    rf"{_word('job', 'job[ _]?id')}{_NOT_OTHER_THAN_JOB}\b{_GONE}|{_NO_SUCH} {_word('job')}{_ITSELF}"
)


def is_trouble(message: str) -> bool:
    """Say whether a message tells that the workspace is in trouble for the moment."""
    return bool(_TROUBLE.search(_start(message)))


def is_of_workspace(message: str) -> bool:
    """Say whether a message speaks of the workspace, and of nothing that a request could be wrong about."""
    words = _start(message)
    if _ONLY_WORKSPACE.search(words):
        return True
    return bool(_OF_WORKSPACE.search(words)) and not _OF_REQUEST.search(words)


def is_of_request(message: str) -> bool:
    """Say whether a message names something that a request could be wrong about."""
    words = _start(message)
    return bool(_OF_REQUEST.search(words)) and not _ONLY_WORKSPACE.search(words)


def is_of_one_job(message: str) -> bool:
    """Say whether a message speaks of one job, not of jobs in general or of the workspace."""
    words = _start(message)
    return bool(_OF_ONE_JOB.search(words)) and not _ONLY_WORKSPACE.search(words)


def job_is_gone(message: str) -> bool:
    """Say whether a message tells that a job does not exist."""
    return bool(_JOB_GONE.search(_JOB_OF_RUN.sub(" ", _start(message))))


def run_is_gone(message: str) -> bool:
    """Say whether a message tells that a run does not exist, or exists no longer."""
    return bool(_RUN_GONE.search(_JOB_OF_RUN.sub(" ", _start(message))))


def token_is_used_up(message: str) -> bool:
    """Say whether an answer to ``run-now`` tells that the run of the idempotency token was deleted.

    The API's documents give no words for it ("an error is returned"). A new run has no other run that an
    answer could miss, so what says that a run is gone says it of the token's run.
    """
    return run_is_gone(message) or bool(_TOKEN_GONE.search(_JOB_OF_RUN.sub(" ", _start(message))))


def _start(message: str) -> str:
    return " ".join(message[:_SEARCHED_CHARACTERS].split())
