"""Change named SQL one thing at a time: a condition, a comparison, an order, a state, an assignment. Pure.

What is changed keeps its parameters, so that a mutant is a statement that runs: a condition is not removed
but made always true, or always false where it is one of several that suffice.
"""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass

_HEADER = re.compile(r"^-- (\w+)(?: \((\w+)\))? --$", re.MULTILINE)

_TOKEN = re.compile(
    r"--[^\n]*|'(?:[^']|'')*'|\{\w+|[(){}]|[A-Za-z_]\w*(?:\.\w+)*|\d+|<=|>=|<>|[=<>+*/-]|\?|,|\S"
)

#: What a condition comes after, and what ends one.
_STARTS = frozenset({"WHERE", "ON", "HAVING", "WHEN", "AND", "OR"})
_ENDS = frozenset(
    {
        "THEN",
        "ELSE",
        "ORDER",
        "GROUP",
        "UNION",
        "LEFT",
        "INNER",
        "CROSS",
        "JOIN",
        "SELECT",
        "FROM",
        "SET",
        ",",
    }
    | {"{limit", "{returning", "{page", "{nth", "{join_in_order", "VALUES"}
)

_SWAPPED = {
    "<": "<=",
    "<=": "<",
    ">": ">=",
    ">=": ">",
    "<>": "=",
    "ASC": "DESC",
    "DESC": "ASC",
    "MAX": "MIN",
    "MIN": "MAX",
}

_STATES = re.compile(r"IN \(('[A-Z]+'(?:, '[A-Z]+')+)\)")

_ASSIGNMENT = re.compile(r"\w+ = ")

_INDEX = re.compile(r"\{index \w+\}")


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """One change of one named query of a file."""

    #: the query, with the dialect that it is written for alone
    query: str
    #: what was changed, for people
    what: str
    #: the whole file, changed
    text: str


@dataclass(frozen=True, kw_only=True)
class _Token:
    text: str
    start: int
    end: int


@dataclass(frozen=True, kw_only=True)
class _Change:
    start: int
    end: int
    new: str
    what: str


def mutants_of(text: str) -> Iterator[Mutant]:
    """Yield every mutant of a file of named SQL, in its order. What only SQL Server runs is left out."""
    headers = list(_HEADER.finditer(text))
    ends = [header.start() for header in headers[1:]] + [len(text)]
    for header, end in zip(headers, ends, strict=True):
        if header[2] == "sqlserver":
            continue
        start = text.index("\n", header.end() + 1) + 1  # behind the line of purpose
        body = text[start:end]
        for change in _changes(body):
            changed = _INDEX.sub("", body[: change.start] + change.new + body[change.end :])
            yield Mutant(query=header[1], what=change.what, text=text[:start] + changed + text[end:])


def _changes(body: str) -> Iterator[_Change]:
    tokens = [
        _Token(text=found[0], start=found.start(), end=found.end())
        for found in _TOKEN.finditer(body)
        if not found[0].startswith("--")
    ]
    yield from _conditions(body, tokens)
    yield from _swaps(body, tokens)
    yield from _states(body)
    yield from _assignments(body, tokens)


def _conditions(body: str, tokens: list[_Token]) -> Iterator[_Change]:
    """Yield each operand of a condition, always true; always false where another one suffices."""
    for group in _groups(tokens):
        begun, start = "", 0
        for number, token in enumerate([*group, None]):
            word = token.text if token else ")"
            ends = token is None or word in _STARTS or word in _ENDS
            if ends and number > start and (begun or word in {"AND", "OR"}):
                yield from _constant(body, group[start:number], {begun, word})
            if ends:
                is_simple = word == "WHEN" and group[0].text == "CASE" and group[1].text != "WHEN"
                begun, start = "" if word in _ENDS or is_simple else word, number + 1


def _constant(body: str, operand: list[_Token], around: set[str]) -> Iterator[_Change]:
    start, end = operand[0].start, operand[-1].end
    written = " ".join(body[start:end].split())
    if "OR" not in around:
        yield _Change(start=start, end=end, new=f"({body[start:end]} OR 1 = 1)", what=f"true: {written}")
    if "OR" in around or "WHEN" in around:
        yield _Change(start=start, end=end, new=f"({body[start:end]} AND 1 = 0)", what=f"false: {written}")


def _groups(tokens: list[_Token]) -> Iterator[list[_Token]]:
    """Yield the tokens of each level: brackets, a macro or a CASE are one token of the level above."""
    open_groups: list[list[_Token]] = [[]]
    for token in tokens:
        if token.text in {"(", "CASE"} or token.text.startswith("{"):
            open_groups.append([token] if token.text == "CASE" else [])
            open_groups[-2].append(token)
        elif token.text in {")", "}", "END"} and len(open_groups) > 1:
            yield open_groups.pop()
            first = open_groups[-1].pop()
            name = first.text if first.text.startswith("{") else "()"
            open_groups[-1].append(_Token(text=name, start=first.start, end=token.end))
        else:
            open_groups[-1].append(token)
    yield open_groups[0]


def _swaps(body: str, tokens: list[_Token]) -> Iterator[_Change]:
    end = _Token(text="the end", start=len(body), end=len(body))
    for token, after in itertools.pairwise([*tokens, end]):
        if token.text in _SWAPPED:
            new = _SWAPPED[token.text]
        elif token.text in {"+", "-"} and after.text == "1":
            new = "-" if token.text == "+" else "+"
        else:
            continue
        line = body[body.rfind("\n", 0, token.start) + 1 :].partition("\n")[0].strip()
        what = f"{token.text} to {new} before {after.text}: {line}"
        yield _Change(start=token.start, end=token.end, new=new, what=what)


def _states(body: str) -> Iterator[_Change]:
    for found in _STATES.finditer(body):
        states = found[1].split(", ")
        for state in states:
            rest = ", ".join(each for each in states if each != state)
            yield _Change(
                start=found.start(1), end=found.end(1), new=rest, what=f"without {state} of {found[1]}"
            )


def _assignments(body: str, tokens: list[_Token]) -> Iterator[_Change]:
    """Yield each assignment of an UPDATE, or of a shared piece of one, that keeps the old value."""
    top = list(_groups(tokens))[-1]
    if not _ASSIGNMENT.match(body[top[0].start :]):
        words = [token.text for token in top]
        if words[0] != "UPDATE" or "SET" not in words:
            return
        top = top[words.index("SET") + 1 :]
    end_at = next((n for n, token in enumerate(top) if token.text in {"WHERE", "{returning"}), len(top))
    part: list[_Token] = []
    for token in [*top[:end_at], None]:
        if token is not None and token.text != ",":
            part.append(token)
            continue
        if len(part) > 2 and part[1].text == "=":
            column, start, end = part[0].text, part[2].start, part[-1].end
            kept = f"CASE WHEN 1 = 1 THEN {column} ELSE {body[start:end]} END"
            yield _Change(start=start, end=end, new=kept, what=f"kept: {column}")
        part = []
