"""What runs jobs: worker loop, executors, leases, schedules, sweeper, runner."""
