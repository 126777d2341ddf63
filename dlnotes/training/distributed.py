"""Training on several devices or processes, so that all of them end with the same weights.

Keras' own ``fit`` does not work under ``MultiWorkerMirroredStrategy`` (Keras 3.15), so this is a
loop of its own over ``tf.distribute``: each replica computes the gradients of its share of the
batch, and the shares are summed before every one of them takes the same step.
"""

import contextlib
import copy
import dataclasses
import functools
import hashlib
import itertools
import json
import os
import re
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import keras
import numpy as np

from dlnotes.validation import check_array, check_int, check_same_length, received

CHECKPOINT = "checkpoint.npz"
WRITE_S = 10.0  # how long the end of a process waits for the checkpoint that is being written
_WRITING = threading.Lock()


class OtherCheckpoint(RuntimeError):
    """The workers see different checkpoints, as a network's file system may be late."""


@dataclasses.dataclass(frozen=True)
class Job:
    """What is to be trained, on what, and how long. It can be sent to other processes.

    Letters: N rows; B rows a batch.

    Attributes:
        build: Returns a new model. Other processes must be able to import it:
            ``functools.partial(build_lenet5, (28, 28, 1), 10)`` is one, a function of a notebook
            is not.
        x: Inputs, (N, …), or a tuple of such arrays for a model with several inputs.
        y: Targets, (N, …).
        loss: A loss by name, or a Keras loss object; its mean over the batch is made small.
        optimizer: An optimizer by name, or its configuration, such as ``{"class_name": "sgd",
            "config": {"learning_rate": 0.1}}`` or what `keras.optimizers.serialize` returns.
        batch_size: B of all replicas together, >= 1; the last batch of an epoch may be smaller.
        epochs: Passes over the rows, >= 1; each row is seen once in each.
        seed: Seed of the first weights and of the order of the rows, >= 0.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range, or the numbers of rows differ.
    """

    build: Callable[[], keras.Model]
    x: np.ndarray | tuple[np.ndarray, ...]
    y: np.ndarray
    loss: Any = "sparse_categorical_crossentropy"
    optimizer: Any = "adam"
    batch_size: int = 64
    epochs: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if not callable(self.build):
            raise TypeError(f"`build` must be callable. {received(build=self.build)}")
        if isinstance(self.x, tuple):
            if not self.x:
                raise ValueError(f"`x` must be one array or several. {received(x=self.x)}")
            arrays = tuple(check_array(f"x[{i}]", a, dtype=None) for i, a in enumerate(self.x))
            object.__setattr__(self, "x", arrays)
        else:
            object.__setattr__(self, "x", check_array("x", self.x, dtype=None))
        object.__setattr__(self, "y", check_array("y", self.y, dtype=None))
        for array in self._inputs:
            check_same_length(x=array, y=self.y)
        for name, low in {"batch_size": 1, "epochs": 1, "seed": 0}.items():
            object.__setattr__(self, name, check_int(name, getattr(self, name), low=low))

    @property
    def _inputs(self) -> tuple[np.ndarray, ...]:
        return self.x if isinstance(self.x, tuple) else (self.x,)

    @property
    def steps_per_epoch(self) -> int:
        """Number of batches in an epoch."""
        return -(-len(self.y) // self.batch_size)

    @property
    def num_steps(self) -> int:
        """Number of batches in all."""
        return self.steps_per_epoch * self.epochs

    @functools.cached_property
    def facts(self) -> list[str]:
        """What two runs must have in common to be one job; `epochs` may grow."""
        hasher = hashlib.blake2b(digest_size=8)
        for array in (*self._inputs, self.y):
            hasher.update(f"{array.dtype} {array.shape}".encode())
            hasher.update(np.ascontiguousarray(array).data)
        return [
            f"rows={len(self.y)}",
            f"data={hasher.hexdigest()}",
            f"batch_size={self.batch_size}",
            f"seed={self.seed}",
            f"loss={_as_text(self.loss)}",
            f"optimizer={_as_text(self.optimizer)}",
        ]

    def rows(self, step: int) -> np.ndarray:
        """Return the row numbers of a batch, up to (B,): the same in every process.

        Args:
            step: Number of the batch, from 0.
        """
        epoch, place = divmod(step, self.steps_per_epoch)
        order = _order(self.seed, epoch, len(self.y))
        return order[place * self.batch_size :][: self.batch_size]


def _as_text(thing: Any) -> str:
    """Return a name or a configuration as text, without an optimizer: a strategy comes first."""
    if isinstance(thing, str):
        return thing
    saved = thing if isinstance(thing, dict) else keras.saving.serialize_keras_object(thing)
    name, config = saved["class_name"], saved["config"]
    name = name.lower() if isinstance(thing, dict) else name  # as Keras leaves what it has read
    if isinstance(config, str):  # a function's name
        return config
    # Keras counts its names: adam, adam_1, …
    unset = {key for key, value in config.items() if value is None or value is False} | {"name"}
    config = {key: value for key, value in config.items() if key not in unset}
    return f"{name} {json.dumps(config, sort_keys=True, default=str)}"


@functools.lru_cache(maxsize=2)
def _order(seed: int, epoch: int, num_rows: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch]).permutation(num_rows)


