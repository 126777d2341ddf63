"""Writes a model as a bundle, after every form was found to give the answers of the Keras model."""

import contextlib
import hashlib
import importlib.metadata
import io
import json
import logging
import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dlnotes.runtime import quiet_start
from dlnotes.serving.bundle import load_bundle
from dlnotes.serving.decoding import GreedyDecoding
from dlnotes.serving.engines import Engine, KerasEngine, open_form
from dlnotes.serving.errors import ExportError, needs_serve_extra
from dlnotes.serving.manifest import FORMAT, MANIFEST_NAME, NAME_PATTERN, Signature
from dlnotes.serving.predictor import Predictor
from dlnotes.serving.preprocessing import Rescaling, Step
from dlnotes.serving.safety import FORM_PATHS
from dlnotes.serving.tensors import NUMBER_TYPES, TensorSpec
from dlnotes.validation import check_choice, check_float, check_int, check_path, received

with quiet_start():
    import keras

FORMATS_OF_KERAS = {"saved_model": "tf_saved_model", "onnx": "onnx", "litert": "litert"}
LIBRARIES = ("dlnotes", "keras", "tensorflow", "tensorflow-cpu", "onnx", "onnxruntime", "numpy")
TOLERANCE = 1e-5
EARLIEST = (1980, 1, 1, 0, 0, 0)  # so that equal files make equal zips


def export(
    model: keras.Model,
    path: str | os.PathLike[str],
    *,
    name: str,
    version: str,
    example: Sequence[Any],
    preprocessing: Sequence[Step] = (),
    decoding: GreedyDecoding | None = None,
    labels: Sequence[str] | None = None,
    forms: Sequence[str] = ("keras", "onnx"),
    num_checks: int = 100,
    tolerance: float = TOLERANCE,
) -> Path:
    """Write a model with its preprocessing as a bundle, whole or not at all.

    Before anything appears at `path`, each form is opened as a service would open it, and must give
    the answers of the Keras model: on the example, and on random rows of the kind that the
    preprocessing lets through.

    Args:
        model: A functional or sequential model, built; whether it is compiled makes no difference.
        path: Where to write it, new: a folder, or a zip if it ends in ``.zip``.
        name: Its name in addresses: letters, digits and ``_.-``, at most 64.
        version: Its version, of the same characters.
        example: Instances as a request gives them; they become the golden request.
        preprocessing: Steps from a request to the model's inputs. An input of whole numbers needs
            `Bounds` or `TextEncoding`.
        decoding: For a model that writes: how. None answers with its outputs.
        labels: Names of the classes of an only output (B, K).
        forms: Which of "keras", "saved_model", "onnx" and "litert" to write. "keras" is refused
            for models with Lambda layers or layers of other packages than Keras and this one.
        num_checks: How many random rows are compared, >= 1.
        tolerance: The largest difference allowed, > 0; of numbers above 1, relative to them.

    Returns:
        The path.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range, or `path` exists.
        RequestError: If the example does not suit the model; its message names the place.
        ExportError: If a form cannot hold the model or answers otherwise, or padding changes an
            answer although rows are padded to the longest of their batch.
        UnsafeBundle: If the Keras form would hold code.
        ModuleNotFoundError: If a library for a form is missing.

    Example:
        >>> inputs = keras.Input((2,), name="x")
        >>> model = keras.Model(inputs, keras.layers.Dense(1, name="y")(inputs))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     made = export(
        ...         model, f"{folder}/line", name="line", version="1", example=[[1, 2]],
        ...         forms=["keras"],
        ...     )
        ...     sorted(file.name for file in made.iterdir())
        ['bundle.json', 'model.keras']
    """
    path, model = check_path("path", path), _plain(model)
    for argument, value in (("name", name), ("version", version)):
        _check_name(argument, value)
    if isinstance(forms, str) or not isinstance(forms, Sequence) or not forms:
        raise TypeError(f"`forms` must be a list of forms. {received(forms=forms)}")
    forms = [check_choice("forms", form, FORM_PATHS) for form in dict.fromkeys(forms)]
    num_checks = check_int("num_checks", num_checks, low=1)
    tolerance = check_float("tolerance", tolerance, low=0, open_low=True)
    if path.exists() or path.is_symlink():
        raise ValueError(f"`path` must be new. {received(path=str(path))}")
    labels = None if labels is None else [str(label) for label in labels]
    signature = Signature(*_tensors(model), list(preprocessing), decoding, labels)
    example = _as_json("example", example)

    reference = KerasEngine(model, signature)
    predictor = Predictor(signature, reference)
    arrays = predictor.prepare(example)
    predictions = predictor.compute(arrays)
    _check_padding(reference, signature, arrays, tolerance)
    path.parent.mkdir(parents=True, exist_ok=True)
    # beside the target: a rename must not cross file systems
    staging = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part"))
    try:
        staging.chmod(0o755)
        folder = staging / "bundle"
        folder.mkdir()
        for form in forms:
            _write_form(model, form, folder / FORM_PATHS[form])
            engine = open_form(folder / FORM_PATHS[form], form, signature)
            _compare(form, engine, reference, signature, arrays, num_checks, tolerance)
        manifest = {
            "format": FORMAT,
            "name": name,
            "version": version,
            "versions": _versions(),
            "inputs": [spec.to_config() for spec in signature.inputs.values()],
            "outputs": [spec.to_config() for spec in signature.outputs.values()],
            "preprocessing": [step.to_config() for step in signature.preprocessor.steps],
            "decoding": decoding and decoding.to_config(),
            "labels": labels,
            "forms": forms,
            "files": _entries(folder),
            "golden": {
                "request": {"instances": example},
                "response": {"predictions": predictions},
                "tolerance": tolerance,
            },
        }
        content = json.dumps(manifest, indent=1, allow_nan=False).encode()
        (folder / MANIFEST_NAME).write_bytes(content)
        with load_bundle(folder) as bundle:
            for form in forms:
                bundle.check(open_form(bundle.path_of(form), form, bundle.signature))
        _publish(folder, path)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return path


