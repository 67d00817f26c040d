"""``check``: test everything that the app needs, from here or, over HTTP, from where the app runs."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator
from dataclasses import asdict

import click

from orchestrator.checks import installation
from orchestrator.checks.finding import Finding
from orchestrator.cli import context, remote
from orchestrator.cli.options import json_option
from orchestrator.cli.output import FAILED, OK, print_json, visible

#: For all tests. A workspace with thousands of active runs takes two minutes to list them.
_SECONDS = 300.0


@click.command("check")
@click.option(
    "--app",
    "app_url",
    metavar="URL",
    help="Let the function app at this address check itself, as itself, "
    f"with the function key in {remote.KEY_SETTING}.",
)
@json_option
def _check(app_url: str | None, as_json: bool) -> int:
    """Check that everything works that the app needs.

    Settings, store, queue, token, Databricks and every job that waiting entries name; each problem comes with
    what to do about it. Without --app, this machine tests it with its own sign-in. With --app, the app in
    Azure does so with its own identity, through its own network.
    """
    logging.getLogger("orchestrator").setLevel(logging.CRITICAL)  # each problem has its line
    findings = asyncio.run(_print_findings(app_url, as_json=as_json))
    ok = all(finding.ok for finding in findings)
    if as_json:
        print_json({"ok": ok, "findings": [asdict(finding) for finding in findings]})
    return OK if ok else FAILED


async def _print_findings(app_url: str | None, *, as_json: bool) -> list[Finding]:
    """Return the findings; print each at once, since the next may take long."""
    findings: list[Finding] = []
    async with contextlib.aclosing(_findings(app_url)) as stream:
        async for finding in stream:
            findings.append(finding)
            if not as_json:
                click.echo(visible(f"{_verdict(finding)}  {finding.subject}: {finding.text}"))
    return findings


def _verdict(finding: Finding) -> str:
    if finding.warning:
        return "warn"
    return "ok  " if finding.ok else "FAIL"


def _findings(app_url: str | None) -> AsyncGenerator[Finding, None]:
    if app_url is not None:
        return remote.findings(app_url, context.environment())
    return installation.findings(context.application(), context.environment(), seconds=_SECONDS)


COMMANDS = (_check,)
