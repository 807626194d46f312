"""Ig3D: facial expressions from a picture and a 3D face together, as published and as corrected."""
