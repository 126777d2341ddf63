"""What computes the answers: ONNX Runtime, TensorFlow or LiteRT, all from arrays to arrays.

Each loads its library when it is opened, and not before. An engine is used from one thread.
"""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from dlnotes.runtime import quiet_start
from dlnotes.serving.errors import BundleDamaged, UnsafeBundle, needs_serve_extra
from dlnotes.serving.manifest import Signature
from dlnotes.serving.safety import check_graph, check_keras_file
from dlnotes.validation import check_choice, check_int, received

if TYPE_CHECKING:
    import keras

    from dlnotes.serving.bundle import Bundle

Arrays = dict[str, np.ndarray]


class Engine(Protocol):
    """From the model's named inputs to its named outputs, for any number of rows >= 1."""

    name: str

    def run(self, inputs: Mapping[str, np.ndarray]) -> Arrays:
        """Return all outputs for arrays of the types and shapes of the signature."""


class OnnxEngine:
    """ONNX Runtime on the processor.

    Args:
        path: The ONNX file.
        signature: What the model takes and gives.
        threads: Threads of one computation, >= 1; None leaves it to ONNX Runtime.

    Raises:
        ModuleNotFoundError: If ONNX Runtime is missing; the message says what to install.
        BundleDamaged: If the file is no such model, or has other inputs or outputs.
    """

    name = "onnx"

    def __init__(self, path: Path, signature: Signature, *, threads: int | None = None) -> None:
        with needs_serve_extra():
            import onnxruntime
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        # threads that wait by turning round in circles take the processor from all others
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if threads is not None:
            options.intra_op_num_threads = check_int("threads", threads, low=1)
        try:
            self._session = onnxruntime.InferenceSession(
                path.read_bytes(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime has a class of its own for each
            raise BundleDamaged(f"{path.name} cannot be opened: {_first_line(error)}") from error
        self._outputs = [output.name for output in self._session.get_outputs()]
        self._signature = signature
        names = [entry.name for entry in self._session.get_inputs()]
        _check_names(path, names, len(self._outputs), signature)

    def run(self, inputs: Mapping[str, np.ndarray]) -> Arrays:
        """Return all outputs by name."""
        found = self._session.run(self._outputs, dict(inputs))
        return dict(zip(self._signature.outputs, found, strict=True))


class KerasEngine:
    """TensorFlow, by a Keras model: one in memory, or a ``.keras`` file read in safe mode.

    Args:
        model: The model, or the path of its file.
        signature: What it takes and gives.

    Raises:
        ModuleNotFoundError: If TensorFlow is missing; the message says what to install.
        UnsafeBundle: If the file holds more than layers of Keras and of this course.
        BundleDamaged: If Keras cannot read it.
    """

    name = "keras"

    def __init__(self, model: "keras.Model | Path", signature: Signature) -> None:
        with quiet_start():
            import keras
            import tensorflow as tf

            from dlnotes import layers  # noqa: F401  registers them
        if isinstance(model, Path):
            check_keras_file(model)
            try:
                model = keras.saving.load_model(model, safe_mode=True, compile=False)
            except Exception as error:
                raise BundleDamaged(f"{model.name} cannot be read: {_first_line(error)}") from error
        names = [entry.name for entry in model.inputs]
        _check_names(Path("the Keras model"), names, len(model.outputs), signature)
        self._signature, self._tensor = signature, tf.constant
        # one graph for all lengths: Keras' own predict makes another for each
        specs = [tf.TensorSpec(spec.shape, spec.dtype) for spec in signature.inputs.values()]
        # traced now: TensorFlow would warn of a few such functions that are traced when called
        self._model = model
        self._call = tf.function(
            lambda *inputs: model(list(inputs) if len(inputs) > 1 else inputs[0], training=False),
            input_signature=specs,
            autograph=False,
        ).get_concrete_function()

    def run(self, inputs: Mapping[str, np.ndarray]) -> Arrays:
        """Return all outputs by name."""
        found = self._call(*(self._tensor(inputs[name]) for name in self._signature.inputs))
        found = found if isinstance(found, list | tuple) else [found]
        return {k: v.numpy() for k, v in zip(self._signature.outputs, found, strict=True)}


class SavedModelEngine:
    """TensorFlow, by a SavedModel: no Keras layer is needed to compute it.

    Args:
        path: The SavedModel's folder.
        signature: What it takes and gives.

    Raises:
        ModuleNotFoundError: If TensorFlow is missing; the message says what to install.
        UnsafeBundle: If its graph reads or writes files or runs Python.
        BundleDamaged: If TensorFlow cannot read it, or it has other inputs or outputs.
    """

    name = "saved_model"

    def __init__(self, path: Path, signature: Signature) -> None:
        with quiet_start():
            import tensorflow as tf
            from tensorflow.core.protobuf import saved_model_pb2
        try:
            graph = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
            check_graph(graph, path.name)
            self._model = tf.saved_model.load(path)
            self._call = self._model.signatures["serving_default"]
        except UnsafeBundle:
            raise
        except Exception as error:
            raise BundleDamaged(f"{path.name} cannot be opened: {_first_line(error)}") from error
        self._signature, self._tensor = signature, tf.constant
        names = list(self._call.structured_input_signature[1])
        _check_names(path, names, len(self._call.structured_outputs), signature)

    def run(self, inputs: Mapping[str, np.ndarray]) -> Arrays:
        """Return all outputs by name."""
        found = self._call(**{name: self._tensor(array) for name, array in inputs.items()})
        return {
            name: found[f"output_{i}"].numpy() for i, name in enumerate(self._signature.outputs)
        }


class LiteRTEngine:
    """LiteRT (once TensorFlow Lite), as it runs on phones, by TensorFlow's own interpreter.

    Args:
        path: The ``.tflite`` file.
        signature: What the model takes and gives.

    Raises:
        ModuleNotFoundError: If TensorFlow is missing; the message says what to install.
        BundleDamaged: If the file is no such model, or has other inputs or outputs.
    """

    name = "litert"

    def __init__(self, path: Path, signature: Signature) -> None:
        with quiet_start():
            import tensorflow as tf
        try:
            with warnings.catch_warnings():
                warnings.simplefilter(
                    "ignore"
                )  # the interpreter is to move to a package of its own
                interpreter = tf.lite.Interpreter(model_content=path.read_bytes())
            self._call = interpreter.get_signature_runner("serving_default")
        except Exception as error:
            raise BundleDamaged(f"{path.name} cannot be opened: {_first_line(error)}") from error
        self._signature = signature
        names = list(self._call.get_input_details())
        _check_names(path, names, len(self._call.get_output_details()), signature)

    def run(self, inputs: Mapping[str, np.ndarray]) -> Arrays:
        """Return all outputs by name."""
        found = self._call(**inputs)
        return {name: found[f"output_{i}"] for i, name in enumerate(self._signature.outputs)}


# Which forms an engine can compute, the preferred one first.
ENGINES = {
    "onnx": ("onnx",),
    "tensorflow": ("saved_model", "keras"),
    "litert": ("litert",),
}


def open_form(path: Path, form: str, signature: Signature, threads: int | None = None) -> Engine:
    """Open one form of a model.

    Args:
        path: Where it lies.
        form: "keras", "saved_model", "onnx" or "litert".
        signature: What the model takes and gives.
        threads: As in `OnnxEngine`; the others have their own setting.

    Raises:
        ValueError: If the form is unknown.
        ModuleNotFoundError: If a library is missing.
        BundleError: If the form cannot be opened.
    """
    check_choice("form", form, ("keras", "saved_model", "onnx", "litert"))
    if form == "onnx":
        return OnnxEngine(path, signature, threads=threads)
    kinds = {"keras": KerasEngine, "saved_model": SavedModelEngine, "litert": LiteRTEngine}
    return kinds[form](path, signature)


def open_engine(bundle: "Bundle", engine: str = "onnx", *, threads: int | None = None) -> Engine:
    """Open a bundle's model with an engine.

    Args:
        bundle: What `load_bundle` returned.
        engine: "onnx", "tensorflow" (the SavedModel if there is one, else the Keras form) or
            "litert".
        threads: Threads of one computation of ONNX Runtime, >= 1; None leaves it to it.

    Raises:
        ValueError: If the engine is unknown, or the bundle has no form for it.
        ModuleNotFoundError: If the engine's library is missing; the message says what to install.
        BundleError: If the form cannot be opened.
    """
    form = form_for(bundle, engine)
    return open_form(bundle.path_of(form), form, bundle.signature, threads)


def form_for(bundle: "Bundle", engine: str) -> str:
    """Return the form of a bundle that an engine computes.

    Args:
        bundle: What `load_bundle` returned.
        engine: As in `open_engine`.

    Raises:
        ValueError: If the engine is unknown, or the bundle has no form for it.
    """
    held = bundle.manifest.forms
    for form in ENGINES[check_choice("engine", engine, ENGINES)]:
        if form in held:
            return form
    usable = [name for name, forms in ENGINES.items() if set(forms) & set(held)]
    raise ValueError(
        f"`engine` must be one that {bundle.name} has a form for: {', '.join(usable)}. "
        f"{received(engine=engine, forms=held)}"
    )


def _check_names(path: Path, inputs: list[str], num_outputs: int, signature: Signature) -> None:
    if set(inputs) != set(signature.inputs) or num_outputs != len(signature.outputs):
        raise BundleDamaged(
            f"{path.name} must have the inputs {', '.join(signature.inputs)} and "
            f"{len(signature.outputs)} outputs. {received(inputs=inputs, outputs=num_outputs)}"
        )


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:300]
