"""Turns rows of ``track_processing`` into runs of Databricks jobs and brings each to its end."""
