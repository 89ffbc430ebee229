"""What a caller should hear of an error out of Redis."""

from __future__ import annotations

from redis import exceptions as redis_errors

from conduit.core.errors import (
    QueueAccessError,
    QueueCorruptError,
    QueueError,
    QueueUnavailableError,
)

_PASSING = {
    "OOM": "is out of memory, and nothing was written: raise maxmemory, or let workers drain it",
    "READONLY": "is a read-only replica now; the address of the master is looked up again",
    "LOADING": "is still loading its data",
    "MASTERDOWN": "is a replica without its master",
    "CLUSTERDOWN": "belongs to a cluster that is down; some node has to come back",
    "TRYAGAIN": "is moving this namespace to another node",
    "MOVED": "no longer holds this namespace; the node that does is looked up again",
    "ASK": "is moving this namespace to another node",
    "BUSY": "is busy with a script that doesn't end",
    "MISCONF": "can't save to its disk and refuses writes",
    "NOREPLICAS": "has too few replicas to take writes",
    "UNBLOCKED": "broke off a blocking read",
    "max number of clients": "takes no more connections: raise maxclients",
}
"""Errors that pass, by a word in them (before Redis 7, scripts wrap the code in a sentence)."""

_REFUSED = {
    "NOPERM": "allows this user too little",
    "NOAUTH": "wants a password",
    "WRONGPASS": "doesn't accept this user and password",
    "invalid password": "doesn't accept this password",
    "invalid username-password": "doesn't accept this user and password",
    "without any password configured": "has no password set, and was given one",
}


def translate(error: BaseException, address: str) -> BaseException:
    """An error of Redis as one of the queue's; others pass through."""
    text = str(error) or type(error).__name__
    if isinstance(error, redis_errors.RedisError):
        for word, meaning in _REFUSED.items():
            if word in text:
                return QueueAccessError(
                    f"{address} {meaning} ({text}): check the URL, and with ACLs the user's rights "
                    "to the keys and channels conduit:*"
                )
    if isinstance(error, redis_errors.BusyLoadingError):
        return QueueUnavailableError(f"{address} {_PASSING['LOADING']}")
    if isinstance(error, redis_errors.TimeoutError | TimeoutError):
        return QueueUnavailableError(f"{address} doesn't answer in time")
    if isinstance(error, redis_errors.ConnectionError | OSError):
        return QueueUnavailableError(f"{address} can't be reached: {text}")
    if not isinstance(error, redis_errors.RedisError):
        return error
    for word, meaning in _PASSING.items():
        if word in text:
            return QueueUnavailableError(f"{address} {meaning} ({text})")
    if "WRONGTYPE" in text:
        return QueueCorruptError(
            f"{address} holds something that isn't Conduit's under Conduit's names ({text}): "
            "choose another namespace, or remove those keys"
        )
    if "unknown command" in text:
        return QueueAccessError(f"{address} lacks a command that Conduit needs ({text})")
    return QueueError(f"{address}: {text}")


def wants_another_node(error: BaseException) -> bool:
    """Whether the address has to be looked up again: a failover, or a slot that moved."""
    text = str(error)
    return any(word in text for word in ("READONLY", "MOVED", "CLUSTERDOWN", "MASTERDOWN", "ASK "))
