"""One process, two logical devices and two processes, all to the same weights."""

import contextlib
import functools
import json
import os
import pickle
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from contracts import Refusal, check_docstring, check_refusals
from hypothesis import given
from hypothesis import strategies as st
from processes_help import children

from dlnotes.models import build_mlp, build_transformer
from dlnotes.runtime import quiet_start
from dlnotes.training import distributed, workers
from dlnotes.training.distributed import CHECKPOINT, Job, fit_distributed, shard
from dlnotes.training.workers import fit_on_workers

with quiet_start():
    import keras
    import tensorflow as tf

RNG = np.random.default_rng(5)
X = RNG.normal(size=(50, 6)).astype("float32")
Y = (X[:, 0] + X[:, 1] > 0).astype("int64")


class Block(keras.layers.Layer):
    """Batch normalization that only the layer around it knows."""

    def __init__(self, **options):
        super().__init__(**options)
        self.norm = keras.layers.BatchNormalization()

    def call(self, x, training=None):
        return self.norm(x, training=training)


def build_normalized(l2=0.01):
    """A network with all that a share of a batch could spoil: statistics and a penalty."""
    return keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(5, use_bias=False, kernel_regularizer=keras.regularizers.L2(l2)),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
            Block(),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )


def build_active(*more):
    """A network with a penalty that is a mean over the rows."""
    active = keras.layers.Dense(4, activity_regularizer=keras.regularizers.L2(0.1))
    return keras.Sequential([keras.Input((6,)), active, *more, keras.layers.Dense(2, "softmax")])


def build_masked():
    """A network in which padding says where the loss looks: not at the zeros."""
    tokens = keras.Input((4,))
    x = keras.layers.Embedding(7, 5, mask_zero=True)(tokens)
    return keras.Model(tokens, keras.layers.Dense(7, "softmax")(x))


TOKENS = np.where(np.arange(4) < RNG.integers(1, 5, (50, 1)), RNG.integers(1, 7, (50, 4)), 0)
SIZES = {"width": 4, "num_heads": 2, "num_blocks": 1, "hidden_units": 4, "max_length": 4}
TRANSFORMER = {
    "build": functools.partial(build_transformer, 7, 7, **SIZES),
    "x": (TOKENS, TOKENS[:, ::-1]),
    "y": TOKENS,
}
CLIPPED = {"class_name": "SGD", "config": {"learning_rate": 0.1, "global_clipnorm": 0.1}}


def job(**options):
    facts = {"build": functools.partial(build_mlp, (6,), 2, hidden_units=[4]), "x": X, "y": Y}
    return Job(**{**facts, "batch_size": 16, "epochs": 2, "seed": 3, **options})


def difference(one, other):
    pairs = zip(one.get_weights(), other.get_weights(), strict=True)
    return max(np.abs(a - b).max() for a, b in pairs)


@pytest.mark.parametrize(
    "thing",
    [
        Job,
        shard,
        fit_distributed,
        distributed.save_checkpoint,
        distributed.load_checkpoint,
        distributed.load_trained,
        distributed.remove_parts,
        distributed.replica_step,
        distributed.sum_over_replicas,
        distributed.steps_done,
        distributed.end_process,
        fit_on_workers,
        workers.free_ports,
        workers.bound_everywhere,
    ],
)
def test_docstrings(thing):
    check_docstring(thing)


def test_each_row_comes_once_an_epoch_in_another_order():
    it = job(batch_size=16, epochs=2)
    assert (it.steps_per_epoch, it.num_steps) == (4, 8)
    epochs = [np.concatenate([it.rows(4 * e + k) for k in range(4)]) for e in range(2)]
    for rows in epochs:
        assert sorted(rows) == list(range(50))
    assert not np.array_equal(*epochs)
    assert len(it.rows(3)) == 2
    np.testing.assert_array_equal(it.rows(5), job(batch_size=16, epochs=2).rows(5))
    assert not np.array_equal(it.rows(0), job(seed=4).rows(0))


