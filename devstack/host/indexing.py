"""Imports the app and reads its functions from its own bindings, as the Python worker does."""

import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import azure.functions as func
from azure.functions.decorators.function_app import Function as IndexedFunction

from devstack.host.routes import Route, RouteError, duplicates, parse_route
from devstack.host.schedule import Schedule, ScheduleError, parse
from devstack.host.settings import HostError, HostOptions, resolve
from devstack.host.storage import storage_connection

SCRIPT_FILE = "function_app.py"

#: https://learn.microsoft.com/rest/api/storageservices/naming-queues-and-metadata
_QUEUE_NAME = re.compile(r"(?=.{3,63}$)[a-z0-9]+(-[a-z0-9]+)*")


@dataclass(frozen=True, kw_only=True)
class TimerTrigger:
    """``timerTrigger``"""

    schedule: Schedule
    #: run once when the host starts
    run_on_startup: bool


@dataclass(frozen=True, kw_only=True)
class QueueTrigger:
    """``queueTrigger``"""

    queue_name: str
    connection_string: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class HttpTrigger:
    """``httpTrigger``; its auth level is ignored"""

    route: Route


Trigger = TimerTrigger | QueueTrigger | HttpTrigger


@dataclass(frozen=True, kw_only=True)
class Function:
    """One function of the app, ready to be invoked."""

    name: str
    #: the user's function, sync or async
    handler: Callable[..., Any]
    #: name of the argument that gets the timer, message or request
    parameter: str
    trigger: Trigger


def load_functions(app_dir: Path, options: HostOptions, settings: Mapping[str, str]) -> list[Function]:
    """Import ``function_app.py`` and return its functions, without those that a setting disables.

    :raises HostError: the app cannot be imported or bindings are wrong; lists all of them.
    """
    app = _find_app(_import_script(app_dir / SCRIPT_FILE))
    try:
        # To be called once only: its second call takes every name for a duplicate.
        indexed = app.get_functions()
    except ValueError as error:
        raise HostError([f"{SCRIPT_FILE}: {error}"]) from error
    functions: list[Function] = []
    problems: list[str] = []
    for each in indexed:
        try:
            functions.append(_BindingReader(each, options, settings).function())
        except HostError as error:
            problems.extend(error.problems)
    routes = {each.name: each.trigger.route for each in functions if isinstance(each.trigger, HttpTrigger)}
    problems.extend(duplicates(routes))
    if not indexed:
        problems.append(f"{SCRIPT_FILE} has no function")
    if problems:
        raise HostError(problems)
    return [each for each in functions if not _is_disabled(each.name, settings)]


def _is_disabled(name: str, settings: Mapping[str, str]) -> bool:
    """https://learn.microsoft.com/azure/azure-functions/disable-function"""
    return settings.get(f"AzureWebJobs.{name}.Disabled", "").lower() in {"true", "1"}


def _import_script(path: Path) -> object:
    if not path.is_file():
        raise HostError([f"there is no {SCRIPT_FILE} in {path.parent}"])
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise HostError([f"{path} is not a Python file"])
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # the app's own code may raise anything
        raise HostError([f"{SCRIPT_FILE} cannot be imported: {type(error).__name__}: {error}"]) from error
    return module


def _find_app(module: object) -> func.FunctionApp:
    apps = [each for each in vars(module).values() if isinstance(each, func.FunctionApp)]
    if len(apps) != 1:
        raise HostError([f"{SCRIPT_FILE} must have exactly one FunctionApp at top level, it has {len(apps)}"])
    return apps[0]


class _BindingReader:
    """Reads one function's bindings and collects what is wrong with them."""

    def __init__(self, indexed: IndexedFunction, options: HostOptions, settings: Mapping[str, str]) -> None:
        self._indexed = indexed
        self._options = options
        self._settings = settings
        self._name = str(indexed.get_function_name())
        self._problems: list[str] = []

    def function(self) -> Function:
        """:raises HostError: lists this function's problems."""
        trigger = self._indexed.get_trigger()
        if trigger is None:  # get_functions() has refused it already
            raise HostError([f"function {self._name} has no trigger"])
        self._check_other_bindings()
        self._check_parameters(trigger.name)
        result = self._trigger(trigger.type or "", trigger.get_dict_repr())
        if result is None or self._problems:
            raise HostError(self._problems)
        return Function(
            name=self._name,
            handler=self._indexed.get_user_function(),
            parameter=trigger.name,
            trigger=result,
        )

    def _problem(self, text: str) -> None:
        self._problems.append(f"function {self._name}: {text}")

    def _check_other_bindings(self) -> None:
        for binding in self._indexed.get_bindings():
            is_http_output = binding.type == "http" and binding.name == "$return"
            if binding is not self._indexed.get_trigger() and not is_http_output:
                self._problem(f"the binding {binding.type} ({binding.name}) is not supported by this host")

    def _check_parameters(self, expected: str) -> None:
        names = list(inspect.signature(self._indexed.get_user_function()).parameters)
        if names != [expected]:
            self._problem(f"its only parameter must be {expected}, it has ({', '.join(names)})")

    def _trigger(self, kind: str, binding: dict[str, Any]) -> Trigger | None:
        if kind == "timerTrigger":
            return self._timer(binding)
        if kind == "queueTrigger":
            return self._queue(binding)
        if kind == "httpTrigger":
            return self._http(binding)
        self._problem(f"the trigger {kind} is not supported by this host: use a timer, queue or HTTP one")
        return None

    def _timer(self, binding: dict[str, Any]) -> TimerTrigger | None:
        text = self._resolve(binding, "schedule")
        if text is None:
            return None
        try:
            return TimerTrigger(schedule=parse(text), run_on_startup=bool(binding.get("runOnStartup")))
        except ScheduleError as error:
            self._problem(f"schedule {error}")
            return None

    def _queue(self, binding: dict[str, Any]) -> QueueTrigger | None:
        name = self._resolve(binding, "queueName")
        if name is not None and not _QUEUE_NAME.fullmatch(name):
            self._problem(
                f"queueName {name!r} must be 3 to 63 lower-case letters and digits, parted by single hyphens"
            )
        try:
            connection = storage_connection(str(binding.get("connection")), self._settings)
        except ValueError as error:
            self._problem(f"connection: {error}")
            return None
        return QueueTrigger(queue_name=name, connection_string=connection) if name is not None else None

    def _http(self, binding: dict[str, Any]) -> HttpTrigger | None:
        text = self._resolve(binding, "route")
        if text is None:
            return None
        methods = [str(getattr(method, "value", method)) for method in binding.get("methods") or ()]
        try:
            return HttpTrigger(route=parse_route(self._options.route_prefix, text, methods))
        except RouteError as error:
            self._problem(f"route {error}")
            return None

    def _resolve(self, binding: dict[str, Any], key: str) -> str | None:
        """Return a binding's value with its settings put in, None (and a problem) when one is missing."""
        try:
            return resolve(str(binding.get(key) or ""), self._settings)
        except KeyError as error:
            self._problem(
                f"{key} names the setting {error.args[0]}, which is not set "
                "(in Values of local.settings.json or in the environment)"
            )
            return None
