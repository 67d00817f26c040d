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
    #: what the same sentence must say, too
    _beside: re.Pattern[str] | None = None

    def said_in(self, message: str) -> bool:
        """Say whether a message has these words at its start."""
        text = " ".join(message[:_SEARCHED_CHARACTERS].split())
        if self._without is not None:
            text = " ".join(self._without.sub(" ", text).split())
        if self._beside is None:
            return self._pattern.search(text) is not None
        sentences = _SENTENCE_END.split(text)
        return any(self._pattern.search(each) and self._beside.search(each) for each in sentences)


#: A point inside a name, such as ``main.sales``, ends no sentence.
_SENTENCE_END = re.compile(r"[;!?]|\.(?=\s|$)")


def _word(*alternatives: str) -> str:
    """Return a pattern for whole words, also inside a name such as ``job_id``."""
    return rf"(?<![a-z])(?:{'|'.join(alternatives)})(?![a-z])"


def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


def _words(pattern: str, *, without: re.Pattern[str] | None = None, beside: str | None = None) -> Words:
    return Words(_compiled(pattern), without, None if beside is None else _compiled(beside))


#: Quoted names and values, which may hold any words.
_QUOTED = _compiled(r"'[^']{0,200}'|\"[^\"]{0,200}\"|`[^`]{0,200}`")


NOTHING = _words(r"^$")

#: The token or the caller's network is refused; said with HTTP 400 and with PERMISSION_DENIED, too.
CREDENTIALS = _words(
    r"invalid (?:access )?token|(?<!idempotency[ _-])token (?:is |has )?(?:been )?(?:expir|invalid|revoked)"
    r"|(?:access|bearer) token\b[^.;]{0,40}\b(?:expired|revoked|(?:no longer|not) valid)"
    r"|(?<!git )\bcredentials?\b[^.;]{0,40}\b(?:expired|not sent)|expired credential"
    r"|session (?:has )?expired|not authenticated|jsonwebtoken|ip (?:acl|access list)"
)
#: Too many requests, not too many runs.
RATE = _words(
    r"\btoo many requests\b|\b(?:request )?rate limit\b[^.;]{0,40}\b(?:reached|exceeded|hit)\b"
    r"|\brequests?\b[^.;]{0,20}\bthrottled\b|\bslow down\b|\bruns? per (?:second|minute)\b"
)

#: The workspace is in trouble, whatever the status and the code. The first line is what Databricks' own SDK
#: repeats a call on (``databricks-sdk``, ``_base_client.py``).
TROUBLE = _words(
    r"does not have any associated worker environments|there is no worker environment with id"
    r"|unknown ?worker ?environment|ClusterNotReadyException|unexpected error"
    r"|try a faster operation|RPC token bucket limit has been exceeded"
    r"|try again later|(?:try|retry) (?:the|your|this) request|has to be retried|retry later"
    r"|temporarily (?:unavailable|unable|disabled)|currently unavailable"
    r"|internal (?:server )?error|(?:under|for|undergoing) maintenance|\btimed out\b"
    r"|unexpected end[- ]of[- ](?:input|file|stream|json)"
    r"|connection (?:refused|reset|closed)|(?:can ?not|could not) be (?:reached|routed)|\bunreachable\b"
    r"|^(?:please )?(?:try again|retry)\W*$"
)

#: What passes by itself while a workspace starts, moves or is looked after.
PASSING = _words(
    r"\b(?:not (?:yet )?(?:ready|healthy|reachable|responding)|un(?:healthy|available|reachable)|offline"
    r"|outage"
    r"|(?:is|are|still) (?:starting|initiali[sz]ing)|shutting down|draining|restarting|(?:up|down)grading"
    r"|migrating|being (?:\w+ )?(?:updated|upgraded|restarted|migrated|moved|evacuated)|fail(?:ing)? ?over"
    r"|in progress|read[- ]only mode|replica (?:lag|set)|replication|(?:on|in) (?:this|that|the) replica|busy"
    r"|overloaded|throttl(?:ed|ing)|(?:is|are) locked|(?:acquire|get|obtain) (?:\w+ ){0,2}(?:lease|lock)"
    r"|please wait|right now|at (?:the|this) (?:moment|time)|temporar\w+|out of (?:memory|capacity)"
    r"|no (?:\w+ ){0,3}available)\b",
    without=_QUOTED,
)
#: What is wrong with a caller, whatever job he names.
CALLER = _words(
    r"\b(?:scopes?|trial|licen[cs]es?|free tier|expired|disabled|(?:in|not |de)activ(?:e|ated)|suspended"
    r"|blocked"
    r"|token (?:lacks|has no|is|does|was)|context-aware|conditional access|multi-?factor)\b",
    without=_QUOTED,
)

