"""Training: reproduces the papers' methods and produces the engines that `stream` runs."""
