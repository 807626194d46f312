"""Measurements: each verifies its outputs, warms up, repeats, and names the machine."""
