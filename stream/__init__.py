"""Cameras and files in, face parameters and valence-arousal out on Redis Streams."""
