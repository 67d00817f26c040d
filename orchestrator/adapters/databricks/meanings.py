"""Say what an error response of Databricks means: one table, read from top to bottom. Pure.

The first row whose columns all fit decides. So a row speaks of what the rows above it have left. What no row
knows is the workspace's trouble, not the entry's: nothing is lost, and nothing is started twice.
https://docs.databricks.com/api/workspace/introduction
"""

import re
from collections.abc import Container
from dataclasses import KW_ONLY, dataclass
from enum import Enum

from orchestrator.adapters.databricks import wording
from orchestrator.adapters.databricks.errors import ErrorResponse
from orchestrator.adapters.databricks.wording import Words


class About(Enum):
    """What a request is about, and so which refusals can be its own."""

    #: ``run-now``
    START = "start"
    #: ``runs/repair``
    REPAIR = "repair"
    #: a job is read, found or created
    JOB = "job"
    #: a run is read or cancelled
    RUN = "run"
    #: nothing of it can be wrong, so every error is the workspace's
    NOTHING = "nothing"


class Meaning(Enum):
    """What an error response means: whose fault it is, and whether the request had an effect."""

    #: the workspace is in trouble for the moment; the request may have had its effect
    TROUBLE = "trouble"
    #: too many requests; this one was refused unread
    RATE = "rate"
    #: the access token, or the network of the caller, is refused, and the request unread
    UNAUTHORIZED = "unauthorized"
    #: a permission is missing that other requests may need, too
    FORBIDDEN = "forbidden"
    #: there is no room for another run now; none was made
    FULL = "full"
    #: the idempotency token is used up, since its run was deleted; this settles earlier tries, too
    USED_UP = "used up"
    #: the run that was asked for does not exist
    RUN_GONE = "run gone"
    #: this request can never succeed
    IMPOSSIBLE = "impossible"
    #: this request is refused; another one of the same entry may not be
    REFUSED = "refused"
    #: the owner of the token may not use this job
    DENIED = "denied"
    #: a refusal that says nothing of an earlier try, which may have had its effect
    STILL_IN_DOUBT = "still in doubt"
    #: the host sends the caller elsewhere; perhaps it is no workspace
    ELSEWHERE = "elsewhere"
    #: the workspace answers in words that nobody knows
    NOT_UNDERSTOOD = "not understood"


@dataclass(frozen=True)
class Row:
    """What a response must be like to have a meaning. A column that is left out fits everything."""

    meaning: Meaning
    _: KW_ONLY
    #: what the request is about
    about: Container[About] = frozenset(About)
    status: Container[int] = range(1000)
    #: fits the whole ``error_code``; without one the code is empty
    code: str = ".*"
    #: the message says one of these
    says: tuple[Words, ...] = ()
    #: the message says none of these
    unless: tuple[Words, ...] = ()

    def fits(self, response: ErrorResponse, about: About) -> bool:
        """Say whether all columns fit."""
        return (
            about in self.about
            and response.status in self.status
            and re.fullmatch(self.code, response.code, re.DOTALL) is not None
            and (not self.says or _says(self.says, response))
            and not _says(self.unless, response)
        )


_STARTS = frozenset({About.START, About.REPAIR})
_JOBS = frozenset({*_STARTS, About.JOB})
_RUNS = frozenset({About.REPAIR, About.RUN})

_TOO_MANY = frozenset({425, 429})
_TOO_MANY_CODES = "RESOURCE_EXHAUSTED|REQUEST_LIMIT_EXCEEDED"

_JOB_CODES = "INVALID_JOB_ID|JOB_(NOT_FOUND|DOES_NOT_EXIST|DELETED)"

