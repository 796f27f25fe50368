"""The time of a training goes on where the last sitting left it."""

import time

from cmarr.training.progress import Clock


def test_waiting_costs_no_core_and_working_does():
    before = time.process_time()
    clock = Clock(100.0, 50.0)
    time.sleep(0.05)
    assert clock.seconds >= 100.05
    told, used = clock.core_seconds, time.process_time() - before
    assert 50 <= told <= 50 + used  # what this process did meanwhile, and not the time that it slept
    assert clock.seconds - 100 > clock.core_seconds - 50
    until = time.process_time() + 0.05
    while time.process_time() < until:
        pass
    assert clock.core_seconds >= 50.05