@given(st.integers(0, 40), st.integers(1, 9))
def test_shares_are_a_partition_as_even_as_can_be(num_rows, count):
    rows = np.random.default_rng(0).permutation(num_rows)
    shares = [shard(rows, i, count) for i in range(count)]
    np.testing.assert_array_equal(np.concatenate(shares), rows)
    sizes = [len(share) for share in shares]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(
    ("options", "policy"),
    [
        ({"build": build_normalized}, "float32"),
        ({"build": build_normalized}, "float64"),
        ({"build": build_normalized}, "mixed_float16"),
        ({"build": build_normalized}, "mixed_bfloat16"),
        ({"build": build_masked, "x": TOKENS, "y": TOKENS}, "float32"),
        (TRANSFORMER, "float32"),
    ],
    ids=["float32", "float64", "mixed_float16", "mixed_bfloat16", "masked", "two inputs"],
)
def test_in_one_process_it_does_what_keras_does_with_the_same_batches(options, policy, tmp_path):
    before = keras.config.floatx(), keras.config.dtype_policy()
    try:
        keras.config.set_floatx("float64" if policy == "float64" else "float32")
        keras.config.set_dtype_policy(policy)
        it = job(optimizer="sgd", epochs=1, **options)
        ours = fit_distributed(it, directory=tmp_path)
        keras.utils.set_random_seed(it.seed)
        theirs = it.build()
        theirs.compile("sgd", it.loss)
        for step in range(it.num_steps):
            rows = it.rows(step)
            x = tuple(a[rows] for a in it.x) if isinstance(it.x, tuple) else it.x[rows]
            theirs.train_on_batch(x, it.y[rows])
        if policy == "mixed_float16":
            optimizers = theirs.optimizer, distributed._build(it)[1]
            assert {type(one) for one in optimizers} == {keras.optimizers.LossScaleOptimizer}
        again = distributed.load_trained(tmp_path, it)
    finally:
        keras.config.set_floatx(before[0])
        keras.config.set_dtype_policy(before[1])
    assert difference(ours, theirs) < (1e-12 if policy == "float64" else 1e-6)
    assert difference(ours, again) == 0


def test_weights_of_sixteen_bits_are_kept(tmp_path):
    before = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy("bfloat16")
        ours = fit_distributed(job(epochs=1), directory=tmp_path)
        again = distributed.load_trained(tmp_path, job(epochs=1))
        for one, other in zip(ours.variables, again.variables, strict=True):
            assert keras.backend.standardize_dtype(other.dtype) == "bfloat16"
            assert np.array_equal(one.numpy(), other.numpy())
    finally:
        keras.config.set_dtype_policy(before)


UNEVEN = {"batch_size": 7, "x": X[:22], "y": Y[:22]}  # the last batch has one row, for one device
SHARED = {
    "statistics, a penalty, clipping": {
        "build": build_normalized,
        "optimizer": CLIPPED,
        **UNEVEN,
    },
    "activity": {"build": build_active, **UNEVEN},
    "a mask": {"build": build_masked, "x": TOKENS[:20], "y": TOKENS[:20], "batch_size": 7},
}
DEVICES = """
import sys
from dlnotes.runtime import quiet_start
with quiet_start():
    import numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import test_distributed as tests
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
assert strategy.num_replicas_in_sync == 2
for name, options in tests.SHARED.items():
    losses = []
    model = tests.fit_distributed(
        tests.job(**options), strategy, on_step=lambda _, loss: losses.append(loss)
    )
    np.savez(f"{sys.argv[1]}/{name}.npz", losses, *model.get_weights())
keras = tests.keras
keras.config.set_dtype_policy("mixed_float16")
tests.fit_distributed(tests.job(epochs=1, batch_size=50), strategy)
keras.config.set_dtype_policy("float32")
normalized = tests.functools.partial(tests.build_active, keras.layers.BatchNormalization())
gathers = {"class_name": "SGD", "config": {"gradient_accumulation_steps": 2}}
for options in ({"build": normalized}, {"optimizer": gathers}):
    try:
        tests.fit_distributed(tests.job(**options), strategy)
    except ValueError as error:
        print(error)
"""


def run_python(code, *arguments):
    path = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1]), *sys.path])
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
    )


def test_two_devices_end_where_one_does(tmp_path):
    done = run_python(DEVICES, tmp_path)
    assert done.returncode == 0, done.stderr
    refused = done.stdout.splitlines()
    assert refused[0].startswith("`job.build` must build a model without activity regularizers")
    assert refused[1].startswith("`optimizer` must not accumulate gradients on several")
    assert len(job(**UNEVEN).rows(3)) == 1
    for name, options in SHARED.items():
        losses = []
        alone = fit_distributed(job(**options), on_step=lambda _, x, to=losses: to.append(x))
        with np.load(tmp_path / f"{name}.npz") as file:
            found = [file[key] for key in file.files]
        for one, right in zip(found, [losses, *alone.get_weights()], strict=True):
            np.testing.assert_allclose(one, right, atol=1e-5, err_msg=name)


