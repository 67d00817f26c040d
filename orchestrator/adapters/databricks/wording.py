"""The words by which error responses are told apart; what follows from them is in :mod:`meanings`. Pure.

Databricks documents few of these words and changes them without notice. A text therefore counts only for what
it says plainly.
"""

import re
from dataclasses import dataclass

#: Only this part of a message is searched, in characters. Its start says what it is, and a long one must not
#: block the event loop.
_SEARCHED_CHARACTERS = 4_000


@dataclass(frozen=True)
class Words:
    """Words that a message may say."""

    _pattern: re.Pattern[str]
    #: what is passed over in the message
    _without: re.Pattern[str] | None = None

    def said_in(self, message: str) -> bool:
        """Say whether a message has these words at its start."""
        text = " ".join(message[:_SEARCHED_CHARACTERS].split())
        if self._without is not None:
            text = " ".join(self._without.sub(" ", text).split())
        return self._pattern.search(text) is not None


def _word(*alternatives: str) -> str:
    """Return a pattern for whole words, also inside a name such as ``job_id``."""
    return rf"(?<![a-z])(?:{'|'.join(alternatives)})(?![a-z])"


def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


def _words(pattern: str, *, without: re.Pattern[str] | None = None) -> Words:
    return Words(_compiled(pattern), without)


NOTHING = _words(r"^$")

#: The token or the caller's network is refused; said with HTTP 400 and with PERMISSION_DENIED, too.
CREDENTIALS = _words(
    r"invalid (?:access )?token|(?<!idempotency[ _-])token (?:is |has )?(?:been )?(?:expir|invalid|revoked)"
    r"|(?:access|bearer) token\b[^.;]{0,40}\b(?:expired|revoked|(?:no longer|not) valid)"
    r"|(?<!git )\bcredentials?\b[^.;]{0,40}\b(?:expired|not sent)|expired credential"
    r"|session (?:has )?expired|not authenticated"
    r"|jsonwebtoken|ip (?:acl|access list)"
)
#: Too many requests, not too many runs.
RATE = _words(r"\btoo many requests\b|\b(?:request )?rate limit\b[^.;]{0,40}\b(?:reached|exceeded|hit)\b")

#: The workspace is in trouble, whatever the status and the code. The first line is what Databricks' own SDK
#: repeats a call on (``databricks-sdk``, ``_base_client.py``).
TROUBLE = _words(
    r"does not have any associated worker environments|there is no worker environment with id"
    r"|unknown ?worker ?environment|ClusterNotReadyException|unexpected error"
    r"|try a faster operation|RPC token bucket limit has been exceeded"
    r"|try again later|(?:try|retry) (?:the|your|this) request|has to be retried|retry later"
    r"|temporarily (?:unavailable|unable|disabled)|currently unavailable"
    r"|internal (?:server )?error|(?:under|for|undergoing) maintenance|\btimed out\b"
    r"|connection (?:refused|reset|closed)|(?:can ?not|could not) be (?:reached|routed)|\bunreachable\b"
    r"|^(?:please )?(?:try again|retry)\W*$"
)

#: What a request can be wrong about, even where the text names the workspace, too.
REQUEST = _words(_word("tasks?", "notebooks?", r"param\w*", "fields?", "arguments?"))
#: What is wrong with a workspace, unless the same text names something of the request.
WORKSPACE = _words(
    _word(
        r"workspaces?|networks?|features?|oauth|tenant|subscription|account|metastore|region|orgs?",
        r"organi[sz]ation|shard|control[ -]?plane|services?(?! principal)|backend|scheduler|gateway|proxy",
        r"upstream|firewall|entitlements?|billing|quota|ip(?: address\w*)?",
        r"jobs? apis?|key vault|connection pool",
    )
)
#: What is wrong with a workspace even where the text names a parameter.
ONLY_WORKSPACE = _words(
    r"public access|private[ -]?(?:link|access)|oauth config|ip (?:acl|access list)"
    r"|(?:feature|jobs?|workflows?|workspace)\b[^.;]{0,40}\b(?:disabled|not enabled|suspended|deactivated)"
    r"|(?:not (?:enabled|allowed|available|supported)|disabled) (?:for|in|on|by) "
    r"(?:this |your |the )?(?:workspace|account|region|network)"
)
#: One job, not jobs in general; also by the level of permission that only a job has.
ONE_JOB = _words(rf"{_word('job')}|jobs/\d|can[ _]manage[ _]run\b")
#: A parameter that does not fit the job, whatever the code.
WRONG_PARAMETER = _words(
    r"\b(?:job|task|notebook|jar|python|python_named|named|sql|dbt)[ _]?(?:param\w*|commands)"
    r"(?: (?:'[^']{1,100}'|\"[^\"]{1,100}\"|[\w.-]{1,100}|\[[^\]]{1,100}\]|\([^)]{1,100}\)))? "
    r"(?:(?:is|are) (?:not|un)[ -]?(?:defined|declared|known|recogni[sz]ed|expected|allowed)"
    r"|(?:must|may|can) ?not be (?:given|used|set|specified))"
    r"|\bparam\w* \S{1,100} is (?:not|un)[ -]?(?:defined|declared|known|expected)"
    r" (?:by|in|for) (?:the |this )?job\b"
)

