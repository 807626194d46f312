"""What the person who runs flamestream needs besides the run itself."""
