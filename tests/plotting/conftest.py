import matplotlib
import pytest


@pytest.fixture(autouse=True)
def _no_window_and_no_leftover_figures():
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    matplotlib.rcdefaults()  # a setting that leaked from one test must not hide the next leak
    yield
    plt.close("all")
