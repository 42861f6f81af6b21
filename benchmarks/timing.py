"""What the scripts of this folder share."""

import time
from collections.abc import Callable


def milliseconds(function: Callable[[], object], repeat: int) -> float:
    """CPU time of the fastest of several runs, all threads of the process together; one more before is not counted."""
    function()
    times = []
    for _ in range(repeat):
        begin = time.process_time()
        function()
        times.append(time.process_time() - begin)
    return 1000 * min(times)
