"""What bundle.json says: the format, as types that check what they read."""

import re
from typing import Annotated, Any, Literal

from dlnotes.serving.decoding import GreedyDecoding, decoding_from_config
from dlnotes.serving.errors import BundleFormatError, UnsafeBundle, needs_serve_extra
from dlnotes.serving.preprocessing import Preprocessor, Step, step_from_config
from dlnotes.serving.safety import FORM_FILES, check_kind_of_file, check_member_name
from dlnotes.serving.tensors import TensorSpec
from dlnotes.validation import received

with needs_serve_extra():
    import pydantic

FORMAT = 1
MANIFEST_NAME = "bundle.json"
NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}"

_Name = Annotated[str, pydantic.StringConstraints(pattern=f"^{NAME_PATTERN}$")]
_Size = Annotated[int, pydantic.Field(ge=0)]


class _Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(strict=True, extra="forbid", frozen=True)


class FileEntry(_Strict):
    """Size in bytes and SHA-256 of a file of the bundle."""

    size: _Size
    sha256: Annotated[str, pydantic.StringConstraints(pattern="^[0-9a-f]{64}$")]


class Tensor(_Strict):
    """An input or output of the model; null in `shape` is an axis of any length."""

    name: str
    dtype: str
    shape: list[int | None]


class Golden(_Strict):
    """A request and the answer of the Keras model, to be had again within the tolerance."""

    request: dict[str, Any]
    response: dict[str, Any]
    tolerance: Annotated[float, pydantic.Field(gt=0, allow_inf_nan=False)]


class Manifest(_Strict):
    """All of bundle.json.

    Attributes:
        format: Number of the format, 1.
        name: Name of the model in addresses: letters, digits and ``_.-``, at most 64.
        version: Its version, of the same characters.
        versions: What it was made with: library and version.
        inputs: The model's inputs, in its order.
        outputs: The model's outputs, in its order.
        preprocessing: The steps from a request to the inputs, as `step_from_config` reads them.
        decoding: How the model writes, as `decoding_from_config` reads it, or null.
        labels: Names of the classes, or null.
        forms: Which forms of the model the bundle holds.
        files: All files but bundle.json.
        golden: A request with its answer.
    """

    format: Literal[1]
    name: _Name
    version: _Name
    versions: dict[str, str]
    inputs: Annotated[list[Tensor], pydantic.Field(min_length=1)]
    outputs: Annotated[list[Tensor], pydantic.Field(min_length=1)]
    preprocessing: list[dict[str, Any]]
    decoding: dict[str, Any] | None
    labels: list[str] | None
    forms: Annotated[list[Literal[tuple(FORM_FILES)]], pydantic.Field(min_length=1)]
    files: dict[str, FileEntry]
    golden: Golden


