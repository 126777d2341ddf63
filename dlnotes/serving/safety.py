"""What a bundle may hold: names, kinds of files, and what a saved model may ask for."""

import json
import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from dlnotes.serving.errors import BundleDamaged, UnsafeBundle
from dlnotes.validation import received

# Where each form lies in a bundle, and which files belong to it.
FORM_PATHS = {
    "keras": "model.keras",
    "saved_model": "saved_model",
    "onnx": "model.onnx",
    "litert": "model.tflite",
}
FORM_FILES = {
    "keras": r"model\.keras",
    "saved_model": (
        r"saved_model/(saved_model\.pb|fingerprint\.pb"
        r"|variables/variables\.(index|data-\d{5}-of-\d{5}))"
    ),
    "onnx": r"model\.onnx",
    "litert": r"model\.tflite",
}
_KERAS_MEMBERS = {"metadata.json", "config.json", "model.weights.h5"}
# not all of Keras: by names of `keras.config` or `keras.utils` files did harm in safe mode too
_KERAS_MODULES = re.compile(
    r"keras|keras\.(activations|constraints|dtype_policies|initializers|layers|losses|metrics|models"
    r"|ops|optimizers|quantizers|random|regularizers)(\.\w+)?|keras\.src\.(models|ops)\.\w+"
)
_COURSE_MODULES = re.compile(r"dlnotes\.layers(\.\w+)?")
_MAX_CONFIG = 64 * 2**20
_MAX_PLAIN = 64 * 2**20  # what unpacks to more must not shrink more than weights can
_MAX_RATIO = 50
ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError)
_PICKLE = re.compile(rb"\x80[\x02-\x05]")
_HDF5 = b"\x89HDF\r\n\x1a\n"
_PICKLE_NAMES = {".pkl", ".pickle", ".joblib", ".npy", ".npz", ".pt", ".pth", ".bin"}
_HDF5_NAMES = {".h5", ".hdf5", ".he5"}
# Operations with which a graph reads or writes files, runs Python or reaches the network.
_FORBIDDEN_OPERATIONS = re.compile(
    r"ReadFile|WriteFile|MatchingFiles|.*PyFunc.*|PrintV2|Print|.*Summary.*|.*Reader.*|.*Rpc.*"
    r"|.*Dataset.*|Save|SaveSlices|Restore|RestoreSlice|Debug.*|.*Lookup.*FromFile.*"
    r"|InitializeTableFromTextFile.*|ImmutableConst|GenerateVocabRemapping|LoadAndRemapMatrix"
    r"|FileSystem.*|SaveV2|RestoreV2|MergeV2Checkpoints|ShardedFilename"
)
# TensorFlow has some of them in two functions for the weights, which no other may call.
_SAVING_OPERATIONS = re.compile(r"SaveV2|RestoreV2|MergeV2Checkpoints|ShardedFilename")
_SAVING_FUNCTIONS = re.compile(r"__inference__traced_(save|restore)_\d+")


def check_member_name(name: Any) -> str:
    """Return the name of a file in a bundle if it stays inside the bundle.

    Raises:
        UnsafeBundle: If it is absolute, holds "..", a drive, a backslash or a control character.

    Example:
        >>> check_member_name("saved_model/saved_model.pb")
        'saved_model/saved_model.pb'
    """
    odd = not isinstance(name, str) or not name or any(c < " " or c in "\\:" for c in name)
    if not odd:
        path = PurePosixPath(name)
        odd = path.is_absolute() or ".." in path.parts or str(path) != name
    if odd:
        raise UnsafeBundle(f"a file's name must stay inside the bundle. Received: {name!r}")
    return name


def check_kind_of_file(name: str, head: bytes = b"") -> None:
    """Refuse files that no form of a model has.

    Args:
        name: The file's name in the bundle.
        head: Its first bytes.

    Raises:
        UnsafeBundle: If it is a pickle or an HDF5 file, by its name or by what it holds, or belongs
            to no form.
    """
    suffix = PurePosixPath(name).suffix.lower()
    if suffix in _PICKLE_NAMES or _PICKLE.match(head):
        raise UnsafeBundle(
            f"{name} is a pickle, or may hold one, and a pickle can run any code when it is read. "
            "A bundle holds .keras, SavedModel, ONNX and LiteRT files only"
        )
    if suffix in _HDF5_NAMES or head.startswith(_HDF5):
        raise UnsafeBundle(
            f"{name} is an HDF5 file, Keras' old form, which loses what text layers have learned, "
            "and from which Keras before 3.11.3 runs code in safe mode too: save the model as "
            ".keras"
        )
    if not any(re.fullmatch(pattern, name) for pattern in FORM_FILES.values()):
        raise UnsafeBundle(f"{name} belongs to no form of a model: a bundle holds nothing else")