TABLE = (
    # --- the request was not carried out, or nobody knows ---
    # the server failed, whatever it says
    Row(Meaning.TROUBLE, status=range(500, 1000)),
    # a redirect, to a sign-in for example
    Row(Meaning.ELSEWHERE, status=range(400)),
    # what 401 is for
    Row(Meaning.UNAUTHORIZED, status={401}),
    # gateways say with 400 and 403 that a token has expired; it is renewed as with 401
    Row(Meaning.UNAUTHORIZED, code=r"PERMISSION_DENIED|\d*", says=(wording.CREDENTIALS,)),
    # the code for capacity, whatever the status, and those of runs that found none
    Row(
        Meaning.FULL,
        about=_STARTS,
        code="QUOTA_EXCEEDED|MAX_(CONCURRENT_RUNS|JOB_QUEUE_SIZE)_EXCEEDED|WORKSPACE_RUN_LIMIT_EXCEEDED",
    ),
    # 429 is for the number of runs, too: only the words tell it from a rate
    Row(Meaning.FULL, about=_STARTS, status=_TOO_MANY, says=(wording.FULL, wording.FULL_AMONG_RATES)),
    # and so are these codes with another status
    Row(Meaning.FULL, about=_STARTS, code=_TOO_MANY_CODES, says=(wording.FULL, wording.FULL_AMONG_RATES)),
    # refused unread: too many requests, or too early
    Row(Meaning.RATE, status=_TOO_MANY),
    # the same with another status
    Row(Meaning.RATE, code=_TOO_MANY_CODES),
    # the code says it without words
    Row(Meaning.USED_UP, about={About.START}, code=".*RUN_DELETED.*", unless=(wording.TROUBLE, wording.FULL)),
    # run-now names no run, so a run that is gone is the one of its token; the documents tell no code
    Row(
        Meaning.USED_UP,
        about={About.START},
        says=(wording.RUN_GONE, wording.TOKEN_GONE),
        unless=(wording.TROUBLE, wording.FULL, wording.PERMISSION),
    ),
    # a time-out or a conflict: something had begun
    Row(Meaning.TROUBLE, status={408, 409}),
    # these pass by themselves, whatever the status
    Row(
        Meaning.TROUBLE,
        code="ABORTED|CANCELLED|COULD_NOT_ACQUIRE_LOCK|DEADLINE_EXCEEDED|INTERNAL_ERROR|RESOURCE_CONFLICT"
        "|TEMPORARILY_UNAVAILABLE|UNKNOWN|WORKSPACE_TEMPORARILY_UNAVAILABLE",
    ),
    # some say it with 400; the words come before those of trouble, since both say 'try again later'
    Row(Meaning.FULL, about=_STARTS, says=(wording.FULL,)),
    # some say it with 400
    Row(Meaning.RATE, says=(wording.RATE,)),
    # Databricks' own SDK repeats these, too
    Row(Meaning.TROUBLE, says=(wording.TROUBLE,)),
    # --- a permission ---
    # others may run their jobs; one that names workspace or network may concern all
    Row(
        Meaning.DENIED,
        about=_JOBS,
        code="PERMISSION_DENIED",
        says=(wording.ONE_JOB,),
        unless=(wording.ONLY_WORKSPACE, wording.WORKSPACE, wording.CALLER, wording.PASSING),
    ),
    # also where it says that a run does not exist: whoever may not see a run is told the same
    Row(Meaning.FORBIDDEN, code="PERMISSION_DENIED"),
    # a gateway, a firewall or a rotated token
    Row(Meaning.FORBIDDEN, status={403}),
    # --- a run ---
    # the code says it without words
    Row(Meaning.RUN_GONE, about=_RUNS, code=".*RUN_DELETED.*"),
    # sent as 400 and 404; one that leaves open whether it only may not be seen does not say it
    Row(Meaning.RUN_GONE, about=_RUNS, says=(wording.RUN_GONE,), unless=(wording.PERMISSION,)),
    # without words the code speaks of what was asked for
    Row(Meaning.RUN_GONE, about=_RUNS, code="RESOURCE_DOES_NOT_EXIST", says=(wording.NOTHING,)),
    # --- a job or what is sent to it ---
    # passes by itself, even if a job or a parameter is named beside it
    Row(Meaning.NOT_UNDERSTOOD, about={About.START, About.JOB}, says=(wording.PASSING,)),
    # the job does not exist, under whatever code
    Row(Meaning.IMPOSSIBLE, about=_JOBS, says=(wording.JOB_GONE,)),
    # wrong with the workspace, even if a parameter is named beside it
    Row(Meaning.NOT_UNDERSTOOD, says=(wording.ONLY_WORKSPACE,)),
    # a parameter does not fit the job, under whatever code
    Row(Meaning.IMPOSSIBLE, about=_JOBS, status={400}, says=(wording.WRONG_PARAMETER,)),
    # names a part of the workspace, and nothing that a request could be wrong about
    Row(Meaning.NOT_UNDERSTOOD, says=(wording.WORKSPACE,), unless=(wording.REQUEST,)),
    # a job, or something of the request, does not exist; a metastore or a user would be the workspace's
    Row(
        Meaning.IMPOSSIBLE,
        about=_JOBS,
        code="RESOURCE_DOES_NOT_EXIST",
        says=(wording.JOB_FIRST, wording.NOT_THERE, wording.WRONG_REQUEST, wording.NOTHING),
    ),
    # the code speaks of a job
    Row(Meaning.IMPOSSIBLE, about=_JOBS, code=_JOB_CODES),
    # a repair can be refused in many ways, and a refused one is waited for and then given up for a new run
    Row(Meaning.IMPOSSIBLE, about={About.REPAIR}, code="INVALID_PARAMETER_VALUE"),
    # the code stands for much; a text that says nothing of the request speaks of something else
    Row(
        Meaning.IMPOSSIBLE,
        about=_JOBS,
        code="INVALID_PARAMETER_VALUE|INVALID_ARGUMENT|INVALID_REQUEST|BAD_REQUEST",
        says=(
            wording.PARAMETER,
            wording.WRONG_REQUEST,
            wording.WRONG_VALUE,
            wording.UNFIT_JOB,
            wording.NOTHING,
        ),
    ),
    # the request as it was built; a later version of the row may pass
    Row(
        Meaning.REFUSED,
        about=_JOBS,
        code="MALFORMED_REQUEST",
        says=(wording.PARAMETER, wording.WRONG_REQUEST, wording.WRONG_VALUE, wording.NOTHING),
    ),
    # too large, or not acceptable; without a code a proxy said it
    Row(Meaning.REFUSED, about=_JOBS, status={413, 422}, code=".+"),
    # the workspace's trouble until proven otherwise
    Row(Meaning.NOT_UNDERSTOOD),
)