def shard(rows: np.ndarray, index: int, count: int) -> np.ndarray:
    """Return one replica's share of a batch: shares differ by one row at most, and none is shared.

    Args:
        rows: Row numbers (B,).
        index: Number of the replica, in [0, `count`).
        count: Number of replicas, >= 1.

    Example:
        >>> [shard(np.arange(5), i, 2).tolist() for i in range(2)]
        [[0, 1, 2], [3, 4]]
    """
    count = check_int("count", count, low=1)
    return np.array_split(rows, count)[check_int("index", index, low=0, high=count - 1)]


def fit_distributed(
    job: Job,
    strategy: Any = None,
    *,
    directory: str | os.PathLike[str] | None = None,
    checkpoint_every: int | None = None,
    writes: bool = True,
    on_step: Callable[[int, float], None] | None = None,
) -> keras.Model:
    """Train a job's model under a strategy, from its last checkpoint if there is one.

    All replicas end with the same weights, and up to rounding with those of one process that sees
    the same batches: each share counts as much as its rows, gradients are clipped when they are
    summed, and batch normalization takes the statistics of all shares. Only dropout and other
    noise differ, since they are drawn for each share.

    Args:
        job: What to train.
        strategy: A ``tf.distribute`` strategy; None trains in this process alone.
        directory: Where the checkpoint is kept, shared by all workers; None keeps none.
        checkpoint_every: Steps between two checkpoints, >= 1; None writes one at the end only.
        writes: Whether this process writes the checkpoint: one of the workers does.
        on_step: Called after each step with the number of steps done and the batch's loss.

    Returns:
        The trained model.

    Raises:
        ValueError: If the checkpoint is of another model or job, a number is out of range, or the
            workers have different jobs. If several replicas cannot share it: an optimizer that
            accumulates gradients, or, in one process, batch normalization with losses of layers.
        RuntimeError: If the checkpoint cannot be read, or the workers have different ones.
    """
    import tensorflow as tf

    if checkpoint_every is not None:
        checkpoint_every = check_int("checkpoint_every", checkpoint_every, low=1)
        if directory is None:
            raise ValueError(
                "`directory` must be given with `checkpoint_every`. "
                + received(checkpoint_every=checkpoint_every)
            )
    strategy = tf.distribute.get_strategy() if strategy is None else strategy
    count = strategy.num_replicas_in_sync
    keras.utils.set_random_seed(job.seed)
    with strategy.scope():
        model, optimizer, outline = _build(job)
    several = getattr(strategy, "cluster_resolver", None) is not None  # processes
    if count > 1:
        _share_statistics(model)
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    if inner.gradient_accumulation_steps and (several or count > 1):
        raise ValueError(  # Keras 3.15 cannot
            "`optimizer` must not accumulate gradients on several devices or processes; a larger "
            f"`batch_size` does the same. Received: {_as_text(job.optimizer)}"
        )
    # gradients are summed here, and not again by Keras, which would clip each share alone
    inner._all_reduce_sum_gradients = list
    loss_of_rows = _loss_of_rows(job.loss)
    state = [*model.variables, *optimizer.variables]
    path = None if directory is None else Path(directory) / CHECKPOINT
    if path is not None and writes:
        remove_parts(path.parent)
    first = 0 if path is None or not path.exists() else load_checkpoint(path, state, job, outline)
    if several:
        _check_agreement(strategy, job, outline, state, first)

    turns: list[object] = []

    def call(x: Any) -> Any:
        turns.append(mine := object())
        outputs = model(x, training=True)
        if turns[-1] is not mine:  # another device's rows have gone through the layers meanwhile
            _check_no_own_losses(model)
        return outputs

    def loss_of_share(y: Any, outputs: Any, batch: Any) -> Any:
        penalties = _share_of_penalties(model.losses, keras.ops.shape(y)[0], batch)
        return loss_of_rows(y, outputs, batch) + penalties

    # autograph would leave a file in the temporary folder when this process is killed
    @tf.function(reduce_retracing=True, autograph=False)
    def train_step(x: Any, y: Any, batch: Any) -> Any:
        step = functools.partial(
            replica_step, call, loss_of_share, optimizer, model.trainable_variables
        )
        values = strategy.run(step, args=(x, y, batch))
        return strategy.experimental_local_results(values)[0]  # all have the same

    def share(array: np.ndarray, rows: np.ndarray) -> Any:
        def of(context: Any) -> Any:
            return tf.constant(array[shard(rows, context.replica_id_in_sync_group, count)])

        return strategy.experimental_distribute_values_from_function(of)

    for step in range(first, job.num_steps):
        rows = job.rows(step)
        batch = tf.constant(len(rows), keras.config.floatx())
        x = tf.nest.map_structure(lambda array, rows=rows: share(array, rows), job.x)
        value = train_step(x, share(job.y, rows), batch)
        done = step + 1
        if on_step is not None:
            on_step(done, float(value))
        due = checkpoint_every is not None and done % checkpoint_every == 0
        if path is not None and writes and (due or done == job.num_steps):
            save_checkpoint(path, state, job, outline, done)
    if several:
        _leave_together(strategy)
    return model


