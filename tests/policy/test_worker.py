"""Nobody works on for a run that is no more."""

import os
import subprocess
import sys
import time

import psutil

from mivla_policy.worker import map_in_processes

POOL = """
import os, signal, sys
from concurrent.futures import ProcessPoolExecutor
from mivla_policy.worker import end_with_parent

if __name__ == "__main__":
    pool = ProcessPoolExecutor(1, initializer=end_with_parent)
    print(pool.submit(os.getpid).result(), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_worker_ends_with_a_parent_that_was_killed(tmp_path):
    script = tmp_path / "pool.py"
    script.write_text(POOL)
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=60, env=os.environ
    )
    worker = int(done.stdout)
    deadline = time.monotonic() + 10
    while psutil.pid_exists(worker) and psutil.Process(worker).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "expected the worker to end with its parent"
        time.sleep(0.05)


INTERRUPTED = """
import os, signal, sys, time
from mivla_bringup.interruption import Interrupted, interruptible
from mivla_policy.worker import map_in_processes

def work(number):
    time.sleep(0.05)
    return number

if __name__ == "__main__":
    try:
        with interruptible():
            for number in map_in_processes(work, range(1000), 2):
                if number == 5:
                    os.kill(os.getpid(), signal.SIGTERM)
    except Interrupted as interruption:
        sys.exit(interruption.code)
"""


def test_a_run_that_a_signal_ends_prints_nothing(tmp_path):
    script = tmp_path / "run.py"
    script.write_text(INTERRUPTED)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (143, "")


def test_results_come_in_the_order_of_what_was_asked():
    assert list(map_in_processes(abs, [-3, 2, -1], 2)) == [3, 2, 1]


AFTER_TORCH = """
import torch
from mivla_policy.worker import map_in_processes

def total(size):
    return float((torch.ones(size, size) @ torch.ones(size, size)).sum())

if __name__ == "__main__":
    torch.set_num_threads(2)
    total(400)  # its threads now wait for more
    print(list(map_in_processes(total, [400, 300], 2)))
"""


def test_workers_compute_after_the_parent_s_threads_have_been_at_work(tmp_path):
    """A forked process that waits for threads which only its parent has never ends."""
    script = tmp_path / "after_torch.py"
    script.write_text(AFTER_TORCH)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["[64000000.0,", "27000000.0]"], done.stderr
