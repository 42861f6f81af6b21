"""Work of kernels that hold no lock (numba, OpenCV), side by side on as many threads as torch is allowed."""

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import torch


def share_work(work: Callable[[int, int], None], count: int) -> None:
    """Call `work(first, stop)` for parts of 0 … count. `work` must not call this again: it would wait for itself."""
    threads = min(torch.get_num_threads(), count)
    borders = [count * k // threads for k in range(threads + 1)]
    others = [_pool().submit(work, a, b) for a, b in pairwise(borders[1:])]
    work(borders[0], borders[1])
    for other in others:
        other.result()


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(thread_name_prefix="midframe")