#: No more runs are accepted for now.
FULL = _words(
    r"too many (?:(?:active|concurrent|running|queued) (?:job )?)?runs"
    r"|(?:reached|exceeded|hit) (?:its|the|your) (?:limit|maximum|quota)\b[^.;]{0,30}"
    r"\b(?:active|concurrent|running|queued) (?:job )?runs"
    r"|already (?:has |have )?\d[\d,.'_]* (?:concurrent(?:ly)? |currently )?(?:active|running) (?:job )?runs"
    r"|(?:limit|maximum|quota|max\w*)\b[^.;]{0,60}\b(?:active|concurrent|queued) (?:job )?runs\b[^.;]{0,60}"
    r"\b(?:reached|exceeded|hit)"
    r"|\b(?:active|concurrent|queued) (?:job )?runs?\b[^.;]{0,40}\b(?:limit|maximum|quota)\b[^.;]{0,60}"
    r"\b(?:reached|exceeded|hit)"
    r"|\b(?:job|run) queue (?:size )?(?:limit\b[^.;]{0,40}\b(?:reached|exceeded|hit)|is full)"
)
#: The same in words that could also speak of a single request; for answers about a rate.
FULL_AMONG_RATES = _words(
    r"\b\d[\d,.'_]* (?:\w+ )?(?:active|concurrent|running) (?:job )?(?:runs|tasks)"
    r"|\b(?:active|concurrent|running) (?:job )?(?:runs|tasks)\b[^;]{0,60}\blimit"
    r"|\b(?:limit|maximum|max)\b[^;]{0,60}\b(?:active|concurrent|running) (?:job )?(?:runs|tasks)"
)

#: The answer leaves open whether something does not exist or only may not be seen.
PERMISSION = _words(r"permission|privilege|authori[sz]|access|forbidden|not allowed|not visible")

#: An id or a token as texts show it: in quotes, with a digit, or of hexadecimal digits.
#: Each text fits in one way only, or else the search would try all combinations.
_ID = r"(?:'[\w-]+'|\"[\w-]+\"|(?:[^\W\d]|-)*\d[\w-]*(?![\w-])|[a-f]{3,}(?![\w-]))"
#: What may stand between a run (or job, or token) and what became of it. Any other word could name another
#: thing, and "the run cannot start: pool 12 does not exist" speaks of no run.
_BETWEEN = (
    rf"(?:[\s(),_]*(?:(?<![\w-]){_ID}|(?<![a-z])(?:has|have|since|been|was|is|were|already|that|which|and|its?"
    r"|the|this|given|same|provided|requested|with|of|for|under|(?:run_)?id|number|to (?:start|run)"
    r"|idempotency|token|associated|corresponding|started|created|returned|request|first|original|earlier|previous"
    r"|now|also|meanwhile|meantime|in|long|permanently|automatically)(?![a-z]))){0,14}?[\s(),_]*"
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
_NOT_FOUND = r"(?:not|cannot|unable to|\w{0,6}n.?t) (?:find|locate)(?: the| a| any)?"

#: "run 11 in job 7" is a run, not a job
_JOB_OF_RUN = _compiled(r"\b(?:of|in|for|from) (?:the |this )?(?:notebook )?job\b:? ?\d*")
RUN_GONE = _words(
    rf"{_itself('run')}"
    rf"|\b(?:no such|no|unknown|{_NOT_FOUND}) (?:job )?run(?:{_NUMBERED}|{_OF_CALL})"
    rf"|\b(?:no such|unknown|{_NOT_FOUND}) (?:job )?run\s*(?:$|[.;])"
    rf"|\b(?:{_DELETED}) (?:job )?run(?:{_NUMBERED}|\s*(?:$|[.;,]| can))",
    without=_JOB_OF_RUN,
)
TOKEN_GONE = _words(
    rf"idempotency[ _-]?token\W{{0,3}}{_BETWEEN}:?\s*"
    rf"\b(?:{_DELETED}|no longer (?:exists?|known|available|valid|usable)|used up|(?:is|was) gone)(?![a-z])"
    r"|\brun_deleted\b",
    without=_JOB_OF_RUN,
)
JOB_GONE = _words(
    rf"{_itself('job')}"
    rf"|\b(?:no such|no|unknown|deleted|{_NOT_FOUND}) job(?:{_NUMBERED}|\s*(?:$|[.;]| exists))"
    r"|\bno job (?:was )?found (?:for|with)(?![a-z])",
    without=_JOB_OF_RUN,
)
