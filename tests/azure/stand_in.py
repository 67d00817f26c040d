"""Stand in for ``az``, ``azd``, ``func`` and ``databricks``: take what they take and refuse what they refuse.

``stand_in.py PROGRAM ARGUMENT…`` ends with 2 where the program has no such command or option. What it prints
is no answer of Azure. In the folder STAND_IN_FOLDER it keeps the app's settings that it is given; secrets go
to the fakes at the address STAND_IN_FAKES, if it is set.
"""

import argparse
import json
import os
import sys
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

OPTIONS = Path(__file__).with_name("options.json")

#: The settings of the app, in STAND_IN_FOLDER.
SETTINGS = "app-settings.json"

#: What the fakes' workspace takes for a token.
TOKEN = "dapi-of-the-stand-in"

#: Groups of commands that are extensions of the Azure CLI, of which no list of options could be had.
_EXTENSIONS = (["monitor", "app-insights"], ["monitor", "scheduled-query"])


def main(program: str, arguments: list[str]) -> int:
    """Do what the command does here. Exits with 2 if the program would not take it."""
    if program == "az" and arguments[:2] in _EXTENSIONS:
        return 0
    commands = recorded(program)
    words = next((at for at, word in enumerate(arguments) if word.startswith("-")), len(arguments))
    name = next((each for at in range(words, 0, -1) if (each := " ".join(arguments[:at])) in commands), None)
    if name is None and arguments[:1] == ["--version"] and "--version" in commands:
        name = "--version"
    if name is None:
        sys.stderr.write(f"{program} {' '.join(arguments)}: not a command that {OPTIONS.name} has\n")
        return 2
    given = parser(f"{program} {name}", commands[name]).parse_args(arguments[len(name.split()) :])
    answer = _ANSWERS.get((program, name), _anything)(given)
    if getattr(given, "output", None) != "none":
        sys.stdout.write(f"{answer}\n")
    return 0


def recorded(program: str) -> dict[str, dict[str, dict[str, Any]]]:
    """Return a program's commands: their names, and their options with what these take."""
    commands: dict[str, dict[str, dict[str, Any]]] = json.loads(OPTIONS.read_text("utf-8"))[program][
        "commands"
    ]
    return commands


def parser(name: str, options: dict[str, dict[str, Any]]) -> argparse.ArgumentParser:
    """Return a parser of a command's options as they are recorded."""
    made = argparse.ArgumentParser(prog=name, add_help=False, allow_abbrev=False)
    for names, takes in options.items():
        kept = {key: value for key, value in takes.items() if key in {"nargs", "choices", "required"}}
        if not names.startswith("-"):
            made.add_argument(names, nargs=None if kept.pop("required", False) else "?")
        elif kept.get("nargs") == 0:
            made.add_argument(*names.split(), action="store_true")
        else:
            action = "append" if kept.get("nargs") in {"+", "*"} else "store"
            made.add_argument(*names.split(), action=action, **kept)
    return made


def _anything(_: argparse.Namespace) -> str:
    return "00000000-0000-4000-8000-000000000001"


def _set_secret(given: argparse.Namespace) -> str:
    if "STAND_IN_FAKES" not in os.environ:
        return str(given.name)
    text = Path(given.file).read_text("utf-8") if given.file else given.value
    url = f"{os.environ['STAND_IN_FAKES']}/secrets/{given.name}"
    body = json.dumps({"value": text}).encode()
    request = urllib.request.Request(
        url, data=body, method="PUT", headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10):
        return str(given.name)


def _set_settings(given: argparse.Namespace) -> str:
    return _change_settings(
        lambda settings: settings | dict(each.split("=", 1) for each in _all(given.settings))
    )


def _delete_settings(given: argparse.Namespace) -> str:
    names = _all(given.setting_names)
    return _change_settings(lambda settings: {name: settings[name] for name in settings if name not in names})


def _change_settings(change: Callable[[dict[str, str]], dict[str, str]]) -> str:
    file = Path(os.environ["STAND_IN_FOLDER"], SETTINGS)
    settings = json.loads(file.read_text("utf-8")) if file.exists() else {}
    file.write_text(json.dumps(change(settings)), encoding="utf-8")
    return ""


def _all(values: Sequence[Sequence[str]] | None) -> list[str]:
    return [each for several in values or () for each in several]


_ANSWERS: dict[tuple[str, str], Callable[[argparse.Namespace], str]] = {
    ("databricks", "tokens create"): lambda _: json.dumps({"token_value": TOKEN}),
    ("azd", "env get-values"): lambda _: "",
    ("az", "keyvault secret set"): _set_secret,
    ("az", "functionapp config appsettings set"): _set_settings,
    ("az", "functionapp config appsettings delete"): _delete_settings,
}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