#: What refusals mean when an earlier try may have started something: nobody says whether Databricks looks for
#: that first. A denied one stays worth a fresh token.
_IN_DOUBT = {
    **dict.fromkeys(
        (Meaning.FULL, Meaning.RUN_GONE, Meaning.IMPOSSIBLE, Meaning.REFUSED), Meaning.STILL_IN_DOUBT
    ),
    Meaning.DENIED: Meaning.FORBIDDEN,
}


#: What only Databricks itself can say: it has read the request.
_VERDICTS = frozenset(
    {Meaning.USED_UP, Meaning.RUN_GONE, Meaning.IMPOSSIBLE, Meaning.REFUSED, Meaning.DENIED}
)


def row_of(response: ErrorResponse, about: About) -> Row:
    """Return the row that decides."""
    return next(row for row in TABLE if row.fits(response, about))


def meaning_of(response: ErrorResponse, about: About, *, in_doubt: bool) -> Meaning:
    """Return what a response means.

    :param in_doubt: an earlier try of the same request may have had its effect.
    """
    meaning = row_of(response, about).meaning
    if meaning in _VERDICTS and not response.is_json:
        return Meaning.NOT_UNDERSTOOD
    return _IN_DOUBT.get(meaning, meaning) if in_doubt and about in _STARTS else meaning


def names_something(response: ErrorResponse) -> bool:
    """Say whether a refusal names the job, the run or something of the request. A code alone does not."""
    return _says((wording.NAMED, wording.JOB_GONE, wording.TOKEN_GONE), response)


def is_of_job(response: ErrorResponse) -> bool:
    """Say whether a refusal speaks of the job, whatever is asked of it: it is not there, or not for us."""
    if response.code == "PERMISSION_DENIED" or re.fullmatch(_JOB_CODES, response.code):
        return True
    if _says((wording.JOB_GONE, wording.UNFIT_JOB), response):
        return True
    return response.code == "RESOURCE_DOES_NOT_EXIST" and not _says((wording.REQUEST,), response)


def _says(words: tuple[Words, ...], response: ErrorResponse) -> bool:
    return any(each.said_in(response.message) for each in words)
