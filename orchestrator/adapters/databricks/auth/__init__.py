"""Access tokens of a workspace: a module for each way to sign in."""
