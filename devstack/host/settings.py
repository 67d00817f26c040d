"""The app's settings and ``host.json``: https://learn.microsoft.com/azure/azure-functions/functions-host-json"""

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from devstack.stack_file import STACK_FILE, STATE, running_stack

#: The Storage service hands out at most this many messages a call.
MAX_BATCH_SIZE = 32

#: The shortest wait between two polls of an empty queue, as in the real host.
MIN_POLLING_INTERVAL = timedelta(milliseconds=100)

_PLACEHOLDER = re.compile(r"%([^%\s]+)%")
_TIMESPAN = re.compile(r"(?:(?P<days>\d+)\.)?(?P<hours>\d+):(?P<minutes>\d+):(?P<seconds>\d+(?:\.\d+)?)")


class HostError(Exception):
    """The app cannot be run as it stands. Lists every problem at once."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(
            "the app cannot be run:\n" + "\n".join(f"  - {problem}" for problem in self.problems)
        )


@dataclass(frozen=True, kw_only=True)
class QueueOptions:
    """``extensions.queues`` of ``host.json``, with the real host's defaults."""

    #: messages fetched at a time, 1 to 32
    batch_size: int = 16
    #: the next batch is fetched when no more than this many invocations run
    new_batch_threshold: int = 8 * (os.cpu_count() or 1)
    #: deliveries after which a failing message is moved to the poison queue
    max_dequeue_count: int = 5
    #: how long a message stays invisible after its invocation failed
    visibility_timeout: timedelta = timedelta(0)
    #: the longest wait between two polls of an empty queue
    max_polling_interval: timedelta = timedelta(minutes=1)
    #: ``base64`` or ``none``
    message_encoding: str = "base64"


@dataclass(frozen=True, kw_only=True)
class HostOptions:
    """What this host uses of ``host.json``; it passes over everything else."""

    queues: QueueOptions = field(default_factory=QueueOptions)
    route_prefix: str = "api"
    #: limit of one invocation, None = no limit; 5 minutes is the Consumption plan's default
    function_timeout: timedelta | None = timedelta(minutes=5)


def load_settings(app_dir: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Return ``Values`` of ``local.settings.json``, if there is one, under the environment, which wins.

    :raises HostError: the file cannot be used, or names another database than a local stack that is up there.
    """
    content = _read_object(app_dir / "local.settings.json")
    if content.get("IsEncrypted"):
        raise HostError(["local.settings.json is encrypted: decrypt it with func settings decrypt"])
    values = content.get("Values", {})
    if not isinstance(values, dict):
        raise HostError(["local.settings.json: Values must be an object"])
    wrong = [name for name, value in values.items() if not isinstance(value, str)]
    if wrong:
        raise HostError([f"local.settings.json: the value of {name} must be a string" for name in wrong])
    _check_beside_stack(app_dir, values, environ)
    return {**values, **environ}


def _check_beside_stack(app_dir: Path, values: Mapping[str, str], environ: Mapping[str, str]) -> None:
    """A host must not share a folder with a stack, but not its data, only because a file says so."""
    stack = running_stack(app_dir)
    other = [
        name
        for name in STATE
        if stack and name not in environ and values.get(name, "") not in {"", stack.get(name, "")}
    ]
    if other:
        raise HostError(
            [
                f"the local stack of {app_dir / STACK_FILE} is up, and local.settings.json has another "
                f"{' and '.join(other)}: stop it, or give this host its settings, in the file that "
                "`make run` names: . .run/…/env"
            ]
        )


def body_limit(settings: Mapping[str, str]) -> int:
    """Return how many bytes of a request's body are read at most. :raises HostError: it is not a number."""
    text = settings.get("FUNCTIONS_REQUEST_BODY_SIZE_LIMIT") or str(100 * 1024 * 1024)
    if not text.isdecimal():
        raise HostError(["FUNCTIONS_REQUEST_BODY_SIZE_LIMIT must be a number of bytes"])
    return int(text)


def load_host_options(app_dir: Path) -> HostOptions:
    """Read ``host.json``. :raises HostError: it is missing or a value is wrong; lists all of them."""
    path = app_dir / "host.json"
    if not path.is_file():
        raise HostError([f"there is no host.json in {app_dir}: is this the folder of a Functions app?"])
    reader = _Reader(_read_object(path))
    options = reader.host_options()
    if reader.problems:
        raise HostError(reader.problems)
    return options


def resolve(text: str, settings: Mapping[str, str]) -> str:
    """Put settings' values in place of their ``%NAME%``.

    :raises KeyError: one of them is not set; its argument is the name.
    """
    return _PLACEHOLDER.sub(lambda match: settings[match[1]], text)


def parse_timespan(text: object) -> timedelta:
    """Read .NET's ``[d.]hh:mm:ss[.fff]``. :raises ValueError: it is something else."""
    match = _TIMESPAN.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"{text!r} is not a time span; write hh:mm:ss")
    if int(match["hours"]) > 23:  # .NET takes the 24 of 24:00:00 as days, to everybody's surprise
        raise ValueError(f"{text!r} is not a time span; from 24 hours on write d.hh:mm:ss")
    return timedelta(
        days=int(match["days"] or 0),
        hours=int(match["hours"]),
        minutes=int(match["minutes"]),
        seconds=float(match["seconds"]),
    )


