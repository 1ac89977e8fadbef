"""Real-time scheduling is taken where it is allowed, and said where it is not."""

import os
import subprocess
import sys
import time

import pytest

from mivla_drivers.control.control_loop import ControlLoop

pytestmark = pytest.mark.realtime

REQUEST = """
import os, resource
from mivla_drivers.control.realtime import request_realtime
resource.setrlimit(resource.RLIMIT_RTPRIO, (0, 0))
if os.getuid() == 0:
    os.setuid(65534)
print(os.sched_getscheduler(0), request_realtime(), os.sched_getscheduler(0))
"""


def allowed():
    child = "import os; os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))"
    return (
        subprocess.run([sys.executable, "-c", child], stderr=subprocess.DEVNULL, check=False).returncode == 0
    )


@pytest.mark.skipif(not allowed(), reason="this user may not schedule in real time (ulimit -r)")
def test_a_control_thread_is_scheduled_in_real_time_and_no_other_one():
    policies = []
    loop = ControlLoop(
        lambda now: policies.append(os.sched_getscheduler(0)), 100.0, policies.append, realtime=True
    )
    loop.start()
    time.sleep(0.1)
    loop.stop()
    assert set(policies) == {os.SCHED_FIFO}
    assert loop.scheduling.startswith("real time")
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


def test_without_permission_the_command_that_gives_it_is_said():
    said = subprocess.run([sys.executable, "-c", REQUEST], capture_output=True, text=True, check=True).stdout
    assert said.startswith("0 ordinary")
    assert "rtprio 50' | sudo tee /etc/security/limits.d/mivla.conf" in said
    assert said.endswith(" 0\n")
