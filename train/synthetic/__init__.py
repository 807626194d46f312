"""Faces that nobody has: the open head, drawn as bad cameras would see it, with exact parameters and landmarks."""
