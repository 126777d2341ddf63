"""The command `dlnotes tune`; chief and workers themselves: tests/tuning/test_parallel.py."""

import numpy as np
import pytest
from typer.testing import CliRunner

from dlnotes import cli, datasets
from dlnotes.course import tune
from dlnotes.runtime import quiet_start

with quiet_start():
    from dlnotes import tuning
    from dlnotes.tuning.search import METHODS


def invoke(*arguments):
    return CliRunner().invoke(cli.app, ["tune", *arguments], env={"COLUMNS": "200"})


@pytest.fixture
def calls(monkeypatch):
    """Which function searches, and with what."""
    found = {}

    def standing_for(name):
        def call(hypermodel, data, **options):
            found.update(name=name, hypermodel=hypermodel, data=data, **options)
            raise RuntimeError("enough")

        return call

    for name in ("search", "parallel_search", "join_search"):
        monkeypatch.setattr(tuning, name, standing_for(name))
    return found


def test_one_search_from_the_command_to_the_table(tmp_path):
    options = ["--budget", "3", "--epochs", "2", "--objective", "val_accuracy", "--workers", "1"]
    where = ["--directory", str(tmp_path / "t")]
    result = invoke("iris", *options, *where)
    assert result.exit_code == 0, result.output
    table = tuning.trials_table(tmp_path / "t")
    assert table["given_epochs"].tolist() == [2, 1]
    for trial in table["trial"]:
        assert f" {trial} " in result.output
    best = table.sort_values("score", ascending=False).iloc[0]
    assert f"Best val_accuracy: {best['score']:.4g}" in result.output
    assert (tmp_path / "t" / "trials.csv").read_text().count("\n") == 3
    result = invoke("iris", *options, *where)
    assert result.exit_code == 1
    assert "Error: `directory` must be new or empty" in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("arguments", "name", "expected"),
    [
        ([], "parallel_search", {"workers": 2, "resume": False, "seed": 0}),
        (["--workers", "3", "--resume"], "parallel_search", {"workers": 3, "resume": True}),
        (["--workers", "1", "--seed", "5"], "search", {"seed": 5}),
        (["--workers", "0", "--method", "grid"], "search", {"method": "grid"}),
        (
            ["--role", "chief", "--address", "h:1", "--workers", "0"],
            "parallel_search",
            {"workers": 0, "address": "h:1"},
        ),
        (
            ["--role", "worker", "--address", "h:1", "--worker-id", "a"],
            "join_search",
            {"workers": 1, "address": "h:1", "worker_id": "a"},
        ),
    ],
)
def test_options_arrive(calls, tmp_path, arguments, name, expected):
    result = invoke("iris", "--directory", str(tmp_path), *arguments)
    assert (result.exit_code, "Error: enough" in result.output) == (1, True)
    assert calls["name"] == name
    assert calls | expected == calls
    assert calls["directory"] == tmp_path


def test_interruption_says_how_to_go_on(monkeypatch, tmp_path):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(tune, "tune", interrupt)
    result = invoke("iris", "--directory", str(tmp_path))
    assert result.exit_code == 130
    assert "The same with --resume goes on." in result.output


def test_pictures_fit_both_models():
    data = datasets.load_digits()
    hypermodel, (x, _, x_val, _) = tune.prepare("digits", "cnn")
    assert hypermodel.input_shape == (8, 8, 1) == x.shape[1:]
    assert hypermodel.num_classes == 10
    np.testing.assert_allclose(x[..., 0], data.x_train)
    assert (x.min(), x.max()) == (0, 1)
    assert x_val.shape == (270, 8, 8, 1)
    hypermodel, (x, _, _, y_val) = tune.prepare("digits", "mlp")
    assert hypermodel.input_shape == (64,) == x.shape[1:]
    assert y_val is data.y_val or (y_val == data.y_val).all()


def test_columns_are_standardized_by_the_training_part():
    hypermodel, (x, _, x_val, _) = tune.prepare("breast_cancer", "mlp")
    assert hypermodel.num_classes == 1, "two classes: one output"
    np.testing.assert_allclose(x.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(x.std(axis=0), 1, rtol=1e-3)
    assert np.abs(x_val.mean(axis=0)).max() > 0.05


@pytest.mark.parametrize(
    ("dataset", "model", "message"),
    [
        ("iris", "cnn", '`model` must be "mlp" for data that are no pictures'),
        ("nope", "mlp", "`dataset` must be one of"),
        ("iris", "rnn", "`model` must be one of"),
    ],
)
def test_what_does_not_fit_is_refused(dataset, model, message):
    with pytest.raises(ValueError, match=message):
        tune.prepare(dataset, model)


def test_lists_match_the_package():
    assert tune.METHODS == METHODS
    no_tables = {"photos", "co2", "sunspots", "random_walk", "adding", "copy"}
    no_tables |= {"place_names", "reviews", "python_text", "imdb", "number_words"}
    no_classes = {"diabetes"}
    classes = {entry["name"] for entry in datasets.overview()} - no_tables - no_classes
    assert set(tune.LOADERS) == classes
