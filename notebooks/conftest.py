"""How the lessons are compared with their stored outputs (nbval)."""

import os

import pytest

# HTML carries the real numbers, which differ by processor; pictures differ by font and library.
# What they show is checked inside the lesson, and stands beside them as text that is compared.
NOT_COMPARED = ("text/html", "image/svg+xml")


def pytest_configure():
    os.environ["DLNOTES_HEADLESS"] = "1"  # no live displays
    os.environ.pop("MPLBACKEND", None)  # the kernel's own backend is what shows figures


def pytest_collectstart(collector):
    if hasattr(collector, "skip_compare"):
        collector.skip_compare += NOT_COMPARED


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    result = yield
    cell = getattr(item, "cell", None)
    if cell is not None and cell.execution_count is None:  # nbval compares nothing then
        pytest.fail("this cell was stored without being run: dlnotes run --store", pytrace=False)
    return result
