"""Routes of HTTP functions: ASP.NET's route templates, as far as functions commonly use them."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

#: ASP.NET's route constraints that this host knows, as regular expressions
_CONSTRAINTS = {
    "": r"[^{}/]+",
    "int": r"-?\d+",
    "long": r"-?\d+",
    "alpha": r"[A-Za-z]+",
    "guid": r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
}
_PARAMETER = re.compile(r"\{(?P<rest>\*)?(?P<name>[A-Za-z_]\w*)(?::(?P<constraint>\w+))?(?P<optional>\?)?\}")
_LITERAL = re.compile(r"[^{}]*")

#: The host's own addresses; the real host keeps them from functions, too.
_RESERVED = ("admin", "runtime")


class RouteError(ValueError):
    """A route that this host cannot serve."""


@dataclass(frozen=True, kw_only=True)
class Route:
    """Where and how an HTTP function is called."""

    #: aiohttp's paths, one more for each optional parameter that may be left out
    paths: tuple[str, ...]
    #: the path with its parameters' names taken out, to find two routes that are the same
    shape: str
    #: empty = all methods
    methods: frozenset[str]


def parse_route(prefix: str, template: str, methods: Iterable[str]) -> Route:
    """Read a route template such as ``items/{id:int}``. :raises RouteError: it cannot be served."""
    segments = [segment for segment in f"{prefix}/{template.strip('/')}".split("/") if segment]
    if segments and segments[0].lower() in _RESERVED:
        raise RouteError(f"{template!r} must not begin with {' or '.join(_RESERVED)}")
    path = ""
    shape = ""
    paths: list[str] = []
    for position, segment in enumerate(segments):
        pattern, kind = _segment(template, segment, is_last=position == len(segments) - 1)
        if kind == "optional":
            paths.append(path or "/")
        path += f"/{pattern}"
        shape += f"/{'{}' if kind else segment.lower()}"
    paths.append(path or "/")
    return Route(paths=tuple(paths), shape=shape, methods=frozenset(name.upper() for name in methods))


def duplicates(routes: Mapping[str, Route]) -> list[str]:
    """Return a problem for each two functions that would take the same request."""
    return [
        f"functions {first} and {second} have the same route {routes[first].shape} for the same method"
        for first, second in combinations(routes, 2)
        if routes[first].shape == routes[second].shape
        and _share_a_method(routes[first].methods, routes[second].methods)
    ]


def _share_a_method(first: frozenset[str], second: frozenset[str]) -> bool:
    return not first or not second or bool(first & second)


def _segment(template: str, segment: str, *, is_last: bool) -> tuple[str, str]:
    """Return aiohttp's form of a segment and its kind: ``rest``, ``optional``, ``one``, "" for a literal."""
    if _LITERAL.fullmatch(segment):
        return segment, ""
    match = _PARAMETER.fullmatch(segment)
    if match is None:
        raise RouteError(f"{template!r}: {segment} is neither text nor one {{parameter}}")
    if (match["rest"] or match["optional"]) and not is_last:
        raise RouteError(f"{template!r}: {segment} may only stand at the end")
    if match["rest"]:
        return f"{{{match['name']}:.*}}", "rest"
    constraint = match["constraint"] or ""
    if constraint not in _CONSTRAINTS:
        known = ", ".join(name for name in _CONSTRAINTS if name)
        raise RouteError(
            f"{template!r}: the constraint {constraint} is not supported by this host, only {known}"
        )
    return f"{{{match['name']}:{_CONSTRAINTS[constraint]}}}", "optional" if match["optional"] else "one"
