"""Every key and channel of a namespace, named here and nowhere else.

All carry the namespace as their hash tag, so that in a cluster they share a slot, and one script
may touch any of them.
"""

from __future__ import annotations

import re

from conduit.core.errors import ConfigurationError

FIXED = {
    "jobs": "hash",  # id → what is fixed at submission
    "states": "hash",  # id → what changes; none for jobs that only wait
    "keys": "hash",  # key → the job that holds it, or did last
    "number": "string",  # of the last submission
    "counts": "hash",  # b:, s:, q:, r: and a queue's name → jobs blocked, scheduled, and so on
    "lanes": "set",  # every lane that may have jobs: a queue and a function
    "scheduled": "zset",  # id by due time
    "leases": "zset",  # id by the end of the lease
    "finished": "zset",  # id by time of finishing
    "expiring": "zset",  # id by expiry
    "paused": "set",  # queues
    "paused_functions": "set",
    "subscriptions": "zset",  # what workers claim, by when it was claimed last
    "waits": "hash",  # id → clients that wait for the job's end
    "workers": "hash",
    "load": "hash",  # worker → jobs that it runs
    "seen": "zset",  # worker by last heartbeat
    "lost": "set",  # workers that were reported as lost
    "names": "zset",  # workers' names by when the last worker of that name went
    "functions": "hash",
    "crons": "hash",
    "locks": "hash",
    "meta": "hash",
    "events": "stream",
}
"""Keys there is one of, with their types."""

PREFIXES = {
    "fresh": "fresh:",  # of a lane: new jobs of priority 0, a list
    "back": "back:",  # of a lane: all others, a sorted set
    "queue_ring": "queue_ring:",  # of a subscription: queues by their turns, a sorted set
    "ring": "ring:",  # of a subscription and a queue: functions by level and turn, a sorted set
    "weights": "weights:",  # of a subscription: queue → weight
    "wants": "wants:",  # of a subscription: its functions, a set
    "wanted_by": "wanted_by:",  # of a function: the subscriptions that have it, a set
    "served_by": "served_by:",  # of a queue
    "idle": "idle:",  # of a subscription: clients with a worker that waits for jobs, a set
    "metadata": "metadata:",  # of a job
    "checkpoint": "checkpoint:",
    "steps": "steps:",
    "logs": "logs:",
    "artifacts": "artifacts:",
    "artifact_data": "artifact_data:",
    "dependants": "dependants:",  # of a job: those that wait for it, a sorted set
    "cancels": "cancels:",  # of a worker: jobs it is to cancel
}

_OF_A_JOB = (
    *("metadata", "checkpoint", "steps", "logs", "artifacts", "artifact_data"),
    "dependants",
)
"""Keys, by their prefixes, that stand in the way of one job alone where they aren't ours."""

CHANNELS = {
    "wake": "wake:",  # of a subscription: it has jobs
    "done": "done:",  # of a client: ids of jobs that finished
    "cancel_asked": "cancel_asked:",  # of a worker
}

_NAMESPACE = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class Keys:
    """The names within one namespace."""

    def __init__(self, namespace: str) -> None:
        if not _NAMESPACE.fullmatch(namespace):
            raise ConfigurationError(
                f"{namespace!r} can't be a namespace: use up to 64 letters, digits, dots, dashes "
                "and underscores"
            )
        self.prefix = f"conduit:{{{namespace}}}:"

    def name(self, key: str, of: str = "") -> str:
        """The full name of a key or channel; `of` is the job, lane, worker or client it is of."""
        known = PREFIXES.get(key) or CHANNELS.get(key) or (key if key in FIXED else None)
        if known is None:
            raise KeyError(key)
        return self.prefix + known + of


def is_of_a_job(name: str) -> bool:
    """Whether a key holds what belongs to one job alone."""
    _, _, own = name.partition("}:")
    return own.startswith(tuple(PREFIXES[key] for key in _OF_A_JOB))


def lua_names(used: set[str]) -> str:
    """Those of the names that a script uses, as Lua: `P` is the prefix, `K` the table of names."""
    names = {key: key for key in FIXED} | PREFIXES | CHANNELS
    fields = ", ".join(f"{key} = P .. '{names[key]}'" for key in sorted(used))
    return f"local P = KEYS[1]\nlocal K = {{ {fields} }}\n"


def lua_types(used: set[str]) -> str:
    """The types of those of the names that there is one key of, as a table of Lua."""
    fields = ", ".join(f"{key} = '{FIXED[key]}'" for key in sorted(used & FIXED.keys()))
    return f"local T = {{ {fields} }}\n"
