"""Seeing it: the predicted mesh drawn over each face, in a video while a run goes, or in a picture."""