def check_member_size(name: str, member: zipfile.ZipInfo) -> None:
    """Refuse a file of a zip that is packed in an odd way, or is far larger than its packed form.

    Args:
        name: The zip's name, for the message.
        member: What the zip says of the file.

    Raises:
        UnsafeBundle: If it is so.
    """
    usual = member.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
    large = member.file_size > max(_MAX_PLAIN, _MAX_RATIO * member.compress_size)
    if large or not usual or member.flag_bits & 1:
        raise UnsafeBundle(
            f"{name}: {member.filename} must be stored or deflated, to no less than 1/{_MAX_RATIO} "
            f"if it is large, and without a password. {received(size=member.file_size)}"
        )


def check_keras_file(path: Path) -> None:
    """Refuse a ``.keras`` file with more than layers of Keras and of this course.

    Nothing is loaded: the architecture is read as text, before Keras sees it.

    Args:
        path: The file.

    Raises:
        UnsafeBundle: If it has a Lambda layer, a function of somebody's own, a class from another
            package, or other members than Keras writes.
        BundleDamaged: If it is no ``.keras`` file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                check_member_size(path.name, member)
                if member.filename not in _KERAS_MEMBERS:
                    raise UnsafeBundle(
                        f"{path.name} holds {member.filename!r}, which is not Keras'"
                    )
            if archive.getinfo("config.json").file_size > _MAX_CONFIG:
                raise UnsafeBundle(f"{path.name}: config.json is too large")
            config = json.loads(archive.read("config.json"))
    except UnsafeBundle:
        raise
    except (*ZIP_ERRORS, KeyError, ValueError, RecursionError, OSError) as error:
        raise BundleDamaged(f"{path.name} is no .keras file: {error}") from error
    for entry in _objects(config):
        kind, module = entry.get("class_name"), entry.get("module")
        if kind in ("Lambda", "__lambda__") or entry.get("registered_name") == "Lambda":
            raise UnsafeBundle(
                f"{path.name} has a Lambda layer, which is code and not data. Write it as a layer "
                "class, or with keras.ops"
            )
        known = module is None or (isinstance(module, str) and _KERAS_MODULES.fullmatch(module))
        of_course = isinstance(module, str) and _COURSE_MODULES.fullmatch(module)
        if kind == "function" or not (known or of_course):
            raise UnsafeBundle(f"{path.name} asks for {kind!r} of {module!r}, which is not Keras'")


def check_graph(saved_model: Any, name: str) -> None:
    """Refuse a SavedModel's graph that reads or writes files, or runs Python.

    Args:
        saved_model: What saved_model.pb holds, a ``SavedModel`` of TensorFlow's protocol buffers.
        name: What it is called in the message.

    Raises:
        UnsafeBundle: If one of its operations is such an operation, or it may call those with which
            TensorFlow saves weights.
    """
    for graph in saved_model.meta_graphs:
        functions = {f.signature.name: f for f in graph.graph_def.library.function}
        saving = {called for called in functions if _SAVING_FUNCTIONS.fullmatch(called)}
        nodes = [("", node) for node in graph.graph_def.node]
        nodes += [(called, node) for called, f in functions.items() for node in f.node_def]
        for place, node in nodes:
            allowed = place in saving and _SAVING_OPERATIONS.fullmatch(node.op)
            if not allowed and _FORBIDDEN_OPERATIONS.fullmatch(node.op):
                raise UnsafeBundle(
                    f"{name} has the operation {node.op}, which a model does not need"
                )
        # the nodes outside of functions are computed in an old SavedModel alone, without objects
        served = [f for called, f in functions.items() if called not in saving]
        served += [graph.object_graph_def, *graph.graph_def.library.gradient]
        served += [] if graph.object_graph_def.nodes else graph.graph_def.node
        texts = [part.SerializeToString() for part in served]
        for called in saving:
            if any(called.encode() in text for text in texts):
                raise UnsafeBundle(f"{name} computes {called}, which is for saving weights")


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    """Yield all objects with a class in a configuration."""
    stack = [value]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            if "class_name" in value:
                yield value
            stack.extend(value.values())
        elif isinstance(value, list):
            stack.extend(value)