def _read_object(path: Path) -> dict[str, Any]:
    """Return a JSON file's object, empty when there is no such file."""
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise HostError([f"{path.name} cannot be read: {error}"]) from error
    if not isinstance(content, dict):
        raise HostError([f"{path.name} must hold a JSON object"])
    return content


class _Reader:
    """Reads the values of ``host.json`` and collects what is wrong with them."""

    def __init__(self, content: dict[str, Any]) -> None:
        self.problems: list[str] = []
        self._content = content

    def host_options(self) -> HostOptions:
        if self._content.get("version") != "2.0":
            self.problems.append('host.json: version must be "2.0"')
        return HostOptions(
            queues=self._queue_options(self._section("extensions.queues")),
            route_prefix=self._route_prefix(self._section("extensions.http")),
            function_timeout=self._function_timeout(),
        )

    def _section(self, path: str) -> dict[str, Any]:
        """Return an object inside the file, empty when it is not there."""
        section = self._content
        for name in path.split("."):
            value = section.get(name, {})
            if not isinstance(value, dict):
                self.problems.append(f"host.json: {path} must be an object")
                return {}
            section = value
        return section

    def _queue_options(self, section: dict[str, Any]) -> QueueOptions:
        cores = os.cpu_count() or 1
        size = self._integer(section, "batchSize", QueueOptions.batch_size, 1, MAX_BATCH_SIZE)
        return QueueOptions(
            batch_size=size,
            new_batch_threshold=self._integer(section, "newBatchThreshold", size // 2 * cores, 0, None),
            max_dequeue_count=self._integer(
                section, "maxDequeueCount", QueueOptions.max_dequeue_count, 1, None
            ),
            visibility_timeout=self._span(
                section, "visibilityTimeout", QueueOptions.visibility_timeout, timedelta(0)
            ),
            max_polling_interval=self._span(
                section, "maxPollingInterval", QueueOptions.max_polling_interval, MIN_POLLING_INTERVAL
            ),
            message_encoding=self._message_encoding(section),
        )

    def _message_encoding(self, section: dict[str, Any]) -> str:
        encoding = section.get("messageEncoding", QueueOptions.message_encoding)
        if encoding not in {"base64", "none"}:
            self.problems.append("host.json: extensions.queues.messageEncoding must be base64 or none")
        return str(encoding)

    def _route_prefix(self, section: dict[str, Any]) -> str:
        prefix = section.get("routePrefix", HostOptions.route_prefix)
        if not isinstance(prefix, str):
            self.problems.append("host.json: extensions.http.routePrefix must be a string")
            return HostOptions.route_prefix
        return prefix.strip("/")

    def _function_timeout(self) -> timedelta | None:
        text = self._content.get("functionTimeout")
        if text is None:
            return HostOptions.function_timeout
        if text == "-1":
            return None
        try:
            limit = parse_timespan(text)
        except ValueError as error:
            self.problems.append(f"host.json: functionTimeout: {error}, or -1 for no limit")
            return None
        if not limit:
            self.problems.append("host.json: functionTimeout must be above 0, or -1 for no limit")
        return limit

    def _integer(
        self, section: dict[str, Any], name: str, default: int, lowest: int, highest: int | None
    ) -> int:
        value = section.get(name, default)
        above = highest is not None and isinstance(value, int) and value > highest
        if isinstance(value, bool) or not isinstance(value, int) or value < lowest or above:
            bounds = f"from {lowest} to {highest}" if highest is not None else f"{lowest} or more"
            self.problems.append(f"host.json: extensions.queues.{name} must be a whole number {bounds}")
            return default
        return value

    def _span(self, section: dict[str, Any], name: str, default: timedelta, lowest: timedelta) -> timedelta:
        if name not in section:
            return default
        try:
            span = parse_timespan(section[name])
        except ValueError as error:
            self.problems.append(f"host.json: extensions.queues.{name}: {error}")
            return default
        if span < lowest:
            self.problems.append(f"host.json: extensions.queues.{name} must be {lowest} or more")
        return span
