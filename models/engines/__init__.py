"""Ways to run a network: one protocol, one file per runtime."""
