"""Nobody works on for a run that is no more."""

import os
import subprocess
import sys
import time

import psutil

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
