"""From faces to events: smooth, encode, publish."""
