"""A wide bound for what putting requests together is worth; the figures: tests/benchmarks."""

from benchmarks.serving import bare, export_lenet, load, packed, pictures

from dlnotes import serving
from dlnotes.serving.trials import start_naive

CLIENTS = 8  # each of the naive service's answers takes long


def test_it_answers_many_times_as_often_as_the_naive_service(tmp_path):
    bundle, bodies = export_lenet(tmp_path / "lenet"), pictures(16)
    starters = (
        lambda: serving.start([bundle]),
        lambda: start_naive(bundle / "model.keras"),
    )
    found = []
    for start in starters:
        with start() as service:
            found.append(load(service.address, service.process.pid, bodies, CLIENTS, 1.5))
    ours, naive = found
    assert ours.rate > 10 * naive.rate
    assert ours.cpu < naive.cpu / 10, "processor time, which other work does not change much"
    assert 1.2 < ours.rows <= CLIENTS


def test_pictures_in_bytes_cost_little_beside_the_engine(tmp_path):
    """By processor time: a service needs its core, and the tests beside this one theirs."""
    bundle = export_lenet(tmp_path / "lenet")
    with serving.start([bundle], threads=1) as service:
        ours = load(service.address, service.process.pid, packed(4, 64), 2, 1.0)
    alone = bare(bundle, rows=64, threads=1, seconds=0.5)
    assert ours.rows == 64
    assert ours.cpu < 4 * alone.cpu, "in JSON's lists it is six times the engine"
