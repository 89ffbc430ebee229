"""The tasks declared in this process, by name: to read results and to reach handlers of events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from conduit.core.codec import Signature

if TYPE_CHECKING:
    from conduit.sdk.task import TaskHandle

# Weak, so that a task lives as long as its worker and no longer.
_handles: WeakValueDictionary[str, TaskHandle[..., Any]] = WeakValueDictionary()


def remember(handle: TaskHandle[..., Any]) -> None:
    """Make a task known; of two with one name, the last."""
    _handles[handle.name] = handle


def find_handle(name: str) -> TaskHandle[..., Any] | None:
    """The task called `name`, if this process has one."""
    return _handles.get(name)


def find_signature(name: str) -> Signature | None:
    """The signature of the task called `name`, if this process has one."""
    handle = _handles.get(name)
    return None if handle is None else handle.__conduit_function__.signature
