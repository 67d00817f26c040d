"""The demo: the example's rows through the whole local stack, with live progress and a checked outcome."""
