"""What a file is, by its name: the same on every machine."""

from __future__ import annotations

from mimetypes import MimeTypes
from typing import Final

UNKNOWN: Final = "application/octet-stream"
_PACKED: Final = {
    "gzip": "application/gzip",
    "bzip2": "application/x-bzip2",
    "xz": "application/x-xz",
}
_types = MimeTypes()  # Python's own table, and nothing that a machine adds to it


def guessed_type(name: str, *, is_text: bool) -> str:
    """The content type that a file's name says; of text that is UTF-8, with that."""
    found, packing = _types.guess_type(f"./{name}")  # "./": a name such as "data:x" isn't a URL
    if is_text:
        kind = found or "text/plain"
        return f"{kind}; charset=utf-8" if kind.startswith("text/") else kind
    return (found or UNKNOWN) if packing is None else _PACKED.get(packing, UNKNOWN)
