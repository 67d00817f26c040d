"""What the app does, step by step, over the ports: trigger, submit, monitor, and what operators ask for."""