# === Arguments ===


def _plain(model: Any) -> keras.Model:
    """Return a model of the same layers, without what belongs to training."""
    built = isinstance(model, keras.Model) and getattr(model, "inputs", None)
    if not built:
        raise TypeError(
            "`model` must be a functional or sequential Keras model, built. "
            f"{received(model=model)}"
        )
    return keras.Model(model.inputs, model.outputs, name=model.name)


def _check_name(argument: str, value: Any) -> None:
    if not isinstance(value, str):
        raise TypeError(f"`{argument}` must be a text. {received(**{argument: value})}")
    if not re.fullmatch(NAME_PATTERN, value):
        raise ValueError(
            f"`{argument}` must be of letters, digits and _.-, at most 64, the first no sign. "
            f"{received(**{argument: value})}"
        )


def _as_json(name: str, value: Any) -> list[Any]:
    """Return instances as JSON would bring them."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, str | Mapping) or not isinstance(value, Sequence) or not value:
        raise TypeError(f"`{name}` must be a list of instances. {received(**{name: value})}")
    try:
        return json.loads(
            json.dumps(value, default=lambda x: x.tolist() if hasattr(x, "tolist") else x)
        )
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"`{name}` must hold what JSON can say. {received(**{name: value})} ({error})"
        ) from error


def _tensors(model: keras.Model) -> tuple[list[TensorSpec], list[TensorSpec]]:
    inputs = [(tensor.name, tensor) for tensor in model.inputs]
    outputs = list(zip(model.output_names, model.outputs, strict=True))
    specs = []
    for tensors in (inputs, outputs):
        for name, tensor in tensors:
            if tensor.dtype not in NUMBER_TYPES or (tensor.shape and tensor.shape[0] is not None):
                raise ValueError(
                    "`model` must take and give numbers, in batches of any size. "
                    f"{received(name=name, dtype=tensor.dtype, shape=tensor.shape)}"
                )
        specs.append([TensorSpec(n, t.dtype, tuple(t.shape)) for n, t in tensors])
    return specs[0], specs[1]


def _versions() -> dict[str, str]:
    found = {}
    for library in LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[library] = importlib.metadata.version(library)
    return found


# === Forms ===


def _write_form(model: keras.Model, form: str, path: Path) -> None:
    """Write one form, and say in one sentence why it cannot be."""
    if form == "keras":
        model.save(path)
        return
    if form == "onnx":
        with needs_serve_extra():
            import onnx  # noqa: F401  or Keras would say so in a longer way
            import tf2onnx  # noqa: F401
    try:
        with _silence() as log:
            model.export(path, format=FORMATS_OF_KERAS[form], verbose=False)
    except (KeyboardInterrupt, MemoryError):
        raise
    except BaseException as error:  # the converters raise whatever they like
        raise _refusal(form, f"{error}\n{log.getvalue()}") from error


def _refusal(form: str, message: str) -> ExportError:
    reason = next(
        (line.strip() for line in message.splitlines() if line.strip()), "no reason given"
    )
    if form == "litert" and ("Flex" in message or "Select Tensor" in message):
        reason = "it needs operations that LiteRT lacks (TensorFlow's, by `Select TF ops`)"
    return ExportError(f"the form {form} cannot hold this model: {reason[:300]}")


@contextlib.contextmanager
def _silence() -> Iterator[io.StringIO]:
    """Keep what converters print, from Python and from C++, out of the caller's output."""
    log, before = io.StringIO(), logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with (
            tempfile.TemporaryFile() as file,
            _descriptors_to(file, log),
            contextlib.redirect_stdout(log),
            contextlib.redirect_stderr(log),
        ):
            yield log
    finally:
        logging.disable(before)


