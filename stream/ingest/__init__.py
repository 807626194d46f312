"""Sources: files and cameras, decoded into frames."""
