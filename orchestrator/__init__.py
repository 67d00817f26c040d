"""Turn each entry of ``track_processing`` into a run of a Databricks job and bring it to its end."""
