"""Real faces for training: which pictures, what MediaPipe sees in them, and heads fitted to that."""
