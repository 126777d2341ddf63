import matplotlib
import pytest


@pytest.fixture(autouse=True)
def _no_window_and_no_leftover_figures():
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    yield
    plt.close("all")