#: What a request can be wrong about, even where the text names the workspace, too.
REQUEST = _words(_word("tasks?", "notebooks?", r"param\w*", "fields?", "arguments?"))
#: A job or a run by its id or name, a permission that only a job has, or what a request is about.
NAMED = _words(
    r"(?<![a-z])(?:job|run)(?:[ _]?id)?(?:\W{1,3}|\W{0,3}with (?:the )?(?:id|name)\W{1,3})(?:\d|['\"`])"
    r"|jobs/\d|can[ _]manage(?:[ _]run)?\b|\bmanage run\b|"
    + _word("tasks?", "notebooks?", r"param\w*", "fields?", "arguments?", "job_ids?", "performance[ _]target")
)
#: What is wrong with a workspace, unless the same text names something of the request.
WORKSPACE = _words(
    _word(
        r"workspaces?|networks?|features?|oauth|tenant|subscription|account|metastore|region|orgs?",
        r"organi[sz]ation|shard|control[ -]?plane|services?(?! principal)|backend|scheduler|gateway"
        r"|proxy",
        r"upstream|firewall|entitlements?|billing|quota|ip(?: address\w*)?",
        r"jobs? apis?|key vault|connection pool|http headers?|headers?|serverless compute|database",
    )
)
#: What is wrong with a workspace even where the text names a parameter.
ONLY_WORKSPACE = _words(
    r"public access|private[ -]?(?:link|access)|oauth config|ip (?:acl|access list)"
    r"|(?:feature|jobs?|workflows?|workspace)\b[^.;]{0,40}\b(?:disabled|not enabled|suspended|deactivated)"
    r"|(?:not (?:enabled|allowed|available|supported)|disabled) (?:for|in|on|by) "
    r"(?:this |your |the )?(?:workspace|account|region|network)"
)
#: One job, not jobs in general or a part of the workspace; also by the level of permission that only a job
#: has.
ONE_JOB = _words(
    r"(?<![a-z])job(?:[ _]?id)?(?:\W{1,3}|\W{0,3}with (?:the )?(?:id|name)\W{1,3})(?:\d|['\"`])"
    r"|jobs/\d|can[ _]manage(?:[ _]run)?\b|\bmanage run\b"
    r"|\b(?:the|this|that|requested|given|specified) job\b"
)
#: The same where a text begins with it: what was asked for, and not a reason.
JOB_FIRST = _words(
    r"^(?:can(?: ?not|.t)|could not|unable to|failed to) find (?:the |a |any )?job(?! ?(?:cluster|service"
    r"|queue))\b|^(?:[\w-]+:? ){0,2}?(?<![a-z])job(?:[ _]?id)?(?:\W{1,3}|\W{0,3}with (?:the )?(?:id"
    r"|name)\W{1,3})(?:\d|['\"`])"
)
#: Without a subject: what was asked for.
NOT_THERE = _words(
    r"^(?:the )?(?:(?:requested|specified|given) )?(?:resource|object|entity|item|id)?\W*(?:\d+\W*)?"
    r"(?:does(?: not|n.t) exist|(?:is |was |could )?not (?:be )?found|no longer exists)\W*\d*\W*$"
)
#: A job that is not made for such a call.
UNFIT_JOB = _words(
    r"(?<![a-z])job(?:[ _]?id)?(?:\W{1,3}['\"`]?[\w-]{1,100}['\"`]?)? (?:is (?:not )?an? |is (?:archived"
    r"|continuous)"
    r"|has (?:no tasks|been archived)|does(?: not|n.t) (?:accept|allow|support|take|declare|define))"
)
_WRONG = (
    r"\b(?:invalid|illegal|malformed|wrong|incorrect|bad|unknown|missing|required|requires?|mandatory"
    r"|expect(?:ed|s)"
    r"|un(?:recogni[sz]ed|supported|defined|declared|expected|acceptable)|must|should|may only|only"
    r"|duplicate\w*"
    r"|reserved|ambiguous|rejected|conflicts?|exclusive|empty|exceed\w*|too (?:long|large|big|many|small"
    r"|short)"
    r"|(?:long|larg|bigg|great|small)er|out of range|limit\w*|at (?:most|least)|ascii|no such|no longer"
    r"|has no|no \w+ (?:named|called)"
    r"|\w*(?:not|n.t)(?: yet| both)?(?: be)?(?: an?)? ?(?:valid|defined|declared|known|recogni[sz]ed"
    r"|expected|allowed|permitted"
    r"|supported|accept\w*|specified|provided|given|set|found|there|unique|null|allow|support|take|have"
    r"|fit|match"
    r"|exist|contain|declare|define|part|pars\w+|read\w*|convert\w*|deseriali[sz]e\w*|combin\w*|used?|pass\w*"
    r"|integer|number|string|boolean|text|list|map|object|negative)|(?:cannot|unable to) (?:be )?"
    r"(?:parse\w*|read|convert\w*|deseriali[sz]e\w*|combine\w*|used?|pass\w*|specif\w+|given|set))(?![a-z])"
)
#: Something of the request that is wrong, missing, unknown, too large or not allowed.
WRONG_REQUEST = _words(
    _word(
        r"tasks?(?! slot)|notebooks?|paths?|files?|param\w*|fields?|arguments?|args?|options?|values?|keys?",
        r"propert(?:y|ies)|inputs?",
        r"job[ _]?ids?|idempotency[ _]?tokens?|\w+[ _]target|dbt[ _]commands|requests?(?: object| body)?"
        r"|json",
    ),
    beside=_WRONG,
)
#: What only a request has, so that its name is enough beside a code of refusals.
PARAMETER = _words(_word(r"param\w*", "fields?", "arguments?"))
#: A value that is not valid, and nothing that would name it.
WRONG_VALUE = _words(
    r"(?:['\"`]|\b\d+) (?:is|are|was) (?:invalid|unknown|not)\b|\b(?:invalid|unknown|unexpected):? ['\"`]"
    r"|\bnot a valid (?:number|integer|string|job|date|boolean|id|identifier|enum)|^[a-z]+(?:_[a-z]+)+$"
    r"|^(?!token|licen|certificate|session)[\w.\[\]-]{1,60} (?:(?:is|are) (?:not valid|invalid|required"
    r"|missing)|must) ?\b"
)
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
    r"\b(?:reached|exceeded|hit)|\bmax\w*\b[^.;]{0,30}\bruns?\b[^.;]{0,40}\b(?:met|exhausted|used up)\b"
    r"|\balready (?:has|have) (?:an?|one|another) (?:active|concurrent|running|queued) (?:job )?runs?\b"
    r"|\banother run\b[^.;]{0,40}\bis (?:already |still |currently )?(?:active|running|queued|in progress)\b"
    r"|\b\d[\d,.'_]* (?:job )?runs (?:per|an|a|each|in an?) (?:hour|day)\b|\bruns? (?:creation"
    r"|submission) rate\b|\brate of (?:job )?runs?\b[^.;]{0,60}\b(?:reached|exceeded|hit)\b"
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
    r"|idempotency|token|associated|corresponding|started|created|returned|request|first|original|earlier"
    r"|previous|now|also|meanwhile|meantime|in|long|permanently|automatically)(?![a-z]))){0,14}?[\s(),_]*"
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
        *(
            "owns",
            "uses",
            "runs",
            "of",
            "in",
            "for",
            "by",
            "from",
            "with",
            "on",
            "if",
            "whether",
            "when",
            "unless",
            "until",
        ),
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
