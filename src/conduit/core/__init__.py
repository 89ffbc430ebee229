"""What a job is: model, transitions, events, retry, schedule, codec, errors.

Pure: no I/O, no clock, no randomness. Time and random numbers are passed in.
"""
