"""`conduit run --watch`: a run that starts anew whenever its code changes."""

from __future__ import annotations

import asyncio
import importlib.util
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path

# One of awatch's parameters has a type of trio's, which needn't be installed.
from watchfiles import Change, PythonFilter, awatch  # pyright: ignore[reportUnknownVariableType]

from conduit.cli.children import KILL_S, Child
from conduit.cli.logs import announce, configure_logging
from conduit.cli.plan import RunPlan, ServerPlan
from conduit.cli.problems import EXIT_INTERRUPTED, UsageError
from conduit.core.errors import ServiceImportError
from conduit.engine.process.exits import Ending
from conduit.engine.process.signals import signals_to

Changes = set[tuple[Change, str]]


async def watch_and_run(plan: RunPlan, others: Sequence[Path] = ()) -> int:
    """Run the plan in a child; a change of a Python file beside the services replaces it.

    `others` are folders that are watched as well.
    """
    if plan.server is not None:
        _try_port(plan.server)
    folders = list(dict.fromkeys([*(watched_folder(ref) for ref in plan.services), *others]))
    configure_logging(plan.log_format)
    shown = ", ".join(str(folder) for folder in folders)
    announce(plan, f"watching {shown} for changes of Python files")
    watcher = _Watcher(plan)
    changes = awatch(*folders, watch_filter=PythonFilter(), stop_event=watcher.stopping)
    ending = Ending()
    with signals_to(watcher.on_signal, on_dump=watcher.dump, until_exit=ending.exit_now):
        await watcher.run(changes)
        ending.code = watcher.exit_code
    return watcher.exit_code


def _try_port(server: ServerPlan) -> None:
    """Raise `ConfigurationError` where the port is in use: no change of a file would free it."""
    with suppress(ImportError):  # the child says what isn't installed
        from conduit.http_server import listen

        listen("the server", server.host, server.port).close()


class _Watcher:
    def __init__(self, plan: RunPlan) -> None:
        self._plan = plan
        self._child: Child | None = None
        self._signal: int | None = None
        self.stopping = asyncio.Event()
        self.exit_code = 0

    def on_signal(self, number: int) -> None:
        self._signal = self._signal or number
        self.exit_code = EXIT_INTERRUPTED if self._signal == signal.SIGINT else 0
        if self._child is not None:
            self._send_stop(self._child, number)
        self.stopping.set()

    def dump(self) -> None:
        """Have the child show its stacks."""
        if self._child is not None:
            self._child.dump()

    def _send_stop(self, child: Child, number: int) -> None:
        child.send(number)
        asyncio.get_running_loop().call_later(child.patience + KILL_S, child.send, signal.SIGKILL)

    async def run(self, changes: AsyncIterator[Changes]) -> None:
        change = asyncio.ensure_future(_next(changes))
        first = True
        while not self.stopping.is_set():
            child = self._child = await Child.start(self._plan)
            if self._signal is not None:  # it came while the child was being started
                self._send_stop(child, self._signal)
            end = asyncio.ensure_future(child.wait())
            await asyncio.wait({end, change}, return_when=asyncio.FIRST_COMPLETED)
            if end.done() and not self.stopping.is_set():
                if first and child.exit_code == UsageError.exit_code:
                    self.stopping.set()
                    self.exit_code = child.exit_code
                    break
                announce(self._plan, f"the service {child.end}; waiting for a change")
            found = await change
            first = False
            if found:
                announce(self._plan, f"changed: {_names(found)}; starting anew")
                self._send_stop(child, signal.SIGTERM)
                change = asyncio.ensure_future(_next(changes))
            await end
        await change


async def _next(changes: AsyncIterator[Changes]) -> Changes:
    """The next batch of changes; empty when the watch has been stopped."""
    return await anext(changes, set[tuple[Change, str]]())


def _names(changes: Changes) -> str:
    names = sorted({Path(path).name for _, path in changes})
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def watched_folder(ref: str) -> Path:
    """The folder whose Python files make up a service; for a package, that of the whole package.

    Raises `ServiceImportError` where there is nothing to watch.
    """
    for path in (Path(ref), Path(f"{ref}.py")):
        if path.is_file():
            return path.parent
    top = ref.partition(".")[0]
    if Path(top).is_dir():
        return Path(top)
    if top.isidentifier() and Path(f"{top}.py").is_file():
        return Path()
    spec = importlib.util.find_spec(top) if top.isidentifier() else None
    if spec is None or spec.origin is None:
        raise ServiceImportError(f"there is no file and no module {ref} to watch")
    return Path(spec.origin).parent
