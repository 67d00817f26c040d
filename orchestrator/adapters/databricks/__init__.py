"""The Databricks workspace as the use cases see it: the Jobs REST API behind ``ports.Runs``."""
