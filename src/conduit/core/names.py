"""What can name a file, in every store and in every address."""

from __future__ import annotations

import re

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # and halves of surrogate pairs
_FOLDERS = frozenset({".", ".."})
"""Whoever asks for one over HTTP asks for another address before the server hears of it."""


def is_file_name(text: str) -> bool:
    """Whether `text` can name an artifact: 1 to 255 characters, none of control; no `.` or `..`."""
    return 0 < len(text) <= 255 and _CONTROL.search(text) is None and text not in _FOLDERS
