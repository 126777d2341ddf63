"""What tests of processes share: the command, waiting, and who is still there."""

import time

import psutil

LONG = 120
MAIN = "from dlnotes.cli import main; main()"


def wait_until(found, what="nothing came", seconds=LONG):
    """Wait until a function returns something true."""
    end = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def gone(process):
    """Tell whether a process of psutil has ended, although nobody may have asked how."""
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def family(pid):
    """Return a process and all that it and its children have started."""
    return [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]


def children():
    """Return the processes that this one has started, as a set."""
    return set(psutil.Process().children())