class Signature:
    """What a model takes and gives, with what happens before and behind it.

    Args:
        inputs: The model's inputs.
        outputs: The model's outputs.
        preprocessing: Steps from a request to the inputs.
        decoding: How the model writes; None answers with its outputs.
        labels: Names of the classes of an only output (B, K), or None.

    Attributes:
        preprocessor: The steps, for the inputs that come with a request.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If names occur twice, or the parts do not fit each other.
    """

    def __init__(
        self,
        inputs: list[TensorSpec],
        outputs: list[TensorSpec],
        preprocessing: list[Step],
        decoding: GreedyDecoding | None,
        labels: list[str] | None,
    ) -> None:
        self.inputs = {spec.name: spec for spec in inputs}
        self.outputs = {spec.name: spec for spec in outputs}
        if len(self.inputs) < len(inputs) or len(self.outputs) < len(outputs):
            names = [spec.name for spec in (*inputs, *outputs)]
            raise ValueError(f"`name` must be another for each. {received(names=names)}")
        self.decoding, self.labels = decoding, labels
        if decoding:
            self._check_decoding(decoding)
        asked = [spec for spec in inputs if decoding is None or spec.name != decoding.input]
        self.preprocessor = Preprocessor(asked, preprocessing)
        self._check_free_integers()
        self._check_padding()
        self._check_labels()

    def _check_decoding(self, decoding: GreedyDecoding) -> None:
        for name, known in (("input", self.inputs), ("output", self.outputs)):
            if getattr(decoding, name) not in known:
                wrong = received(**{name: getattr(decoding, name)})
                raise ValueError(f"`{name}` must be one of {', '.join(known)}. {wrong}")
        written, scores = self.inputs[decoding.input], self.outputs[decoding.output]
        if written.shape != (None, None) or not written.dtype.startswith("int"):
            raise ValueError(
                "`input` of a decoding must be whole numbers of shape (B, T). "
                f"{received(input=written)}"
            )
        if len(scores.shape) != 3 or scores.shape[2] != len(decoding.vocabulary):
            raise ValueError(
                f"`output` of a decoding must have shape (B, T, {len(decoding.vocabulary)}), as "
                f"many as its vocabulary. {received(output=scores)}"
            )
        if len(self.inputs) < 2:
            raise ValueError(
                "`inputs` must have one that comes with the request, beside the decoding's. "
                f"{received(inputs=list(self.inputs))}"
            )
        if decoding.attention is not None:
            if decoding.attention not in self.outputs:
                wrong = received(attention=decoding.attention)
                raise ValueError(f"`attention` must be one of {', '.join(self.outputs)}. {wrong}")
            weights = self.outputs[decoding.attention]
            if len(weights.shape) != 3:
                raise ValueError(
                    f"`attention` must have shape (B, T, S). {received(shape=weights)}"
                )

    def _check_free_integers(self) -> None:
        preprocessor = self.preprocessor
        for name, spec in preprocessor.inputs.items():
            limited = preprocessor.encoding(name) or preprocessor.bounds(name)
            if spec.dtype.startswith(("int", "uint")) and not limited:
                raise ValueError(
                    "`preprocessing` must say what whole numbers may be, by `Bounds` or "
                    "`TextEncoding`: a number without a row in an embedding is an error. "
                    f"{received(input=name)}"
                )
        source = self.decoding and self.decoding.source
        if source and (source not in preprocessor.inputs or not preprocessor.encoding(source)):
            raise ValueError(f"`source` must be an input of texts. {received(source=source)}")

    def _check_padding(self) -> None:
        padded = [name for name in self.preprocessor.inputs if self.preprocessor.padded(name)]
        free = [spec.name for spec in self.outputs.values() if None in spec.row_shape]
        if padded and free and self.decoding is None:
            raise ValueError(
                '`pad_to` must be "max_length" for a model whose output has axes of any length: '
                "the answer to a text would depend on its neighbours' lengths. "
                f"{received(input=padded[0], output=free[0])}"
            )

    def _check_labels(self) -> None:
        if self.labels is None:
            return
        shapes = [spec.row_shape for spec in self.outputs.values()]
        if self.decoding or shapes != [(len(self.labels),)]:
            raise ValueError(
                "`labels` must be as many as the only output has places. "
                f"{received(labels=len(self.labels), outputs=shapes)}"
            )


def read_manifest(content: bytes) -> tuple[Manifest, Signature]:
    """Return what a bundle.json says, and the signature made of it.

    Raises:
        BundleFormatError: If it is no JSON, of an unknown format, or not as the format says.
        UnsafeBundle: If it names files that a bundle may not hold.
    """
    try:
        number = pydantic.TypeAdapter(dict[str, Any]).validate_json(content).get("format")
        if type(number) is not int or number != FORMAT:
            raise BundleFormatError(
                f"{MANIFEST_NAME}: `format` must be {FORMAT}, all that this version of dlnotes "
                f"reads. {received(format=number)}"
            )
        manifest = Manifest.model_validate_json(content)
        signature = Signature(
            [TensorSpec(t.name, t.dtype, tuple(t.shape)) for t in manifest.inputs],
            [TensorSpec(t.name, t.dtype, tuple(t.shape)) for t in manifest.outputs],
            [step_from_config(step) for step in manifest.preprocessing],
            decoding_from_config(manifest.decoding) if manifest.decoding else None,
            manifest.labels,
        )
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise BundleFormatError(
            f"{MANIFEST_NAME}: `{where}`: {first['msg']}. {received(value=first['input'])}"
        ) from None
    except BundleFormatError:
        raise
    except (TypeError, ValueError) as error:
        raise BundleFormatError(f"{MANIFEST_NAME}: {error}") from error
    _check_names(manifest)
    return manifest, signature


def _check_names(manifest: Manifest) -> None:
    """Require that all files are those of the forms, and each form has some."""
    if len(set(manifest.forms)) < len(manifest.forms):
        raise BundleFormatError(f"{MANIFEST_NAME}: `forms` must all be different")
    for name in manifest.files:
        check_kind_of_file(check_member_name(name))
    patterns = {form: FORM_FILES[form] for form in manifest.forms}
    for form, pattern in patterns.items():
        if not any(re.fullmatch(pattern, name) for name in manifest.files):
            raise BundleFormatError(f"{MANIFEST_NAME}: `files` must hold those of the form {form}")
    for name in manifest.files:
        if not any(re.fullmatch(pattern, name) for pattern in patterns.values()):
            raise UnsafeBundle(f"{name} belongs to none of the forms {', '.join(manifest.forms)}")
