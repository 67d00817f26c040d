"""The use cases: what each function does, and what operators can ask for. They use only ports and core."""
