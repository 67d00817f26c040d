"""The local stack: Azurite, a Databricks simulator, a Functions host and fakes. For one machine, never deployed."""