def replica_step(
    call: Callable[..., Any],
    loss_of_share: Callable[..., Any],
    optimizer: Any,
    weights: list[Any],
    x: Any,
    y: Any,
    batch: Any,
) -> Any:
    """Take one step with a replica's share of a batch, and return the loss of the whole batch."""
    import tensorflow as tf

    with tf.GradientTape() as tape:
        outputs = call(x)  # the network, on the rows of this share
        value = loss_of_share(y, outputs, batch)  # sum over its rows / rows of the whole batch
        scaled = optimizer.scale_loss(value)  # for 16 bits
    gradients = tape.gradient(scaled, weights)
    *gradients, value = sum_over_replicas([*gradients, value])  # the all-reduce
    optimizer.apply(gradients, weights)  # the same step in every replica
    return value


def _sum_of_all(strategy: Any, numbers: list[float]) -> list[float]:
    """Return the sums of what all replicas bring."""
    import tensorflow as tf

    @tf.function(autograph=False)
    def summed() -> Any:
        values = strategy.run(lambda: tf.constant(numbers, "float64"))
        return strategy.reduce(tf.distribute.ReduceOp.SUM, values, axis=None)

    return summed().numpy().tolist()


def _check_agreement(strategy: Any, job: Job, outline: str, state: list[Any], first: int) -> None:
    """Refuse workers with other data, another model or another checkpoint, in all of them."""
    shapes = [tuple(variable.shape) for variable in state]
    facts = repr((job.facts, outline, job.epochs, shapes)).encode()
    digest = hashlib.blake2b(facts, digest_size=8).digest()
    own = [float(int.from_bytes(digest[i : i + 2], "big")) for i in range(0, 8, 2)]
    own += [float(first), float(first) ** 2]  # with the squares no numbers but equal ones fit
    count = strategy.num_replicas_in_sync
    *sums, firsts, squares = _sum_of_all(strategy, own)
    *same, all_first, all_squares = [count * number for number in own]
    if sums != same:
        raise ValueError(
            "All workers must train the same job, on the same data. Received here: "
            f"{', '.join([*job.facts, outline])}, epochs={job.epochs}"
        )
    if (firsts, squares) != (all_first, all_squares):
        raise OtherCheckpoint(
            f"All workers must begin from the same checkpoint. Received here: steps done={first}"
        )


