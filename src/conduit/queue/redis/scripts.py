"""The Lua scripts, each put together from the files beside this one."""

from __future__ import annotations

import hashlib
import re
from functools import cache
from importlib import resources

from msgspec import Struct

from conduit.queue.redis.keys import lua_names, lua_types
from conduit.queue.redis.layout import inlined, lua_events, lua_states

_LANES = ("rings", "lanes")
_END = ("jobs", *_LANES, "look", "ending", "dependants")
_KEEP = (*_END, "holders", "after", "keep")
_PARTS = {
    "submit": _KEEP,
    "start": _KEEP,
    "tick": (*_KEEP, "schedule"),
    "register": ("sound", "schedule"),
    "unregister": ("sound", "schedule"),
    "crons": ("schedule",),
    "pause_cron": ("schedule",),
    "rewind_cron": ("schedule",),
    "claim": (*_END, "promote", "expire"),
    "extend": ("jobs",),
    "finish": (*_END, "unblock"),
    "record": ("jobs",),
    "sweep": (
        "sound",
        *_END,
        "unblock",
        "holders",
        "promote",
        "expire",
        "after",
        "forget",
        "schedule",
    ),
    "cancel": _END,
    "retry": ("jobs", *_LANES, "holders", "after"),
    "delete": (*_END, "unblock", "holders", "after", "forget"),
    "resume": ("rings",),
    "resume_function": ("jobs", *_LANES),
    "subscribe": ("jobs", *_LANES),
    "submit_plain": ("rings",),
    "get": ("jobs", "look"),
    "watch": ("jobs", "look"),
    "cancels": ("jobs",),
    "queues": ("jobs", *_LANES),
}
"""What a script needs on top of lib.lua. It is all run at each call, so no script gets more."""

_NAME = re.compile(r"\bK\.(\w+)")

_BARE = ("submit_plain",)
"""Scripts that do without lib.lua, for speed."""

_GROWS = ("submit", "submit_plain", "start", "tick", "report")
"""Scripts that a server out of memory is to refuse; all others are needed to drain it."""

_READS = ("open", "get", "queues", "workers", "functions", "crons")
"""Scripts that a server answers even where it takes no writes."""

_OLD_ALLOW_OOM = "redis.call('DEL', KEYS[1])\n"
"""Before Redis 7: of all the writes of a script only the first is refused for want of memory, and
one that frees some isn't. The prefix itself is never a key."""


class Script(Struct, frozen=True):
    """A script ready to be sent; `sha` is its name on the server."""

    text: str
    sha: str


@cache
def script(name: str, *, flags: bool) -> Script:
    """The script of a verb. `flags`: whether the server knows script flags, as Redis 7 does."""
    if flags:
        allowed = "no-writes" if name in _READS else "allow-oom"
        head = "#!lua\n" if name in _GROWS else f"#!lua flags={allowed}\n"
    else:
        head = "" if name in (*_GROWS, *_READS) else _OLD_ALLOW_OOM
    parts = (*(() if name in _BARE else ("lib",)), *_PARTS.get(name, ()), name)
    body = "\n".join(map(_read, parts))
    used = set(_NAME.findall(body))
    types = lua_types(used) if "sound" in parts else ""
    text = head + lua_names(used) + types + inlined(body)
    return Script(text, hashlib.sha1(text.encode()).hexdigest())


_BEFORE = {"lib": lua_events, "jobs": lua_states}
"""What is made of a job's layout, by the file that it comes before."""


def _read(part: str) -> str:
    text = resources.files("conduit.queue.redis").joinpath("scripts", f"{part}.lua").read_text()
    return _BEFORE[part]() + text if part in _BEFORE else text
