"""Builds the open head that `models.open_head` loads."""
