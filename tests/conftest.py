"""One thread a process, in tests and in what they start.

The tests' models are too small for two threads to share, and threads that wait for each other take the
processor from the control loops, cameras and clocks that other processes keep at the same time.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