def _leave_together(strategy: Any) -> None:
    """Wait until no other worker needs an answer of this one for a step.

    A sum is there for one worker while another is still reading its part of it. If the first ended
    now, the other would fail in the last step, with "Socket closed". So all of them compute one
    more sum, which nobody needs: whoever has it, or fails in it, has finished every step.
    """
    import tensorflow as tf

    with contextlib.suppress(tf.errors.OpError):
        _sum_of_all(strategy, [0.0])


def _build(job: Job) -> tuple[keras.Model, Any, str]:
    """Return a new model, its optimizer as `compile` would make it, and the model's outline."""
    model = job.build()
    outline = _outline(model)
    optimizer = keras.optimizers.get(copy.deepcopy(job.optimizer))  # Keras writes into it
    scales = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    if model.dtype_policy.name == "mixed_float16" and not scales:
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    optimizer.build(model.trainable_variables)
    return model, optimizer, outline


def _outline(model: keras.Model) -> str:
    """Return what tells models of the same shapes apart, such as activations and dropout."""
    try:
        saved = keras.saving.serialize_keras_object(model)
        text = json.dumps(saved, sort_keys=True, default=lambda thing: type(thing).__name__)
    except (NotImplementedError, TypeError, ValueError):  # a class of its own, without get_config
        text = type(model).__name__
    text = re.sub(r'"seed": \d+|_\d+\b', "", text)  # Keras counts its names: dense, dense_1, …
    return f"model={hashlib.blake2b(text.encode(), digest_size=8).hexdigest()}"


def _share_statistics(model: keras.Model) -> None:
    """Let batch normalization see the rows of all replicas."""
    for layer in model._flatten_layers():  # also those within layers; Keras has no public way
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = True


def _check_no_own_losses(model: keras.Model) -> None:
    """Refuse losses of layers: a layer keeps those of the last rows that it saw alone."""
    if len(model.losses) > sum(v.regularizer is not None for v in model.trainable_variables):
        raise ValueError(
            "`job.build` must build a model without activity regularizers and losses of layers, "
            "where it has batch normalization and several devices of one process train it; several "
            f"processes can. {received(losses=len(model.losses))}"
        )


def sum_over_replicas(arrays: list[Any]) -> list[Any]:
    """Return the sums of what all replicas bring, in a replica: the all-reduce.

    Arrays of one type travel together; None stays None.
    """
    import tensorflow as tf

    context, sums = tf.distribute.get_replica_context(), list(arrays)
    types = [None if array is None else array.dtype for array in arrays]
    for kind in dict.fromkeys(types):  # in the same order in all replicas
        if kind is not None:
            places = [i for i, other in enumerate(types) if other == kind]
            found = context.all_reduce(tf.distribute.ReduceOp.SUM, [arrays[i] for i in places])
            for i, array in zip(places, found, strict=True):
                sums[i] = array
    return sums


def _loss_of_rows(loss: Any) -> Callable[[Any, Any, Any], Any]:
    """Return a function to the part that the rows of a share have in the loss of the batch."""
    loss = keras.losses.get(loss)
    call = getattr(loss, "call", loss)  # without the reduction

    def of_share(y: Any, outputs: Any, batch: Any) -> Any:
        mask = getattr(outputs, "_keras_mask", None)  # of an Embedding(mask_zero=True)
        if len(y.shape) == len(outputs.shape) - 1 and outputs.shape[-1] == 1:
            y = y[..., None]  # else (N,) and (N, 1) would make (N, N)
        values = call(y, keras.ops.cast(outputs, batch.dtype))
        values = keras.ops.cast(values, batch.dtype)
        if mask is not None:
            counts = keras.ops.cast(mask, batch.dtype)
            (number,) = sum_over_replicas([keras.ops.sum(counts)])
            return keras.ops.divide_no_nan(keras.ops.sum(values * counts), number)
        axes = tuple(range(1, len(values.shape)))
        return keras.ops.sum(keras.ops.mean(values, axis=axes) if axes else values) / batch

    return of_share


def _share_of_penalties(losses: list[Any], rows: Any, batch: Any) -> Any:
    """Return a share's part of a model's own losses, which are means over its rows, or constant."""
    if not losses:
        return 0.0
    total = sum(keras.ops.cast(loss, batch.dtype) for loss in losses)
    rows = keras.ops.cast(rows, batch.dtype)
    return keras.ops.where(rows > 0, total * rows / batch, 0.0)  # no mean over no rows


