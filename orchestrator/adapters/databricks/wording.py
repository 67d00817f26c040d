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

#: What a request can be wrong about, even where the text names the workspace, too.
_OF_REQUEST = _compiled(_word("tasks?", "notebooks?", r"param\w*", "fields?", "arguments?"))
#: What is wrong with a workspace, unless the same text names something of the request.
_OF_WORKSPACE = _compiled(
    _word(
        "workspaces?",
        "networks?",
        "features?",
        "oauth",
        "tenant",
        "subscription",
        "account",
        "metastore",
        "region",
        "orgs?",
        r"organi[sz]ation",
        "shard",
        "control[ -]?plane",
        "services?(?! principal)",
        "backend",
        "scheduler",
        "gateway",
        "proxy",
        "upstream",
        "firewall",
        "entitlements?",
        "billing",
        "quota",
        r"ip(?: address\w*)?",
    )
)
#: What is wrong with a workspace even where the text names a parameter.
_ONLY_WORKSPACE = _compiled(
    r"public access|private[ -]?(?:link|access)|oauth config|ip (?:acl|access list)"
    r"|(?:feature|jobs?|workflows?|workspace)\b[^.;]{0,40}\b(?:disabled|not enabled|suspended|deactivated)"
    r"|(?:not (?:enabled|allowed|available|supported)|disabled) (?:for|in|on|by) "
    r"(?:this |your |the )?(?:workspace|account|region|network)"
)
#: One job, not jobs in general; also by the level of permission that only a job has.
_OF_ONE_JOB = _compiled(rf"{_word('job')}|jobs/\d|can[ _]manage[ _]run\b")
#: A parameter that does not fit the job, whatever the code.
_WRONG_PARAMETER = _compiled(
    r"\b(?:job|notebook|jar|python|python_named|named|sql|dbt)[ _]?(?:param\w*|commands)"
    r"(?: (?:'[^']{1,100}'|\"[^\"]{1,100}\"|[\w.-]{1,100}))? (?:(?:is|are) (?:not|un)[ -]?"
    r"(?:defined|declared|known|recogni[sz]ed|expected)"
    r"|(?:must|may|can) ?not be (?:given|used|set|specified))"
)

#: No more runs are accepted for now.
_FULL = _compiled(
    r"already (?:has |have )?\d[\d,.'_]* (?:concurrent(?:ly)? |currently )?(?:active|running) (?:job )?runs"
    r"|(?:limit|maximum|quota|max\w*)\b[^.;]{0,60}\b(?:active|concurrent|queued) (?:job )?runs\b[^.;]{0,60}"
    r"\b(?:reached|exceeded|hit)"
    r"|\b(?:active|concurrent|queued) (?:job )?runs?\b[^.;]{0,40}\b(?:limit|maximum|quota)\b[^.;]{0,60}"
    r"\b(?:reached|exceeded|hit)"
    r"|\b(?:job|run) queue (?:size )?(?:limit\b[^.;]{0,40}\b(?:reached|exceeded|hit)|is full)"
)
#: The same in words that could also speak of a single request; for answers about a rate.
_FULL_AMONG_RATES = _compiled(
    r"\b\d[\d,.'_]* (?:\w+ )?(?:active|concurrent|running) (?:job )?runs"
    r"|\b(?:active|concurrent|running) (?:job )?runs\b[^;]{0,60}\blimit"
    r"|\b(?:limit|maximum|max)\b[^;]{0,60}\b(?:active|concurrent|running) (?:job )?runs"
)

#: The answer leaves open whether something does not exist or only may not be seen.
_PERMISSION = _compiled(r"permission|privilege|authori[sz]|access|forbidden|not allowed|not visible")

#: An id or a token as texts show it: in quotes, with a digit, or of hexadecimal digits.
#: Each text fits in one way only, or else the search would try all combinations.
_ID = r"(?:'[\w-]+'|\"[\w-]+\"|(?:[^\W\d]|-)*\d[\w-]*(?![\w-])|[a-f]{3,}(?![\w-]))"
#: What may stand between a run (or job, or token) and what became of it. Any other word could name another
#: thing, and "the run cannot start: pool 12 does not exist" speaks of no run.
_BETWEEN = (
    rf"(?:[\s(),_]*(?:(?<![\w-]){_ID}|(?<![a-z])(?:has|have|since|been|was|is|were|already|that|which|and|its?"
    r"|the|this|given|same|provided|requested|with|of|for|under|id|number|to (?:start|run)|idempotency|token"
    r"|associated|corresponding|started|created|returned|request|first|original|earlier|previous|now|also"
    r"|meanwhile|meantime|in|long)(?![a-z]))){0,14}?[\s(),_]*"
)
_DELETED = r"deleted|removed|purged|erased|expired|cleaned up|invalidated"
_GONE = (
    rf"\b(?:{_DELETED}|does(?:n.?t| not) exist|no longer (?:exists?|known|available|present|there)"
    r"|(?:is |was )?not (?:found|present|available any ?(?:more|longer))|(?:can ?not|could not) be found"
    r"|(?:is|was) (?:gone|unknown))(?![a-z])(?! from (?:the |its )?queue)"
)

