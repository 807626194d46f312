"""How good a face model of the open basis is: against MediaPipe on real faces, against the truth on synthetic ones."""
