"""What ``check`` says of a deployment slot, and of a host's id that another app may have."""

import pytest

from orchestrator import settings
from orchestrator.checks import neighbours
from tests.cli.support import CommandLine

AZURE = {
    "AzureWebJobsStorage__accountName": "acme",
    "DATABRICKS_HOST": "https://adb-1.7.azuredatabricks.net",
    "DATABRICKS_TOKEN": "t",
    "SQL_CONNECTION_STRING": "SERVER=acme.database.windows.net",
    "WEBSITE_SITE_NAME": "shop-loader",
    "WEBSITE_SLOT_NAME": "Production",
}
LONG = "shop-loader-of-the-northern-region"  # 34 characters
STAGING = {"WEBSITE_SLOT_NAME": "staging"}
OFF = {f"AzureWebJobs.{name}.Disabled": "true" for name in ("trigger", "submit", "monitor")}
HOST_ID = "AzureFunctionsWebHost__hostid"


def said(**environ: str) -> list[tuple[str, str, str]]:
    """Return the subject, the verdict and the text of each finding."""
    site = settings.load({**AZURE, **environ}).site
    return [
        (
            each.subject.removeprefix("function app, "),
            "warn" if each.warning else "ok" if each.ok else "FAIL",
            each.text,
        )
        for each in neighbours.findings(site)
    ]


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"WEBSITE_SLOT_NAME": ""},  # Flex Consumption has no slots
        {"WEBSITE_SITE_NAME": LONG[:32]},
        {"WEBSITE_SITE_NAME": LONG, HOST_ID: "shop-loader-north"},
        {"WEBSITE_SITE_NAME": LONG, HOST_ID.upper(): "shop-loader-north"},
        {"WEBSITE_SITE_NAME": LONG, "WEBSITE_SKU": "FlexConsumption"},
        {"WEBSITE_SITE_NAME": LONG, "AZURE_FUNCTIONS_ENVIRONMENT": "Development", **STAGING},
        {**STAGING, **OFF},
        {**STAGING, **{name.replace(".", "__"): "1" for name in OFF}},
    ],
)
def test_nothing_to_say(environ: dict[str, str]) -> None:
    assert said(**environ) == []


def test_a_slot_that_works_beside_production() -> None:
    [(subject, verdict, text)] = said(**STAGING)
    assert (subject, verdict) == ("deployment slot", "warn")
    assert text.startswith("staging runs trigger, submit, monitor beside production: with production's data")
    [(_, _, text)] = said(**STAGING, **{"AzureWebJobs.trigger.Disabled": "true"})
    assert text.startswith("staging runs submit, monitor beside production")


def test_a_name_that_is_cut() -> None:
    [(subject, verdict, text)] = said(WEBSITE_SITE_NAME=LONG.upper())
    assert (subject, verdict) == ("host id", "warn")
    assert text.startswith(f"{LONG[:32]} is only the beginning of the name: with an app or slot on the same")
    assert f"set {HOST_ID}, as a slot setting" in text


@pytest.mark.parametrize("name", [LONG, LONG[:32], "shop-loader-of-the-northern-reg"])
def test_a_slot_with_the_id_of_production(name: str) -> None:
    _, (subject, verdict, text) = said(WEBSITE_SITE_NAME=name, **STAGING)
    assert (subject, verdict) == ("host id", "FAIL")
    assert text.startswith(f"{name[:32].rstrip('-')} is production's, too")


def test_a_slot_whose_name_is_cut_within_its_own_part() -> None:
    _, (_, verdict, text) = said(WEBSITE_SITE_NAME="shop-loader-of-the-north", WEBSITE_SLOT_NAME="acceptance")
    assert (verdict, text.split(" is ")[0]) == ("warn", "shop-loader-of-the-north-accepta")


def test_check_says_it_whatever_the_settings_are(full_cli: CommandLine) -> None:
    done = full_cli("check", **STAGING)
    [line] = [each for each in done.stdout.splitlines() if "slot" in each]
    assert (done.returncode, line.split(":")[0]) == (0, "warn  function app, deployment slot"), done.stdout
    done = full_cli("check", WEBSITE_SITE_NAME=LONG, **STAGING)  # in Azure SQLite is refused
    lines = [line.split(":")[0] for line in done.stdout.splitlines()]
    assert done.returncode == 1
    assert "FAIL  settings" in lines
    assert lines[-2:] == ["warn  function app, deployment slot", "FAIL  function app, host id"]


def test_an_id_that_both_slots_may_have() -> None:
    _, (subject, verdict, text) = said(**STAGING, **{HOST_ID: "shop"})
    assert (subject, verdict) == ("host id", "warn")
    assert "must be a slot setting" in text
