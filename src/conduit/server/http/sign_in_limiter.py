"""How many wrong keys are put up with: guessing one has to be slow, wherever it comes from."""

from __future__ import annotations

import ipaddress
import math
import time
from collections.abc import Callable

from conduit.server.http.problems import ProblemError

WINDOW_S = 60.0
MOST_OF_ONE = 10
"""Different wrong keys of one address within a window."""
MOST_OF_ALL = 100
"""Beyond so many of all addresses together, one wrong key of an address is one too many."""
MOST_ADDRESSES = 10_000
"""Beyond so many addresses the others count as one, so that the memory it takes is bounded."""
_OTHERS = "others"
_LONGEST_NAME = 64


class Guesses:
    """Counts different wrong keys by the address that they come from, a minute at a time.

    The same wrong key sent again isn't a guess: a program that still has an old key, such as a
    scraper of metrics, mustn't lock out the right keys beside it. An address that has sent none
    isn't turned away, unless more addresses than are counted do.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ends_at = 0.0
        self._wrong: dict[str, set[bytes]] = {}
        self._many = 0

    def check(self, address: str | None) -> None:
        """Turn an address away that has guessed too often. Raises `ProblemError` (429)."""
        left = self._ends_at - self._clock()
        if left <= 0:
            self._wrong.clear()
            self._many = 0
            return
        most = MOST_OF_ONE if self._many < MOST_OF_ALL else 1
        if len(self._wrong.get(self._name(address), ())) >= most:
            raise ProblemError(
                429,
                "too-many-wrong-keys",
                "Too many wrong keys",
                "this address has sent too many keys that aren't known here",
                headers={"Retry-After": str(math.ceil(left))},
            )

    def note(self, address: str | None, key_hash: bytes) -> None:
        """Count a wrong key, given as its hash; the first one begins a window."""
        if not self._wrong:
            self._ends_at = self._clock() + WINDOW_S
        keys = self._wrong.setdefault(self._name(address), set())
        self._many += key_hash not in keys
        keys.add(key_hash)

    def _name(self, address: str | None) -> str:
        name = _network(address)
        known = name in self._wrong or len(self._wrong) < MOST_ADDRESSES
        return name if known else _OTHERS


def _network(address: str | None) -> str:
    """What an address is counted as: of IPv6 a caller has a whole network of 64 bits."""
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return (address or _OTHERS)[:_LONGEST_NAME]
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((int(parsed) >> 64 << 64, 64)))
