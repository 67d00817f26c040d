"""The dashboard in a real browser, on the real host, queue, state store and simulator."""
