"""Text in the form that any store takes."""

from __future__ import annotations

import re

_HEADER = re.compile(r"[\x20-\x7e]{1,255}")

MAX_MESSAGE = 4 * 1024


def clean(text: str, limit: int) -> str:
    """Text that any store takes: bounded, and without halves of surrogate pairs or NULs."""
    short = text if len(text) <= limit else text[:limit] + " […]"
    return short.encode("utf-8", "replace").decode("utf-8").replace("\x00", "\\x00")


def printable(text: str) -> str:
    """Text without the control characters by which stored words could drive a terminal."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() or letter in "\n\t" else ascii(letter)[1:-1]
        for letter in text
    )


def is_header(text: str) -> bool:
    """Whether `text` can stand in an HTTP header: 1 to 255 printable ASCII characters."""
    return _HEADER.fullmatch(text) is not None