def test_a_job_that_was_interrupted_ends_where_it_would_have(tmp_path):
    whole, seen = fit_distributed(job()), []

    def stop(step, loss):
        if step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_distributed(job(), directory=tmp_path, checkpoint_every=2, on_step=stop)
    steps = []
    again = fit_distributed(
        job(), directory=tmp_path, on_step=lambda step, loss: steps.append((step, loss))
    )
    assert [step for step, _ in steps] == [5, 6, 7, 8], "it went on after the checkpoint of step 4"
    assert all(np.isfinite(loss) for _, loss in steps)
    assert difference(whole, again) == 0
    assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT]
    over = fit_distributed(job(), directory=tmp_path, on_step=lambda *_: seen.append(1))
    assert not seen
    assert difference(whole, over) == 0


def test_a_checkpoint_of_another_job_or_model_is_refused(tmp_path):
    fit_distributed(job(), directory=tmp_path)
    with pytest.raises(ValueError, match="of this job: .*seed=4.*seed=3"):
        fit_distributed(job(seed=4), directory=tmp_path)
    with pytest.raises(ValueError, match=r"of this job: model=\w+. Received: model=\w+$"):
        fit_distributed(job(build=build_normalized), directory=tmp_path)
    other = functools.partial(build_mlp, (6,), 2, hidden_units=[4], activation="tanh")
    with pytest.raises(ValueError, match="of this job: model="):
        fit_distributed(job(build=other, epochs=3), directory=tmp_path)
    with pytest.raises(ValueError, match="of this job: model="):
        distributed.load_trained(tmp_path, job(build=other))
    model, optimizer, outline = distributed._build(job())
    state = [*model.variables, *optimizer.variables][1:]
    with pytest.raises(ValueError, match=r"of this job: shapes .* Received: shapes"):
        distributed.load_checkpoint(tmp_path / CHECKPOINT, state, job(), outline)


class Odd(keras.Model):
    """A model that Keras cannot write down."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def call(self, x):
        return self.function(x)


def test_a_model_that_keras_cannot_write_down_has_an_outline_too():
    outlines = {distributed._outline(Odd(lambda x: x)) for _ in range(2)}
    assert len(outlines) == 1
    assert outlines != {distributed._outline(build_normalized())}


def test_a_checkpoint_of_other_data_or_another_optimizer_is_refused(tmp_path):
    fit_distributed(job(), directory=tmp_path)
    for other, match in (
        ({"x": X + 1}, "of this job: data=.*Received: data="),
        ({"y": 1 - Y}, "of this job: data="),
        ({"optimizer": "sgd"}, "of this job: optimizer=sgd. Received: optimizer=adam"),
        ({"loss": keras.losses.SparseCategoricalCrossentropy()}, "of this job: loss=SparseCat"),
        ({"epochs": 1}, "`epochs` must be enough for the 8 steps .*num_steps=4"),
    ):
        with pytest.raises(ValueError, match=match):
            fit_distributed(job(**other), directory=tmp_path)
        with pytest.raises(ValueError, match=match):
            distributed.steps_done(tmp_path, job(**other))
    assert distributed.steps_done(tmp_path, job(epochs=3)) == 8, "more epochs go on"


def test_one_job_has_the_same_facts_in_every_process():
    rate = keras.optimizers.serialize(keras.optimizers.SGD(0.1))
    again = keras.optimizers.serialize(keras.optimizers.SGD(0.1))
    again["config"]["name"] = "sgd_2"
    assert job(optimizer=rate).facts == job(optimizer=again).facts
    smooth = keras.losses.CategoricalCrossentropy
    assert job(loss=smooth()).facts == job(loss=smooth()).facts
    assert job(loss=smooth()).facts != job(loss=smooth(label_smoothing=0.1)).facts


def test_the_trained_model_is_in_the_directory(tmp_path):
    trained = fit_distributed(job(), directory=tmp_path)
    assert distributed.steps_done(tmp_path, job()) == 8
    assert difference(distributed.load_trained(tmp_path, job()), trained) == 0
    assert distributed.steps_done(tmp_path / "new", job()) == 0


def test_an_optimizers_configuration_is_the_same_before_and_after_a_training(tmp_path):
    rate = keras.optimizers.serialize(keras.optimizers.SGD(0.1))
    it, before = job(optimizer=rate), json.dumps(rate)
    known = it.facts
    fit_distributed(pickle.loads(pickle.dumps(job(optimizer=rate))), directory=tmp_path)
    distributed.load_trained(tmp_path, it)
    assert json.dumps(rate) == before
    keras.optimizers.get(rate)
    assert rate["class_name"] == "sgd", "Keras has written into it"
    assert job(optimizer=rate).facts == known


def test_one_output_is_compared_with_its_own_target():
    loss = distributed._loss_of_rows("binary_crossentropy")
    outputs = np.array([[0.9], [0.5], [0.2]], "float32")
    right = -np.log([0.9, 0.5, 0.8]).sum() / 5  # three rows of a batch of five
    for y in (np.array([1, 1, 0]), np.array([[1.0], [1.0], [0.0]])):
        arrays = map(keras.ops.convert_to_tensor, (y, outputs, np.float32(5)))
        np.testing.assert_allclose(loss(*arrays), right, rtol=1e-5)


def test_what_a_killed_writer_left_is_removed(tmp_path):
    part = tmp_path / f".{CHECKPOINT}.77.part"
    part.write_bytes(b"half")
    fit_distributed(job(epochs=1), directory=tmp_path, writes=False)
    assert part.exists(), "it may belong to the worker who writes"
    fit_distributed(job(epochs=1), directory=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT]


def test_a_process_ends_after_the_checkpoint_that_it_writes(tmp_path):
    code = f"""