@contextlib.contextmanager
def _descriptors_to(file: Any, log: io.StringIO) -> Iterator[None]:
    saved = {number: os.dup(number) for number in (1, 2)}
    try:
        for number in saved:
            os.dup2(file.fileno(), number)
        yield
    finally:
        for number, copy in saved.items():
            os.dup2(copy, number)
            os.close(copy)
        file.seek(0)
        log.write(file.read().decode(errors="replace"))


# === Checks ===


def _compare(
    form: str,
    engine: Engine,
    reference: Engine,
    signature: Signature,
    example: Mapping[str, np.ndarray],
    num_checks: int,
    tolerance: float,
) -> None:
    """Require the answers of the Keras model on random rows, in batches of two sizes."""
    rng = np.random.default_rng(0)
    sizes = [num_checks - num_checks // 2, num_checks // 2]
    for stretch, size in enumerate(size for size in sizes if size):
        inputs = _random_inputs(signature, example, size, stretch, rng)
        try:
            answers = engine.run(inputs)
        except Exception as error:
            raise _refusal(form, str(error)) from error
        for name, wanted in reference.run(inputs).items():
            worst = _difference(answers[name], wanted)
            if not worst <= tolerance:
                raise ExportError(
                    f"the form {form} answers otherwise than the Keras model: output {name} "
                    f"differs by {worst:.3g}, and may by {tolerance:g}"
                )


def _difference(answer: np.ndarray, wanted: np.ndarray) -> float:
    if answer.shape != wanted.shape or answer.dtype != wanted.dtype:
        return np.inf
    if not np.array_equal(np.isfinite(answer), np.isfinite(wanted)):
        return np.inf
    answer, wanted = (np.nan_to_num(array.astype(np.float64)) for array in (answer, wanted))
    return float(np.max(np.abs(answer - wanted) / np.maximum(1, np.abs(wanted)), initial=0))


def _random_inputs(
    signature: Signature,
    example: Mapping[str, np.ndarray],
    num_rows: int,
    stretch: int,
    rng: np.random.Generator,
) -> dict[str, np.ndarray]:
    """Return rows such as the preprocessing makes; free axes are longer by `stretch`."""
    preprocessor, decoding = signature.preprocessor, signature.decoding
    inputs = {}
    for name, spec in signature.inputs.items():
        if decoding and name == decoding.input:
            length = int(rng.integers(1, decoding.max_length + 1))
            ids = rng.integers(2, len(decoding.vocabulary), (num_rows, length))
            ids[:, 0] = decoding.vocabulary.id_of(decoding.start)
            inputs[name] = ids.astype(spec.dtype)
            continue
        if encoding := preprocessor.encoding(name):
            lengths = rng.integers(1, encoding.max_length + 1, num_rows)
            size = len(encoding.vocabulary)
            rows = [rng.integers(min(2, size - 1), size, n).astype(np.int32) for n in lengths]
            inputs[name] = encoding.batch(rows).astype(spec.dtype)
            continue
        lengths = zip(spec.row_shape, example[name].shape[1:], strict=True)
        shape = (num_rows, *(n + stretch if free is None else n for free, n in lengths))
        if bounds := preprocessor.bounds(name):
            values = rng.uniform(bounds.low, bounds.high, shape).astype(spec.dtype)
            for step in preprocessor.steps:
                if step.input == name and isinstance(step, Rescaling):
                    values = step.apply(values)
            inputs[name] = values
        else:
            seen = example[name].astype(np.float64)
            values = rng.normal(seen.mean(), seen.std() + 1, shape)
            inputs[name] = values.astype(spec.dtype)
    return inputs


def _check_padding(
    reference: Engine,
    signature: Signature,
    example: Mapping[str, np.ndarray],
    tolerance: float,
) -> None:
    """Require that padding changes no answer where texts are padded to the longest."""
    padded = [name for name in example if signature.preprocessor.padded(name)]
    if not padded:
        return
    inputs = {name: array[:1] for name, array in example.items()}
    if signature.decoding:
        start = signature.decoding.vocabulary.id_of(signature.decoding.start)
        inputs[signature.decoding.input] = np.array([[start]], np.int32)
    for name in padded:
        inputs[name] = inputs[name][:, inputs[name][0] != 0]
    longer = {k: np.pad(v, ((0, 0), (0, 3))) if k in padded else v for k, v in inputs.items()}
    alone, among = reference.run(inputs), reference.run(longer)
    for name, wanted in alone.items():
        answer = among[name][tuple(slice(n) for n in wanted.shape)]
        if not _difference(answer, wanted) <= tolerance:
            raise ExportError(
                f"padding changes the output {name}: give its text_encoding "
                'pad_to="max_length", as the model was trained, or mask the padding in the model'
            )


# === Files ===


def _entries(folder: Path) -> dict[str, dict[str, Any]]:
    """Return size and SHA-256 of all files; empty folders are removed."""
    entries = {}
    for root, _, names in os.walk(folder, topdown=False):
        for name in names:
            path = Path(root, name)
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            entries[path.relative_to(folder).as_posix()] = {
                "size": path.stat().st_size,
                "sha256": digest,
            }
        if Path(root) != folder and not os.listdir(root):
            os.rmdir(root)
    return dict(sorted(entries.items()))


def _publish(folder: Path, path: Path) -> None:
    """Give the whole its name in one step."""
    if path.suffix != ".zip":
        os.rename(folder, path)
        return
    packed = folder.with_name("bundle.zip")
    with zipfile.ZipFile(packed, "x", zipfile.ZIP_DEFLATED) as archive:
        for name in _entries(folder):  # bundle.json is one of them
            member = zipfile.ZipInfo(name, EARLIEST)
            member.external_attr = 0o100644 << 16
            member.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(member, (folder / name).read_bytes())
    os.replace(packed, path)
