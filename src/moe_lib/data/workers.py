"""Two worker processes for the slow parts of a build.

They are spawned, because a fork of a process with threads may hang.
"""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor


def two_workers() -> ProcessPoolExecutor:
    """A pool of two processes."""
    return ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn"))
