"""The command line: ``python -m orchestrator COMMAND``. Nothing else of the app imports it, click or rich."""