#: Before "run" or "job" these words make it a verb, one that does not exist yet, a condition, or a part of
#: something else: "to run", "new run", "if the run", "cluster of the run".
_NOT_ITSELF_AFTER = "".join(
    rf"(?<!\b{word} {article})"
    for word in (
        *("to", "not", "cannot", "can't", "new", "no", "create", "creating", "start", "starting", "trigger"),
        *("of", "in", "for", "by", "from", "with", "on", "if", "whether", "when", "unless", "until"),
    )
    for article in ("", "the ", "this ", "a ", "that ", "any ", "job ")
)
_TO_A_RUN = (
    r"(?:belongs|refers|points|bound|linked|associated|used|assigned) (?:to|with|by|for) (?:the |an? |its )?"
)


def _itself(noun: str) -> str:
    """Return a pattern for a run or a job that is the subject: with its id, or directly before the verb."""
    subject = rf"(?:{_NOT_ITSELF_AFTER}|\b{_TO_A_RUN})(?<![a-z'-]){noun}(?![a-z'-])"
    numbered = r"(?:[ _]?id)?(?:[ :#=(]| with id){0,4}\d[\w-]*\)?(?:[:,]| is invalid:)?"
    return rf"{subject}(?:{numbered}|[ _]id|){_BETWEEN}{_GONE}"


_NUMBERED = r"\s*(?:[:#(=]\s*|id\W{0,3}|with (?:the )?id\W{0,3})?\d"
_OF_CALL = r"\s*(?:with|for|of) (?:the |this |that |given |provided ){0,2}(?:id|idempotency|token)(?![a-z])"
_NOT_FOUND = r"(?:not|cannot|unable to|n.?t) (?:find|locate)(?: the| a| any)?"

#: "run 11 in job 7" is a run, not a job
_JOB_OF_RUN = _compiled(r"\b(?:of|in|for|from) (?:the |this )?(?:notebook )?job\b:? ?\d*")
_RUN_GONE = _compiled(
    rf"{_itself('run')}"
    rf"|\b(?:no such|no|unknown|{_NOT_FOUND}) (?:job )?run(?:{_NUMBERED}|{_OF_CALL})"
    rf"|\b(?:no such|unknown|{_NOT_FOUND}) (?:job )?run\s*(?:$|[.;])"
    rf"|\b(?:{_DELETED}) (?:job )?run(?:{_NUMBERED}|\s*(?:$|[.;,]| can))"
)
_TOKEN_GONE = _compiled(
    rf"idempotency[ _-]?token\W{{0,3}}{_BETWEEN}:?\s*"
    rf"\b(?:{_DELETED}|no longer (?:exists?|known|available|valid|usable)|used up|(?:is|was) gone)(?![a-z])"
    r"|\brun_deleted\b"
)
_JOB_GONE = _compiled(
    rf"{_itself('job')}"
    rf"|\b(?:no such|no|unknown|deleted|{_NOT_FOUND}) job(?:{_NUMBERED}|\s*(?:$|[.;]| exists))"
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
    return bool(_OF_ONE_JOB.search(words) or _OF_REQUEST.search(words)) and not _ONLY_WORKSPACE.search(words)


def is_of_one_job(message: str) -> bool:
    """Say whether a message speaks of one job, and neither of jobs in general nor of the workspace."""
    words = _start(message)
    if _ONLY_WORKSPACE.search(words) or _OF_WORKSPACE.search(words):
        return False
    return bool(_OF_ONE_JOB.search(words))


def names_wrong_parameter(message: str) -> bool:
    """Say whether a message plainly tells that a parameter does not fit the job."""
    return bool(_WRONG_PARAMETER.search(_start(message)))


def is_full(message: str, *, about_rate: bool) -> bool:
    """Say whether a message tells that no more runs are accepted for now.

    :param about_rate: the answer is one about the rate of requests or the number of runs.
    """
    words = _start(message)
    return bool(_FULL.search(words)) or (about_rate and bool(_FULL_AMONG_RATES.search(words)))


def job_is_gone(message: str) -> bool:
    """Say whether a message tells that a job does not exist."""
    return bool(_JOB_GONE.search(_without_job_of_run(message)))


def run_is_gone(message: str) -> bool:
    """Say whether a message tells that a run does not exist, or exists no longer.

    A text that leaves open whether the run only may not be seen does not tell it.
    """
    words = _without_job_of_run(message)
    return bool(_RUN_GONE.search(words)) and not _PERMISSION.search(words)


def token_is_used_up(message: str) -> bool:
    """Say whether an answer to ``run-now`` tells that the run of the idempotency token was deleted.

    The API's documents give no words for it ("an error is returned"). The run or the token itself must be
    what is gone, since this lets another run begin.
    """
    return run_is_gone(message) or bool(_TOKEN_GONE.search(_without_job_of_run(message)))


def _without_job_of_run(message: str) -> str:
    return " ".join(_JOB_OF_RUN.sub(" ", _start(message)).split())


def _start(message: str) -> str:
    return " ".join(message[:_SEARCHED_CHARACTERS].split())
