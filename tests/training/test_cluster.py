"""TF_CONFIG from outside: reading it, the README's schedulers, two commands that share a job."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest
import yaml
from contracts import check_docstring
from processes_help import LONG, MAIN, gone, wait_until

from dlnotes import training
from dlnotes.course import train
from dlnotes.runtime import quiet_start
from dlnotes.training import Place, read_place

with quiet_start():
    import keras

    from dlnotes.training import Job, distributed, fit_distributed, fit_in_cluster
    from dlnotes.training.workers import free_ports

README = Path(training.__file__).with_name("README.md").read_text(encoding="utf-8")
A, B, C = "10.0.0.5:7000", "10.0.0.6:7000", "c.lenet:7000"


def config(workers, index, kind="worker", **others):
    task = {"type": kind, "index": index}
    return json.dumps({"cluster": {"worker": workers, **others}, "task": task})


@pytest.mark.parametrize("thing", [Place, read_place, fit_in_cluster])
def test_docstrings(thing):
    check_docstring(thing)


@pytest.mark.parametrize(
    ("text", "place", "first"),
    [
        (config([A, B], 0), Place(0, 2), True),
        (config([A, B], 1), Place(1, 2), False),
        (config([A], 0), Place(0, 1), True),
        (config([A, B], 1, chief=[C]), Place(2, 3), False),
        (config([A, B], 0, chief=[C]), Place(1, 3), False),
        (config([A, B], 0, "chief", chief=[C]), Place(0, 3), True),
    ],
)
def test_a_place_is_read(monkeypatch, text, place, first):
    monkeypatch.setenv("TF_CONFIG", text)
    assert read_place() == place
    assert read_place().first is first


def test_without_the_variable_there_is_no_cluster(monkeypatch, tmp_path):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert read_place() is None
    with pytest.raises(ValueError, match="`TF_CONFIG` must be set"):
        fit_in_cluster(Job(keras.Model, np.ones((2, 1)), np.ones(2)), tmp_path)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "must be JSON"),
        ("[1]", "must be JSON"),
        ('{"cluster": {"worker": ["a:1"]}}', "must be JSON"),
        ('{"cluster": {"worker": 3}, "task": {"type": "worker", "index": 0}}', "must be JSON"),
        (config([], 0), "must list workers"),
        (config([A], 0, ps=[B]), "must list workers, and no servers"),
        (config([A], 0, chief=[B, C]), "must list one chief at most"),
        (config(["10.0.0.5"], 0), "as HOST:PORT"),
        (config([A, 7000], 0), "as HOST:PORT"),
        (config([A, A], 0), "each address once"),
        (config([A, B], 2), "a task that is in the cluster"),
        (config([A, B], -1), "a task that is in the cluster"),
        (config([A, B], True), "a task that is in the cluster"),
        (config([A, B], 0, "chief"), "a task that is in the cluster"),
        (config([A, B], 0, ["worker"]), "a task that is in the cluster"),
    ],
)
def test_a_wrong_variable_is_named(monkeypatch, text, match):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(ValueError, match=f"`TF_CONFIG` must .*{match}|`TF_CONFIG` {match}") as info:
        read_place()
    assert "Received: TF_CONFIG=" in str(info.value)


class TwoWorkers:
    """Stands for a strategy in which another worker brings other numbers."""

    num_replicas_in_sync = 2

    def __init__(self, others):
        self.others = others

    def run(self, function):
        return function()

    def reduce(self, operation, value, axis):
        return value + (value if self.others is None else self.others)


def test_workers_with_different_jobs_are_refused():
    job = Job(keras.Model, np.ones((2, 1)), np.ones(2))
    distributed._check_agreement(TwoWorkers(None), job, "", [], 0)
    others = [1.0, 2.0, 3.0, 4.0, 5.0, 25.0]
    with pytest.raises(ValueError, match=r"must train the same job, .*, model=1, epochs=1"):
        distributed._check_agreement(TwoWorkers(others), job, "model=1", [], 5)
    seen = []

    def facts(job, first, outline="model=1"):
        def keep(strategy, numbers):
            seen.append(tuple(numbers))
            return [2 * number for number in numbers]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(distributed, "_sum_of_all", keep)
            distributed._check_agreement(TwoWorkers(None), job, outline, [], first)

    facts(job, 0)
    facts(job, 1)
    facts(Job(keras.Model, np.ones((2, 1)), np.ones(2), epochs=2), 0)
    facts(Job(keras.Model, np.ones((2, 1)), np.zeros(2)), 0)
    facts(job, 0, "model=2")
    assert len(set(seen)) == 5, "the checkpoint, the epochs, the data and the model count"
    own = seen[1]  # of step 1
    with pytest.raises(distributed.OtherCheckpoint, match="Received here: steps done=1"):
        distributed._check_agreement(TwoWorkers([*own[:-2], 0.0, 0.0]), job, "model=1", [], 1)


# === The README's examples ===


def block(language):
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    return found


def tool(folder, name, text):
    path = folder / name
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(0o755)


def said(folder, script, shell="bash", **env):
    """What `dlnotes` gets to know when a script runs with the tools of a folder."""
    tool(folder, "dlnotes", 'printf "%s\\t%s\\n" "$*" "$(echo $TF_CONFIG)"')
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [shell, "-c", script], env={"PATH": path, **env}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return [line.split("\t") for line in done.stdout.splitlines()]


def check_places(monkeypatch, lines, addresses):
    for index, (command, text) in enumerate(lines):
        assert command.startswith("train mnist ")
        assert "--workers" not in command
        monkeypatch.setenv("TF_CONFIG", text)
        assert read_place() == Place(index, len(addresses))
        assert json.loads(text)["cluster"]["worker"] == addresses


@pytest.mark.skipif(os.name != "posix", reason="needs bash")
def test_the_slurm_example_gives_each_task_its_place(monkeypatch, tmp_path):
    tool(tmp_path, "scontrol", "printf 'node1\\nnode2\\nnode3\\n'")
    run = 'shift; for i in 0 1 2; do SLURM_PROCID=$i "$@" || exit 1; done'
    tool(tmp_path, "srun", run)
    ids = {"SLURM_JOB_ID": "123456", "SLURM_JOB_NODELIST": "node[1-3]"}
    lines = said(tmp_path, block("bash"), **ids)
    assert len(lines) == 3
    check_places(monkeypatch, lines, ["node1:23456", "node2:23456", "node3:23456"])


@pytest.mark.skipif(os.name != "posix", reason="needs sh")
def test_the_kubernetes_example_gives_each_pod_its_place(monkeypatch, tmp_path):
    service, job = yaml.safe_load_all(block("yaml"))
    name = job["metadata"]["name"]
    pod = job["spec"]["template"]["spec"]
    assert service["spec"]["selector"] == {"job-name": name}
    assert service["metadata"]["name"] == pod["subdomain"]
    assert job["spec"]["completions"] == job["spec"]["parallelism"]
    (container,) = pod["containers"]
    shell, _, script = container["command"]
    env = {entry["name"]: entry["value"] for entry in container["env"]}
    lines = []
    for index in range(job["spec"]["completions"]):
        lines += said(tmp_path, script, shell, JOB_COMPLETION_INDEX=str(index), **env)
    check_places(monkeypatch, lines, [f"{name}-{i}.{pod['subdomain']}:7000" for i in range(4)])


# === Two commands ===

ITS = {
    "epochs": 20,
    "batch_size": 16,
    "optimizer": "sgd",
    "learning_rate": 0.05,
    "seed": 3,
}


def start(ports, index, directory):
    text = config([f"127.0.0.1:{port}" for port in ports], index)
    options = [f"--{name.replace('_', '-')}={value}" for name, value in ITS.items()]
    command = ["train", "iris", "--directory", str(directory), "--checkpoint-every=5", *options]
    return subprocess.Popen(
        [sys.executable, "-c", MAIN, *command],
        env={**os.environ, "TF_CONFIG": text},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_two_commands_end_where_one_process_does_although_one_was_killed(tmp_path):
    ports = free_ports(2)
    commands = [start(ports, index, tmp_path) for index in range(2)]
    try:
        for line in commands[0].stdout:
            if line.startswith("epoch 2 "):  # after a checkpoint
                break
        (child,) = psutil.Process(commands[1].pid).children()
        commands[1].kill()
        wait_until(lambda: gone(child), "a process is left behind")
        commands.append(start(ports, 1, tmp_path))
        late = commands[2].communicate(timeout=LONG)[0]
        rest = commands[0].stdout.read()
        codes = [command.wait(LONG) for command in commands]
        assert codes == [0, -9, 0], rest + late
        assert rest.count("All workers begin again") in (1, 2), rest
        assert "another worker ended, or cannot be reached" in rest
        assert re.search(r"worker 1 of 2; going on after step \d+", late)
        assert "epoch" not in late, "one of them shows the progress"
        found = re.search(r"Validation: loss ([\d.e-]+), accuracy ([\d.]+)\.", rest)
    finally:
        for command in commands:
            command.kill()
            command.wait()
            command.stdout.close()
    job, (x, y) = train.prepare("iris", "mlp", **ITS)
    alone = fit_distributed(job)
    model = keras.saving.load_model(tmp_path / train.MODEL_NAME)
    for one, right in zip(model.get_weights(), alone.get_weights(), strict=True):
        np.testing.assert_allclose(one, right, atol=1e-4)
    assert float(found[2]) == pytest.approx((model(x).numpy().argmax(1) == y).mean(), abs=1e-3)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {distributed.CHECKPOINT, train.MODEL_NAME, "worker0.log", "worker1.log"}


def test_a_worker_that_comes_when_all_is_done_returns_at_once(monkeypatch, tmp_path):
    x, y = np.ones((4, 3), "float32"), np.zeros(4)
    job = Job(build_line, x, y, "mse", "sgd", batch_size=2)
    model = fit_distributed(job, directory=tmp_path)
    monkeypatch.setenv("TF_CONFIG", config([A, B], 1))
    again = fit_in_cluster(job, tmp_path)
    for one, right in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, right)


def build_line():
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
