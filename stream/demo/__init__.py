"""The demo: a real clip through the whole pipeline, with pictures a person can check."""
