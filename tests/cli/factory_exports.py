"""Exports of a made-up Data Factory, in the shapes that its portal, its Git repository and ARM have."""

from typing import Any

ADDRESS = "https://adb-1234567890123456.7.azuredatabricks.net"


def activity(name: str, kind: str, properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return an activity as the portal writes it, without linked service and policy where none are given."""
    base = {"name": name, "type": kind, "dependsOn": [], "userProperties": [], "typeProperties": properties}
    return {**base, **more}


def databricks(name: str, kind: str, properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return a Databricks activity on the linked service LS_Databricks."""
    return activity(name, kind, properties, **{"linkedServiceName": reference("LS_Databricks"), **more})


def reference(name: str, **parameters: Any) -> dict[str, Any]:
    """Return a reference to a linked service, with values for its parameters."""
    found: dict[str, Any] = {"referenceName": name, "type": "LinkedServiceReference"}
    return {**found, "parameters": parameters} if parameters else found


def after(name: str) -> dict[str, Any]:
    """Return a dependency on the success of an activity."""
    return {"activity": name, "dependencyConditions": ["Succeeded"]}


def expression(text: str) -> dict[str, str]:
    """Return a field that the portal's editor has marked as dynamic content."""
    return {"value": text, "type": "Expression"}


def pipeline(*activities: dict[str, Any], name: str = "Nightly", **more: Any) -> dict[str, Any]:
    """Return a pipeline."""
    properties = {"activities": list(activities), "annotations": [], **more}
    return {"name": name, "properties": properties, "type": "Microsoft.DataFactory/factories/pipelines"}


def service(
    properties: dict[str, Any], *, name: str = "LS_Databricks", kind: str = "AzureDatabricks", **more: Any
) -> Any:
    """Return a linked service."""
    return {
        "name": name,
        "properties": {"annotations": [], "type": kind, "typeProperties": properties, **more},
        "type": "Microsoft.DataFactory/factories/linkedservices",
    }


#: Signs in with a token in Key Vault and runs on a cluster that exists.
EXISTING = service(
    {
        "domain": ADDRESS,
        "accessToken": {
            "type": "AzureKeyVaultSecret",
            "store": {"referenceName": "LS_Vault", "type": "LinkedServiceReference"},
            "secretName": "databricks-token",
        },
        "existingClusterId": "0101-120000-abcd1234",
    }
)
VAULT = service({"baseUrl": "https://kv-team.vault.azure.net/"}, name="LS_Vault", kind="AzureKeyVault")

#: Signs in with the factory's identity and makes a cluster for each run.
JOB_CLUSTER = service(
    {
        "domain": f"{ADDRESS}/",
        "authentication": "MSI",
        "workspaceResourceId": "/subscriptions/0/resourceGroups/rg/providers/x/y",
        "newClusterVersion": "15.4.x-scala2.12",
        "newClusterNodeType": "Standard_DS3_v2",
        "newClusterNumOfWorker": "1:4",
        "newClusterDriverNodeType": "Standard_DS4_v2",
        "newClusterSparkConf": {
            "spark.speculation": True,
            "fs.azure.account.key": "hunter2-of-the-lake",
            "spark.password": "{{secrets/lake/password}}",
        },
        "newClusterSparkEnvVars": {"PYSPARK_PYTHON": "/databricks/python3/bin/python3"},
        "newClusterCustomTags": {"team": "data"},
        "newClusterInitScripts": ["/Shared/init.sh", "dbfs:/init.sh", "/Volumes/main/x/init.sh"],
        "newClusterLogDestination": "dbfs:/logs",
    }
)

LOAD = databricks(
    "Load sales",
    "DatabricksNotebook",
    {"notebookPath": "/Repos/team/load", "baseParameters": {"table_name": "sales", "days": 7, "full": False}},
    policy={"timeout": "0.12:00:00", "retry": 2, "retryIntervalInSeconds": 30, "secureInput": False},
)
