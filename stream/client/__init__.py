"""Reading what flamestream published: typed events from Redis Streams."""

from stream.client.async_subscriber import AsyncSubscriber
from stream.client.subscriber import Subscriber

__all__ = ["AsyncSubscriber", "Subscriber"]
