"""From frames to faces: detect, track, crop, infer."""
