"""How many jobs a worker fetches ahead of need, by how long its jobs take."""

from __future__ import annotations

SHORT_JOB_S = 0.02
"""Jobs that take less than this are worth fetching ahead; and how much work to have in stock."""
MAX_PREFETCH = 500
STALL_S = 0.1
"""After so long without a free slot, what was fetched ahead is handed back for others to run."""
STALLED_MEAN_S = 10 * SHORT_JOB_S
WEIGHT = 0.1


class Pace:
    """The moving average of how long jobs run. `prefetch` given, it is that and nothing else."""

    def __init__(self, concurrency: int, prefetch: int | None) -> None:
        self._concurrency = concurrency
        self._prefetch = prefetch
        self._mean_s = 2 * SHORT_JOB_S

    @property
    def adapts(self) -> bool:
        """Whether nobody has said how many jobs to fetch ahead."""
        return self._prefetch is None

    @property
    def ahead(self) -> int:
        """How many jobs to fetch beyond those that can run: about 20 ms worth of work."""
        if self._prefetch is not None:
            return self._prefetch
        if self._mean_s >= SHORT_JOB_S:
            return 0
        stock = self._concurrency * SHORT_JOB_S
        return MAX_PREFETCH if stock > MAX_PREFETCH * self._mean_s else int(stock / self._mean_s)

    def ran(self, seconds: float) -> None:
        """Take in how long a job ran."""
        self._mean_s += WEIGHT * (seconds - self._mean_s)

    def stalled(self) -> None:
        """Fetch nothing ahead until jobs have been short again for a while."""
        self._mean_s = max(self._mean_s, STALLED_MEAN_S)
