"""Reading what flamestream published: typed events from Redis Streams."""
