"""Faults of our own processes: killed, frozen, asked to end, and joined by a newer version."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Sequence
from contextlib import suppress

from tests.faults.lab.faults import Fault, Harm, one_of, struck_now
from tests.faults.lab.journal import Line, What
from tests.faults.lab.service import LEASE_MS
from tests.faults.lab.system import Process, System
from tests.faults.lab.visitor import VISIT
from tests.servers.process import until


class _Signal(Fault):
    number = signal.SIGKILL

    def victims(self, system: System) -> Sequence[Process]:
        """Who may be struck."""
        raise NotImplementedError

    def strike(self, system: System, chance: random.Random) -> Harm | None:
        """See `Fault`."""
        victim = one_of(self.victims(system), chance)
        if victim is None:
            return None
        struck = struck_now(self.name, victim.name, victim.pid)
        victim.send(self.number)
        return Harm(struck)


class KillWorker(_Signal):
    """kill -9."""

    name = "worker-kill"

    def victims(self, system: System) -> Sequence[Process]:
        """See `_Signal`."""
        return system.busy_workers()


class EndWorker(KillWorker):
    """SIGTERM in the midst of work."""

    name = "worker-term"
    number = signal.SIGTERM


class HangUpWorker(EndWorker):
    """SIGHUP, as from a terminal that is closed."""

    name = "worker-hangup"
    number = signal.SIGHUP


class Visit(Fault):
    """A newer version of the schedules runs beside the others for a while, as a canary does, and
    with it somebody whose schedules nobody else has."""

    name = "visit"
    who = "guest"
    lasts = (1.0, 2.0)

    def strike(self, system: System, chance: random.Random) -> Harm | None:
        """See `Fault`."""
        guest = system.guest
        if guest.running:
            return None
        guest.start()
        struck, pid = struck_now(self.name, guest.name, guest.pid), guest.pid
        return Harm(
            struck,
            lambda: guest.send(signal.SIGTERM),
            lambda: any(_is_of_a_visit(line, pid) for line in system.journal.lines()),
            harms_by_telling=True,
        )


def _is_of_a_visit(line: Line, pid: int) -> bool:
    return line.what is What.BEGIN and line.pid == pid and line.job_id.startswith(f"cron:{VISIT}:")


class KillServer(_Signal):
    """kill -9."""

    name = "server-kill"

    def victims(self, system: System) -> Sequence[Process]:
        """See `_Signal`."""
        return system.servers


class KillSubmitter(_Signal):
    """kill -9."""

    name = "submitter-kill"

    def victims(self, system: System) -> Sequence[Process]:
        """See `_Signal`."""
        return system.submitters


class KillMember(Fault):
    """kill -9 of one of those that fork, or of one that was forked."""

    name = "member-kill"

    def strike(self, system: System, chance: random.Random) -> Harm | None:
        """See `Fault`."""
        there = system.members
        if not there:
            return None
        pid = chance.choice(there)
        struck = struck_now(self.name, "a member of a family", pid)
        for process in system.forkers:
            if process.running and process.pid == pid:
                process.send(signal.SIGKILL)
                return Harm(struck)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        return Harm(struck)


class FreezeWorker(Fault):
    """Stop a worker until others run what it had, which takes longer than its leases last."""

    name = "worker-freeze"
    lasts = (1.2 * LEASE_MS / 1000, 2.0 * LEASE_MS / 1000)

    def strike(self, system: System, chance: random.Random) -> Harm | None:
        """See `Fault`."""
        victim = one_of(system.busy_workers(), chance)
        if victim is None:
            return None
        pid = victim.pid
        victim.freeze()
        while system.queue.is_held_by(pid):  # in the midst of a commit it would stop all others
            victim.send(signal.SIGCONT)
            until(lambda: not system.queue.is_held_by(pid), f"{victim.name} has committed")
            victim.freeze()
        return Harm(
            struck_now(self.name, victim.name, pid),
            lambda: victim.send(signal.SIGCONT),
            lambda: _has_successor(system.journal.lines(), pid),
        )


def _has_successor(lines: Sequence[Line], pid: int) -> bool:
    """Whether a job that a process began has begun elsewhere since."""
    held: dict[str, int] = {}
    for line in lines:
        if line.what is not What.BEGIN:
            continue
        if line.pid == pid:
            held[line.job_id] = line.fence
        elif line.fence > held.get(line.job_id, line.fence):
            return True
    return False
