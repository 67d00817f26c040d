"""The app's own use cases, store and client in simulated time: what a load asks of each service, counted."""
