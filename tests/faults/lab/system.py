"""The system under test: workers, servers and submitters, each a process of its own.

What dies is started again, as a process manager would. Only what is started here is ever ended.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import httpx
from msgspec import Struct

import conduit
from tests.faults.lab import (
    clock,
    clockwork,
    forker,
    impolite,
    journal,
    operator,
    service,
    submitter,
    visitor,
    workload,
)
from tests.faults.lab.clock import Clock
from tests.faults.lab.journal import What
from tests.faults.lab.stores import HistoryStore, QueueStore
from tests.servers.process import ServerProcess, free_port, until

_OTHERS = 2
"""So many workers are left alone at any time."""
_STARTING_S = 120.0
"""For so long servers may take to answer at first, on a machine that has much else to do."""
WORN_AFTER = 40
"""So many jobs have the processes of one worker, before they are replaced."""
_SERVICES = tuple(each.__name__ for each in (service, impolite, clockwork))
_ROOTS = (Path(__file__).parents[3], Path(conduit.__file__).parents[1])


class Exit(Struct, frozen=True):
    """How a process ended: `code` as `Popen` has it; `asked`, the signal that it was sent.

    `born`: when it was started. `lived_ms`: from there to the first signal that asked it to end.
    `took_ms`: from that to its end, as far as it wasn't frozen.
    """

    name: str
    pid: int
    at: int
    code: int
    asked: int | None
    born: int = 0
    lived_ms: int = 60_000
    took_ms: int = 0


class Process(ServerProcess):
    """A process of the system, with all that its lives came to."""

    def __init__(
        self,
        name: str,
        folder: Path,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        can_be_set: bool = False,
    ) -> None:
        """`command`: a module and its arguments. `can_be_set`: whether its clock can be."""
        self.clock = Clock(folder / f"{name}.clock") if can_be_set else None
        wrapped = [clock.__name__, str(self.clock.path)] if self.clock else []
        super().__init__(
            name,
            folder,
            [sys.executable, "-m", *wrapped, *command],
            environment=os.environ | dict(environment),
        )
        self.exits: list[Exit] = []
        self.frozen = False
        self._pid = self._born = 0
        self._asked: int | None = None
        self._begun = self._lived_s = self._asked_at = self._frozen_at = 0.0

    def answers(self) -> bool:
        """It isn't waited for: what it does shows elsewhere."""
        return True

    def start(self) -> None:
        """Start it, as what was never asked to end."""
        super().start()
        self._pid, self._asked, self.frozen = self.pid, None, False
        self._born = time.time_ns() // 1_000_000
        self._begun, self._lived_s, self._asked_at = time.monotonic(), 0.0, 0.0

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, without waiting for what comes of it."""
        if self._process is None or self._process.poll() is not None:
            return
        if self._asked == signal.SIGKILL:
            return  # it is on its way out, and would seem to have been asked for something else
        now = time.monotonic()
        if number in (signal.SIGTERM, signal.SIGKILL, signal.SIGINT, signal.SIGHUP):
            if self._asked is None:
                self._lived_s, self._asked_at = now - self._begun, now
            self._asked = int(number)
        elif number == signal.SIGSTOP:
            self.frozen, self._frozen_at = True, now
        elif number == signal.SIGCONT and self.frozen:
            self.frozen = False
            self._asked_at += now - self._frozen_at
        self._process.send_signal(number)

    def freeze(self) -> None:
        """Stop it, and wait until all of its threads have stopped: on a busy machine they may run
        on for a while."""
        self.send(signal.SIGSTOP)
        until(lambda: not self.running or _is_stopped(self._pid), f"{self.name} stands still")

    @property
    def is_away(self) -> bool:
        """Whether it has no life just now, and `has_ended` has told of the last one."""
        return self._process is None

    def has_ended(self) -> Exit | None:
        """How its present life ended, told once; None while it goes on, or was told."""
        if self._process is None or self._process.poll() is None:
            return None
        ended = Exit(
            self.name,
            self._pid,
            time.time_ns() // 1_000_000,
            self._process.returncode,
            self._asked,
            born=self._born,
            lived_ms=round(self._lived_s * 1000),
            took_ms=0 if self._asked is None else round((time.monotonic() - self._asked_at) * 1000),
        )
        self._process = None
        self.exits.append(ended)
        return ended


def _is_stopped(pid: int) -> bool:
    try:
        states = [
            path.read_text().rpartition(")")[2].split()[0]
            for path in Path(f"/proc/{pid}/task").glob("*/stat")
        ]
    except OSError:  # one of its threads has just ended
        return False
    return all(state in "TtZX" for state in states)


class System:
    """All processes of a run."""

    def __init__(
        self,
        folder: Path,
        queue: QueueStore,
        history: HistoryStore,
        *,
        workers: int,
        servers: int,
        concurrency: int,
        due_at: float,
        orders: Sequence[Sequence[str]],
        acts: Sequence[Sequence[str]] = (),
        families: Sequence[Sequence[str]] = (),
        wears_out: int = 0,
        sets_clocks: bool = False,
    ) -> None:
        """`orders`: what each submitter is told. `acts`: what each operator is. `families`: what
        each is that forks. `wears_out`: how many workers are replaced after some jobs. `due_at`:
        when those of `workload.DUE` are due. `sets_clocks`: whether clocks can be set."""
        self.ahead_ms = 0
        """How far the queue's clock is ahead of the machine's."""
        self.queue = queue
        self.history = history
        self._journal = folder / "journal"
        self.journal = journal.Reader(self._journal)
        self._enough = folder / "enough"
        environment = {
            "PYTHONPATH": ":".join(map(str, _ROOTS)),
            "CONDUIT_QUEUE_URL": queue.url,
            "CONDUIT_DATABASE_URL": history.url,
            "CONDUIT_DATA_DIR": str(folder / "data"),
            journal.VARIABLE: str(self._journal),
            submitter.ENOUGH: str(self._enough),
            service.CONCURRENCY: str(concurrency),
            workload.DUE: str(due_at),
        }
        self._ports = [free_port() for _ in range(servers)]
        environment[operator.SERVERS] = " ".join(self.server_urls)
        new = partial(Process, folder=folder, environment=environment, can_be_set=sets_clocks)
        self.workers = [
            new(f"worker-{number}", command=["conduit", "run", *_SERVICES])
            for number in range(workers)
        ]
        worn = ["conduit", "run", *_SERVICES, "--max-jobs", str(WORN_AFTER)]
        self.worn = [new(f"worker-worn-{number}", command=worn) for number in range(wears_out)]
        """Workers whose processes are replaced. These aren't ours, and no fault strikes them."""
        newer = environment | {clockwork.RHYTHM: str(clockwork.NEWER_MS)}
        self.guest = Process(
            "guest",
            folder,
            ["conduit", "run", clockwork.__name__, visitor.__name__],
            newer,
            can_be_set=sets_clocks,
        )
        """A worker that comes and goes."""
        self.servers = [
            new(
                f"server-{number}",
                command=["conduit", "server", "start", "--migrate", "--port", str(port)],
            )
            for number, port in enumerate(self._ports)
        ]
        self.submitters = [
            new(f"submitter-{number}", command=[submitter.__name__, *order])
            for number, order in enumerate(orders)
        ]
        self.operators = [
            new(f"operator-{number}", command=[operator.__name__, *told])
            for number, told in enumerate(acts)
        ]
        self.forkers = [
            new(f"forker-{number}", command=[forker.__name__, *told])
            for number, told in enumerate(families)
        ]
        self._is_over: set[str] = set()

    @property
    def server_urls(self) -> list[str]:
        """Where the servers answer."""
        return [f"http://127.0.0.1:{port}" for port in self._ports]

    @property
    def callers(self) -> list[Process]:
        """Those who end by themselves, once they are through."""
        return [*self.submitters, *self.operators, *self.forkers]

    @property
    def members(self) -> list[int]:
        """The pids of all who live in families, be they of ours or of their parents.

        A pid may be somebody else's by now: one of ours knows of the journal.
        """
        born = [line.pid for line in self.journal.lines() if line.what is What.MEMBER]
        return [pid for pid in dict.fromkeys(born) if self._is_ours(pid)]

    def _is_ours(self, pid: int) -> bool:
        named = f"{journal.VARIABLE}={self._journal}".encode()
        try:
            return named in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except OSError:
            return False

    @property
    def processes(self) -> list[Process]:
        """All of them."""
        return [*self.servers, *self.workers, *self.worn, self.guest, *self.callers]

    def start(self, *, servers_first: bool = False) -> None:
        """Start all; the others once the servers answer, where that is wanted."""
        for process in self.servers:
            process.start()
        if servers_first:
            until(self._servers_answer, "the servers answer", patience_s=_STARTING_S)
        for process in (*self.workers, *self.worn, *self.callers):
            process.start()

    def _servers_answer(self) -> bool:
        try:
            return all(httpx.get(f"{url}/ready", timeout=5).is_success for url in self.server_urls)
        except httpx.HTTPError:
            return False

    def busy_workers(self) -> list[Process]:
        """Workers that have jobs to lose, where others are there to take them over.

        Those that have just been started don't count as there until they have run a job.
        """
        running = Counter[int]()
        for line in self.journal.lines():
            if line.what is What.BEGIN:
                running[line.pid] += 1
            elif line.what in (What.END, What.HANGS):
                running[line.pid] -= 1
        there = [
            each
            for each in self.workers
            if each.running and not each.frozen and each.pid in running
        ]
        if len(there) < min(len(self.workers), _OTHERS + 1):
            return []
        return [each for each in there if running[each.pid] > 0]

    def set_clock(self, ahead_ms: int) -> None:
        """Set the queue's clock; where that is the machine's, everybody's."""
        if not self.queue.set_clock(ahead_ms):
            for process in self.processes:
                assert process.clock is not None
                process.clock.ahead_ms = ahead_ms
        self.ahead_ms = ahead_ms

    def look_after(self) -> None:
        """Start again what has ended, save for callers that are through."""
        for process in self.processes:
            ended = process.has_ended()
            if ended is None or process is self.guest:
                continue
            if process in self.callers and ended.code == 0 and not self._goes_on(process):
                self._is_over.add(process.name)
            else:
                process.start()

    def _goes_on(self, process: Process) -> bool:
        """Whether it lives again though it was through: one that forks, until all was met."""
        met = {line.detail for line in self.journal.lines() if line.what is What.MEMBER}
        is_enough = self._enough.exists() and len(met) == len(forker.MANNERS)
        return process in self.forkers and not is_enough

    def see_the_guest_off(self) -> None:
        """Wait until the guest, which was told to end, has."""
        until(lambda: self.guest.is_away, "the guest has left")

    def say_enough(self) -> None:
        """Let callers end once they are through: until then submitters add to their orders."""
        self._enough.touch()

    @property
    def all_is_submitted(self) -> bool:
        """Whether every caller is through, and all that have come of one."""
        return len(self._is_over) == len(self.callers) and not self.members

    def resume_all(self) -> None:
        """Let go on what is frozen."""
        for process in self.processes:
            process.send(signal.SIGCONT)

    def stop(self, processes: Sequence[Process], patience_s: float) -> None:
        """Ask processes to end, and kill those that don't."""
        for process in processes:
            process.send(signal.SIGCONT)
            process.send(signal.SIGTERM)
        deadline = time.monotonic() + patience_s
        while any(each.running for each in processes) and time.monotonic() < deadline:
            time.sleep(0.02)
            for process in processes:
                process.has_ended()

    def end(self) -> None:
        """Kill all that is left."""
        for process in self.processes:
            process.kill()
        left = [int(each.name) for each in Path("/proc").glob("[0-9]*")]
        for pid in filter(self._is_ours, left):  # what jobs and submitters have forked
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def exits(self) -> list[Exit]:
        """How processes ended, in order."""
        return sorted((each for one in self.processes for each in one.exits), key=lambda e: e.at)

    def read(self, path: str) -> str:
        """A page of the first server's, as text. Raises `httpx.HTTPError`."""
        answer = httpx.get(f"{self.server_urls[0]}/{path}", timeout=10)
        answer.raise_for_status()
        return answer.text

    def ask(self, path: str, **parameters: str | int) -> dict[str, object]:
        """What a server answers to a GET. Raises `httpx.HTTPError`."""
        answer = httpx.get(f"{self.server_urls[0]}/api/v1/{path}", params=parameters, timeout=10)
        answer.raise_for_status()
        return answer.json()
