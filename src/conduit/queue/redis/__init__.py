"""The queue for several machines: Redis or Valkey, one script per transition."""

from __future__ import annotations

from conduit.queue.redis.queue import RedisQueue

__all__ = ["RedisQueue"]
