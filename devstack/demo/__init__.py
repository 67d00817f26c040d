"""The demo: the example's entries through the whole local stack, with live progress and a checked outcome."""
