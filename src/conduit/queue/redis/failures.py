"""What a caller should hear of an error out of Redis."""

from __future__ import annotations

import re
import ssl

from redis import exceptions as redis_errors

from conduit.core.errors import (
    ConduitError,
    ConfigurationError,
    QueueAccessError,
    QueueCorruptError,
    QueueError,
    QueueUnavailableError,
)
from conduit.queue.redis.keys import is_of_a_job

_PASSING = {
    "OOM": "is out of memory, and nothing was written: raise maxmemory, or let workers drain it",
    "READONLY": "is a read-only replica; the address of the master is looked up again",
    "LOADING": "is still loading its data",
    "MASTERDOWN": "is a replica without its master",
    "CLUSTERDOWN": "belongs to a cluster that is down; some node has to come back",
    "TRYAGAIN": "is moving this namespace to another node",
    "MOVED": "no longer holds this namespace; the node that does is looked up again",
    "ASK": "is moving this namespace to another node",
    "BUSY": "is busy with a script that doesn't end",
    "UNKILLABLE": "is busy with a script that doesn't end and has written",
    "DAMAGED": "holds a value that isn't Conduit's under one of Conduit's names, and nothing was "
    "written: remove it",
    "MISCONF": "can't save to its disk and refuses writes",
    "NOREPLICAS": "has too few replicas to take writes",
    "UNBLOCKED": "broke off a blocking read",
}
"""Errors that pass, by their codes."""

_REFUSED = {
    "NOPERM": "allows this user too little",
    "NOAUTH": "wants a password",
    "WRONGPASS": "doesn't accept this user and password",
}
_REFUSED_IN_WORDS = {
    "invalid password": "doesn't accept this password",
    "without any password configured": "has no password set, and was given one",
    "unknown command": "lacks a command that Conduit needs",
}
_ANOTHER_NODE = frozenset({"READONLY", "MOVED", "ASK", "CLUSTERDOWN", "MASTERDOWN"})

# Before Redis 7 the code stands behind what the script's error begins with.
_CODE = re.compile("^([A-Z]{3,}) |: -?([A-Z]{3,}) ")
_DENIED_TO_SCRIPTS = re.compile("can't run this command|can't access|ACL failure")

_FOREIGN = re.compile(r"WRONGTYPE (conduit:.+) is a (\w+)")


CALL_ERRORS = (redis_errors.RedisError, OSError, RuntimeError)
"""What a call can fail with; of the `RuntimeError`s, `translate` knows the one that is uvloop's."""


class AnswerLostError(QueueUnavailableError):
    """A call was sent and its connection lost: it was carried out, or it wasn't."""


class ForeignKeyError(QueueUnavailableError):
    """A script met a key of another type; nobody has found out yet which one it was."""


class AnswerLateError(AnswerLostError):
    """A call was sent and not answered in time: it was carried out, or will be, or not."""


def code_of(error: BaseException) -> str:
    """The code of a server's error, such as OOM; empty for any other error."""
    if not isinstance(error, redis_errors.RedisError):
        return ""
    text = str(error)
    if error.status_code not in (None, "ERR"):  # redis-py has cut it off the text
        return str(error.status_code)
    found = _CODE.search(text)
    code = (found[1] or found[2]) if found else ""
    if code in ("", "ERR") and _DENIED_TO_SCRIPTS.search(text):
        return "NOPERM"
    return code


def translate(error: BaseException, address: str, *, sent: bool = False) -> BaseException:
    """An error of Redis as one of the queue's; others pass through.

    `sent`: the call had been sent when its connection failed.
    """
    if isinstance(error, ConduitError):
        return error
    text = str(error) or type(error).__name__
    if _is_certificate_problem(error):
        return QueueAccessError(
            f"{address} shows a certificate that isn't trusted here ({text}): name the authority "
            "that signed it with ssl_ca_certs"
        )
    if isinstance(error, redis_errors.RedisError):
        told = _told(error, text, address)
        if told is not None:
            return told
    if isinstance(error, redis_errors.TimeoutError | TimeoutError):
        late = AnswerLateError if sent else QueueUnavailableError
        return late(f"{address} doesn't answer in time")
    if isinstance(error, redis_errors.ConnectionError | OSError) or is_of_uvloop(error):
        if sent:
            return AnswerLostError(f"the connection to {address} was lost: {text}")
        return QueueUnavailableError(f"{address} can't be reached: {text}")
    if isinstance(error, redis_errors.RedisError):
        return QueueError(f"{address}: {text}")
    return error


def is_of_uvloop(error: BaseException) -> bool:
    """Whether uvloop says that a connection was closed before something was to be sent by it."""
    return isinstance(error, RuntimeError) and "the handler is closed" in str(error)


def _told(error: redis_errors.RedisError, text: str, address: str) -> QueueError | None:
    """What the server said; None when it said nothing that is known here."""
    code = code_of(error)
    refused = _REFUSED.get(code) or next(
        (meaning for words, meaning in _REFUSED_IN_WORDS.items() if words in text), None
    )
    if refused is not None:
        return QueueAccessError(
            f"{address} {refused} ({text}): check the URL, and with ACLs the user's rights to "
            "commands and to the keys and channels conduit:*"
        )
    if "max number of clients" in text:
        return QueueUnavailableError(f"{address} takes no more connections: raise maxclients")
    if code in _PASSING:
        return QueueUnavailableError(f"{address} {_PASSING[code]} ({text})")
    return _foreign(text, address) if code == "WRONGTYPE" else None


def _foreign(text: str, address: str) -> QueueError:
    """Somebody else's key under one of our names: of a single job, or in the way of all."""
    named = _FOREIGN.search(text)
    if named is None:
        return ForeignKeyError(
            f"{address} holds a key that isn't Conduit's under one of Conduit's names, and nothing "
            "was written: remove it"
        )
    words = f"{address} holds a {named[2]} that isn't Conduit's under {named[1]}, and nothing was "
    if is_of_a_job(named[1]):
        return QueueCorruptError(f"{words}written: remove it, or give the job another id")
    return QueueUnavailableError(f"{words}written: remove it")


def _is_certificate_problem(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False


def wants_another_node(error: BaseException) -> bool:
    """Whether the address has to be looked up again: a failover, or a slot that moved."""
    return code_of(error) in _ANOTHER_NODE


def is_a_cluster(address: str) -> ConfigurationError:
    """Why a URL for one server can't be used for a node of a cluster."""
    return ConfigurationError(
        f"{address} is a node of a cluster, and another node holds this namespace: use "
        "redis+cluster://"
    )