def save_checkpoint(path: Path, state: list[Any], job: Job, outline: str, step: int) -> None:
    """Write all variables and the number of steps done, or leave the checkpoint as it was.

    Args:
        path: The file to write.
        state: Variables of the model, then of its optimizer.
        job: What is trained.
        outline: What tells its model from others with the same shapes.
        step: Number of steps done.
    """
    arrays = {f"variable_{i}": _as_array(v) for i, v in enumerate(state)}
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with _WRITING:
        try:
            with part.open("wb") as file:
                np.savez(file, step=step, job=np.array([*job.facts, outline]), **arrays)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                part.unlink()


def _as_array(variable: Any) -> np.ndarray:
    """Return a variable's content in a type that NumPy can store."""
    array = keras.ops.convert_to_numpy(variable)
    return array.astype("float32") if array.dtype == "bfloat16" else array


def remove_parts(directory: Path) -> None:
    """Remove what a killed writer left of a checkpoint.

    Args:
        directory: Folder of the checkpoint.
    """
    for part in directory.glob(f".{CHECKPOINT}.*.part"):
        part.unlink(missing_ok=True)


def end_process(code: int) -> NoReturn:
    """End this process at once, but not within a checkpoint.

    Args:
        code: Exit status.
    """
    _WRITING.acquire(timeout=WRITE_S)
    os._exit(code)


def load_checkpoint(path: Path, state: list[Any], job: Job, outline: str) -> int:
    """Set all variables to what the checkpoint holds, and return the number of steps done.

    Args:
        path: The file to read.
        state: Variables of the model, then of its optimizer.
        job: What is trained.
        outline: As in `save_checkpoint`.

    Raises:
        RuntimeError: If it cannot be read.
        ValueError: If it is of another job or model; no variable has changed.
    """
    arrays, step = _read(path, [*job.facts, outline], job)
    shapes = [tuple(array.shape) for array in arrays]
    wanted = [tuple(variable.shape) for variable in state]
    if shapes != wanted:
        raise ValueError(
            f"{path} must be a checkpoint of this job: shapes {wanted[:4]} …. "
            f"Received: shapes {shapes[:4]} …"
        )
    for variable, array in zip(state, arrays, strict=True):
        variable.assign(array)
    return step


def steps_done(directory: str | os.PathLike[str], job: Job) -> int:
    """Return the number of steps that a directory's checkpoint has behind it, 0 without one.

    Args:
        directory: Folder of the checkpoint.
        job: What is trained.

    Raises:
        RuntimeError: If the checkpoint cannot be read.
        ValueError: If it is of another job.
    """
    path = Path(directory) / CHECKPOINT
    return _read(path, job.facts, job)[1] if path.exists() else 0


def load_trained(directory: str | os.PathLike[str], job: Job) -> keras.Model:
    """Return the model of a directory's checkpoint.

    Args:
        directory: Folder of the checkpoint.
        job: What was trained.

    Raises:
        RuntimeError: If the checkpoint is missing or cannot be read.
        ValueError: If it is of another job or model.
    """
    model, optimizer, outline = _build(job)
    state = [*model.variables, *optimizer.variables]
    load_checkpoint(Path(directory) / CHECKPOINT, state, job, outline)
    return model


def _read(path: Path, wanted: list[str], job: Job) -> tuple[list[np.ndarray], int]:
    """Return variables and steps of a checkpoint of this job, whose facts begin as wanted."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
            step, facts = int(arrays.pop("step")), arrays.pop("job").tolist()
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise RuntimeError(f"{path} must be a checkpoint that can be read: {error}") from error
    facts = facts[: len(wanted)]
    if facts != wanted:
        both = itertools.zip_longest(wanted, facts, fillvalue="nothing more")
        pairs = [(a, b) for a, b in both if a != b]
        mine, found = (", ".join(part) for part in zip(*pairs, strict=True))
        raise ValueError(f"{path} must be a checkpoint of this job: {mine}. Received: {found}")
    if step > job.num_steps:
        raise ValueError(
            f"`epochs` must be enough for the {step} steps that are done in {path}. "
            + received(epochs=job.epochs, num_steps=job.num_steps)
        )
    return list(arrays.values()), step
