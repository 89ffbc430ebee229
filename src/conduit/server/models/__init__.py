"""What the HTTP API takes and gives. The OpenAPI page is made of these types.

Times are ISO 8601 in UTC, spans are milliseconds. Payloads (arguments, results, metadata and so on)
are the JSON that they are, byte by byte as the queue has them.
"""

from __future__ import annotations

from conduit.server.models import acting, jobs, listings, service, statistics

__all__ = ["acting", "jobs", "listings", "service", "statistics"]