import threading, time
import test_distributed as tests
def slow(*_, savez=tests.np.savez, **arrays):
    threading.Thread(target=tests.distributed.end_process, args=(3,)).start()
    time.sleep(0.5)
    savez(*_, **arrays)
tests.np.savez = slow
path = tests.Path({str(tmp_path)!r}) / tests.CHECKPOINT
tests.distributed.save_checkpoint(path, [], tests.job(epochs=1), "", 4)
"""
    assert run_python(code).returncode == 3
    assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT]
    assert distributed.steps_done(tmp_path, job(epochs=1)) == 4


def test_a_damaged_checkpoint_is_named_and_stays(tmp_path):
    fit_distributed(job(), directory=tmp_path)
    path = tmp_path / CHECKPOINT
    for content in (path.read_bytes()[:-50], b"", b"no archive"):
        path.write_bytes(content)
        with pytest.raises(RuntimeError, match="must be a checkpoint that can be read"):
            fit_distributed(job(), directory=tmp_path)
        assert path.read_bytes() == content


def test_a_full_disk_leaves_the_checkpoint_as_it_was(tmp_path, monkeypatch):
    fit_distributed(job(epochs=1), directory=tmp_path)
    before = (tmp_path / CHECKPOINT).read_bytes()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="No space"):
        fit_distributed(job(epochs=2), directory=tmp_path, checkpoint_every=1)
    assert (tmp_path / CHECKPOINT).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT]


def test_errors(tmp_path):
    def refusal(error, match, *args, **kwargs):
        return Refusal(args, kwargs, error, match)

    good = {"build": build_normalized, "x": X, "y": Y}
    check_refusals(
        Job,
        [
            refusal(TypeError, "`build` must be callable", **{**good, "build": 3}),
            refusal(ValueError, "`x` and `y` must have the same", **{**good, "y": Y[:-1]}),
            refusal(ValueError, "`x` and `y` must have the same", **{**good, "x": (X, X[1:])}),
            refusal(ValueError, "`x` must be one array or several", **{**good, "x": ()}),
            refusal(TypeError, r"`x\[1\]` must be", **{**good, "x": (X, None)}),
            refusal(ValueError, "`batch_size` must be", **good, batch_size=0),
            refusal(ValueError, "`seed` must be", **good, seed=-1),
        ],
    )
    check_refusals(shard, [refusal(ValueError, "`index` must be", np.arange(3), 2, 2)])
    missing = refusal(ValueError, "`directory` must be given", job(), checkpoint_every=3)
    check_refusals(fit_distributed, [missing])
    given = job(), tmp_path / "new"
    check_refusals(
        fit_on_workers,
        [
            refusal(ValueError, "`workers` must be", *given, workers=0),
            refusal(ValueError, "`checkpoint_every` must be", *given, checkpoint_every=0),
            refusal(ValueError, "`patience` must be", *given, patience=0.0),
            refusal(TypeError, "`max_restarts` must be", *given, max_restarts=0.5),
        ],
    )
    assert not (tmp_path / "new").exists()


# === Processes ===


def build_that_tells():
    """A model that says, in a worker, who is there at the end and which weights each has."""
    model = build_normalized()
    folder = Path(os.environ.get("TOLD", "."))
    if "TF_CONFIG" in os.environ:
        save, leave = distributed.save_checkpoint, distributed._leave_together

        def slowly(path, state, job, outline, step):
            if step == job.num_steps:
                time.sleep(1)  # the other one would be gone
                workers = psutil.Process().parent().children()
                alive = [w.pid for w in workers if w.status() != psutil.STATUS_ZOMBIE]
                (folder / "alive.json").write_text(json.dumps(alive))
            save(path, state, job, outline, step)

        def told(strategy):
            np.savez(folder / f"{workers.read_place().index}.npz", *model.get_weights())
            leave(strategy)

        distributed.save_checkpoint, distributed._leave_together = slowly, told
    return model


def test_two_workers_end_where_one_process_does_although_one_was_killed(tmp_path, monkeypatch):
    told = tmp_path / "told"
    told.mkdir()
    monkeypatch.setenv("TOLD", str(told))
    optimizer = {"class_name": "adam", "config": {"global_clipnorm": 0.1}}
    it, events = job(build=build_that_tells, optimizer=optimizer, epochs=4), []
    before = children()

    def listen(event):
        events.append(event)
        if any(e["event"] == "restart" for e in events):
            time.sleep(0.2)  # a listener that is slower than the steps
        elif event["step"] == 7:
            max(children() - before, key=psutil.Process.create_time).kill()

    model = fit_on_workers(it, tmp_path / "job", workers=2, checkpoint_every=5, listener=listen)
    assert difference(model, fit_distributed(it)) < 1e-5
    (why,) = [event["why"] for event in events if event["event"] == "restart"]
    assert re.fullmatch(r"worker[01] \(killed by signal 9, SIGKILL\): it wrote nothing", why)
    steps = [event["step"] for event in events if event["event"] == "step"]
    assert steps[:7] == list(range(1, 8))
    later = [
        event["step"] for event in events[events.index({"event": "restart", "why": why}) + 1 :]
    ]
    assert later[0] in (6, 11), "it began again after a checkpoint, not at the start"
    assert later == list(range(later[0], 17)), "every step is heard"
    assert not children() - before
    there = set(json.loads((told / "alive.json").read_text())) - {p.pid for p in before}
    assert len(there) == 2, "none leaves before the others have all they need of it"
    for index in range(2):
        with np.load(told / f"{index}.npz") as file:
            for name, weight in zip(file.files, model.get_weights(), strict=True):
                assert np.array_equal(file[name], weight), "both have the same bits"
    number = len(events)
    again = fit_on_workers(it, tmp_path / "job", workers=2, listener=events.append)
    assert len(events) == number, "there was nothing to do"
    assert difference(again, model) == 0


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.2", "::1"])
def test_a_port_that_is_taken_at_one_address_is_not_free(address):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with contextlib.ExitStack() as stack:
        try:
            other = stack.enter_context(socket.socket(family))
            other.bind((address, 0))
        except OSError:
            pytest.skip(f"this machine has no address {address}")
        port = other.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            workers.bound_everywhere(port)
    with workers.bound_everywhere(port):  # it was the other program
        pass


def test_free_ports_are_free_everywhere(monkeypatch):
    asked = []
    bind = workers.bound_everywhere
    monkeypatch.setattr(workers, "bound_everywhere", lambda n: asked.append(n) or bind(n))
    ports = workers.free_ports(3)
    assert asked == [0, 0, 0]
    assert len(set(ports)) == 3
    for port in ports:
        bind(port).close()


class Ended:
    """Stands for a worker that has ended, or is about to."""

    def __init__(self, code, words, after=0.0):
        self.process, self._code, self._words = self, code, words
        self._at = time.monotonic() + after

    def poll(self):
        return None if time.monotonic() < self._at else self._code

    def last_words(self):
        return self._words

    def kill(self):
        pass


def test_the_cause_is_the_worker_that_died_first_of_itself():
    victim = Ended(workers.CONSEQUENCE, "worker0 (exit status 4): Error: UnavailableError: closed")
    killed = Ended(-9, "worker1 (killed by signal 9, SIGKILL): it wrote nothing", after=0.5)
    assert workers._causes([victim, killed]) == killed.last_words(), "although it shows later"
    assert workers._causes([victim, Ended(0, "")]) == ("another worker ended, or cannot be reached")
    broken = Ended(workers.FINAL, "worker2 (exit status 3): Error: ValueError: no such layer")
    assert workers._causes([broken, victim]) == broken.last_words()


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (KeyError("units"), workers.FINAL),
        (AttributeError("Can't get attribute 'build'"), workers.FINAL),
        (tf.errors.InvalidArgumentError(None, None, "a label of 7"), workers.FINAL),
        (tf.errors.UnavailableError(None, None, "closed"), workers.CONSEQUENCE),
        (tf.errors.UnknownError(None, None, "no port"), 1),
        (OSError(116, "Stale file handle"), 1),
        (distributed.OtherCheckpoint("steps done=5"), 1),
        (RuntimeError("no room"), workers.FINAL),
    ],
)
def test_what_another_start_may_cure(error, status):
    assert workers._status(error) == status


@pytest.mark.parametrize(("status", "starts"), [(1, 3), (workers.FINAL, 1)])
def test_only_what_may_be_cured_is_tried_again(tmp_path, status, starts):
    plan, events = workers._Plan(job(), tmp_path, 5, 2, 60.0, None), []
    with pytest.raises(RuntimeError, match="before the job did: no room"):
        plan.carry_out(lambda members: members.append(events.append(1) or Ended(status, "no room")))
    assert len(events) == starts


def test_every_report_is_heard_although_the_workers_have_ended(tmp_path, monkeypatch):
    heard = []
    plan = workers._Plan(job(), tmp_path, 5, 0, 60.0, heard.append)

    def start(children):
        children.append(Ended(0, ""))
        for step in (1, 2, 3):
            plan.reports.put({"event": "step", "step": step, "loss": 0.0})
        plan.reports.put({"event": "end of reports"})

    monkeypatch.setattr(workers, "SHARED_FOLDER_S", 0.0)
    with pytest.raises(RuntimeError, match="first worker ended without the last checkpoint"):
        plan.carry_out(start)
    assert [event["step"] for event in heard] == [1, 2, 3]


def broken_build():
    raise ValueError("no such layer")


def test_an_error_of_the_job_ends_it_at_once(tmp_path):
    events, before = [], children()
    with pytest.raises(RuntimeError, match="worker[01] .*ValueError: no such layer"):
        fit_on_workers(job(build=broken_build), tmp_path, workers=1, listener=events.append)
    assert events == []
    assert not children() - before


def test_workers_that_do_not_get_on_are_ended(tmp_path, monkeypatch):
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "idle_worker.py").write_text("def main():\n    import time; time.sleep(60)\n")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr(workers, "MODULE", "idle_worker")
    before = children()
    with pytest.raises(RuntimeError, match=r"no step within 0\.5 s"):
        fit_on_workers(job(), tmp_path / "job", workers=2, patience=0.5, max_restarts=0)
    assert not children() - before


def test_what_cannot_be_sent_is_refused_before_a_process_starts(tmp_path, monkeypatch):
    monkeypatch.setattr(difference, "__module__", "__main__")
    before = children()
    for name, thing in {
        "build": lambda: None,
        "build ": functools.partial(lambda: None),
        "build  ": functools.partial(functools.partial, Odd(lambda x: x)),
        "build   ": difference,
        "loss": lambda y, outputs: y,
    }.items():
        name = name.strip()
        with pytest.raises(ValueError, match=f"`job.{name}` must be something that other proc"):
            fit_on_workers(job(**{name: thing}), tmp_path / "new")
    assert not (tmp_path / "new").exists()
    assert not children() - before


FIT = """
import sys
from dlnotes.runtime import quiet_start
with quiet_start():
    import keras, numpy as np, tensorflow as tf
strategy = tf.distribute.MultiWorkerMirroredStrategy()
with strategy.scope():
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
model.fit(np.ones((32, 6)), np.ones((32, 1)), batch_size=16, verbose=0)
"""


@pytest.mark.xfail(
    strict=True,
    raises=AssertionError,
    reason="Keras 3.15 cannot; once it can, say so in lesson 34",
)
def test_fit_works_on_several_processes():
    ports = workers.free_ports(2)
    cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
    members = []
    for index in range(2):
        config = {"cluster": cluster, "task": {"type": "worker", "index": index}}
        env = {**os.environ, "TF_CONFIG": json.dumps(config)}
        command = [sys.executable, "-c", FIT]
        members.append(subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True))
    try:
        errors = [member.communicate(timeout=120)[1] for member in members]
    finally:
        for member in members:
            member.kill()
            member.wait()
    codes = [member.returncode for member in members]
    if codes != [0, 0] and not any("PerReplica" in error for error in errors):
        raise RuntimeError(f"another error than the known one: {errors[0][-500:]}")
    assert codes == [0, 0]
