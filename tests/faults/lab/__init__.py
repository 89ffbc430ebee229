"""The fault laboratory: real processes under load and under fire, and a checker that trusts nobody.

    workload ──▶ submitters ──▶ queue ──▶ workers ──▶ effects
        │             │           │           │          │
        └── seed ──┐  └──────── journal ◀─────┘          │
                   ▼                   ▲─────────────────┘
    nemesis ── faults ──▶ all of them

    journal + queue + event stream + history + HTTP ──▶ evidence ──▶ checker ──▶ verdict

One run is a scenario, a pair of stores and a seed: `python -m tests.faults.lab --help`, or
`make faults SEED=n`. A seed draws the same jobs and the same faults each time; when a fault meets
which job is up to the machine.

* `journal.py`: what happened, written down outside of the system, by whoever did it
* `service.py`: the tasks, `impolite.py`: those that think of themselves alone, `clockwork.py` and
  `visitor.py`: the schedules
* `workload.py`: which tasks are submitted, `submitter.py`: who does it, `forker.py`: who forks
* `operator.py`: who cancels, retries and deletes over HTTP, `listener.py`: who listens there
* `stores.py`: the queues and histories to run on, `system.py`: the processes
* `process_faults.py`, `network_faults.py`, `store_faults.py`: the faults, `nemesis.py`: when they
  strike
* `evidence.py`: what a run left behind, `case.py`: the same job by job, `checker.py`,
  `front_door.py`, `manners.py` and `ticks.py`: what must hold of it
* `scenarios.py`: what is run, `run.py`: one run from its start to its verdict, `results.py`: the
  verdicts kept
"""
