"""From the values of a request to the arrays of a model: steps that are data, done in NumPy.

The steps travel with the model, in bundle.json, so the service prepares its inputs just as the
training did, whatever engine computes the answers.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from dlnotes.datasets.pipelines import UNKNOWN, Vocabulary, pad, split
from dlnotes.serving.errors import RequestError
from dlnotes.serving.tensors import BINARY, TensorSpec
from dlnotes.validation import check_choice, check_flag, check_float, check_int, received


@dataclasses.dataclass(frozen=True)
class Bounds:
    """Refuse numbers of an input outside ``[low, high]``, for example pixels outside 0 to 255.

    Attributes:
        input: Name of the model's input.
        low: The smallest number allowed.
        high: The largest number allowed.

    Raises:
        TypeError: If an attribute has the wrong type.
        ValueError: If `low` is above `high`, or one is not finite.

    Example:
        >>> Bounds("pixels", 0, 255).apply(np.array([[7.0]]))
        array([[7.]])
    """

    kind: ClassVar[str] = "bounds"
    input: str
    low: float
    high: float

    def __post_init__(self) -> None:
        _check_input_name(self.input)
        low = check_float("low", self.low)
        if low > check_float("high", self.high):
            raise ValueError(f"`low` must be <= `high`. {received(low=self.low, high=self.high)}")

    def apply(self, array: np.ndarray) -> np.ndarray:
        """Return the array.

        Raises:
            RequestError: If a number lies outside; the field is ``[i]`` for row i.
        """
        outside = (array < self.low) | (array > self.high)
        if outside.any():
            row = int(np.argwhere(outside)[0][0])
            number = array[outside][0].item()
            raise RequestError(
                f"must hold numbers in [{self.low:g}, {self.high:g}], and holds {number:g}",
                f"[{row}]",
            )
        return array

    def to_config(self) -> dict[str, Any]:
        """Return the step in JSON's types."""
        return {"step": self.kind, **dataclasses.asdict(self)}


@dataclasses.dataclass(frozen=True)
class Rescaling:
    """Compute ``x * scale + offset``, in the input's own type.

    Attributes:
        input: Name of the model's input, of fractions.
        scale: The factor: one number, or one for each place of the last axis.
        offset: What is added: one number, or one for each place of the last axis.

    Raises:
        TypeError: If an attribute has the wrong type.
        ValueError: If a number is not finite.

    Example:
        >>> Rescaling("pixels", 1 / 255).apply(np.array([[0.0, 51.0]])).round(3).tolist()
        [[0.0, 0.2]]
    """

    kind: ClassVar[str] = "rescaling"
    input: str
    scale: float | tuple[float, ...]
    offset: float | tuple[float, ...] = 0.0

    def __post_init__(self) -> None:
        _check_input_name(self.input)
        for name in ("scale", "offset"):
            value = getattr(self, name)
            if isinstance(value, Sequence | np.ndarray) and not isinstance(value, str):
                value = tuple(check_float(name, number) for number in value)
            else:
                value = check_float(name, value)
            object.__setattr__(self, name, value)

    def apply(self, array: np.ndarray) -> np.ndarray:
        """Return the new numbers, of the same type and shape."""
        scale, offset = (np.asarray(v, array.dtype) for v in (self.scale, self.offset))
        scaled = array * scale
        scaled += offset
        return scaled

    def to_config(self) -> dict[str, Any]:
        """Return the step in JSON's types."""
        return {"step": self.kind, **dataclasses.asdict(self)}


@dataclasses.dataclass(frozen=True)
class TextCleaning:
    """Change texts before they are encoded: small letters, and pieces replaced by others.

    Attributes:
        input: Name of the model's input.
        lowercase: Whether letters become small, first of all.
        replace: Pairs of a piece and what stands in its place, one after the other.

    Raises:
        TypeError: If an attribute has the wrong type.
        ValueError: If a piece to replace is empty.

    Example:
        >>> TextCleaning("source", replace=[("-", " ")]).apply("twenty-one")
        'twenty one'
    """

    kind: ClassVar[str] = "text_cleaning"
    input: str
    lowercase: bool = False
    replace: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        _check_input_name(self.input)
        check_flag("lowercase", self.lowercase)
        pairs = self.replace
        if isinstance(pairs, str) or not isinstance(pairs, Sequence):
            raise TypeError(f"`replace` must be pairs of texts. {received(replace=pairs)}")
        for pair in pairs:
            good = isinstance(pair, Sequence) and len(pair) == 2 and not isinstance(pair, str)
            if not good or not all(isinstance(part, str) for part in pair):
                raise TypeError(f"`replace` must be pairs of texts. {received(replace=pairs)}")
            if not pair[0]:
                raise ValueError(f"`replace` must replace no empty piece. {received(replace=pair)}")
        object.__setattr__(self, "replace", tuple(map(tuple, pairs)))

    def apply(self, text: str) -> str:
        """Return the changed text."""
        text = text.lower() if self.lowercase else text
        for old, new in self.replace:
            text = text.replace(old, new)
        return text

    def to_config(self) -> dict[str, Any]:
        """Return the step in JSON's types."""
        replace = [list(pair) for pair in self.replace]
        return {
            "step": self.kind,
            "input": self.input,
            "lowercase": self.lowercase,
            "replace": replace,
        }


@dataclasses.dataclass(frozen=True)
class TextEncoding:
    """Make ids of a text, as `dlnotes.datasets.Vocabulary` does, padded behind with 0.

    Attributes:
        input: Name of the model's input: whole numbers (B, T).
        vocabulary: The vocabulary that the model was trained with.
        max_length: The most ids of a row, `start` and `end` included; longer texts are refused.
        pad_to: "longest": rows are padded to the longest of their batch, for a model to which
            padding makes no difference; "max_length": all rows to that length.
        start: A token before each text, or None.
        end: A token behind each text, or None.
        unknown: What happens to what the vocabulary lacks: "refuse", or "keep" as id 1.

    Raises:
        TypeError: If an attribute has the wrong type.
        ValueError: If a choice is unknown, a length below 1, or a token not in the vocabulary.

    Example:
        >>> step = TextEncoding("source", Vocabulary.from_texts(["ab"]), max_length=4)
        >>> step.batch([step.apply("ab"), step.apply("b")]).tolist()
        [[2, 3], [3, 0]]
    """

    kind: ClassVar[str] = "text_encoding"
    input: str
    vocabulary: Vocabulary
    max_length: int
    pad_to: str = "longest"
    start: str | None = None
    end: str | None = None
    unknown: str = "refuse"

    def __post_init__(self) -> None:
        _check_input_name(self.input)
        if not isinstance(self.vocabulary, Vocabulary):
            raise TypeError(
                f"`vocabulary` must be a Vocabulary. {received(vocabulary=self.vocabulary)}"
            )
        around = [name for name in ("start", "end") if getattr(self, name) is not None]
        check_int("max_length", self.max_length, low=1 + len(around))
        check_choice("pad_to", self.pad_to, ("longest", "max_length"))
        check_choice("unknown", self.unknown, ("refuse", "keep"))
        for name in around:
            check_token(name, getattr(self, name), self.vocabulary)

    def apply(self, text: str) -> np.ndarray:
        """Return the ids of one text, int32, shape (T,).

        Raises:
            RequestError: If it holds no token, too many, or one that the vocabulary lacks.
        """
        try:
            content = text.encode()
        except UnicodeEncodeError:
            raise RequestError("must hold whole characters, and holds half of one") from None
        units = self.vocabulary.level
        before, behind = ([t] if t else [] for t in (self.start, self.end))
        limit = self.max_length - len(before) - len(behind)
        # no more is split than is needed to know: the text may be long
        parts = text if units == "characters" else content.split(None, limit)
        if len(parts) > limit:
            raise RequestError(f"must hold at most {limit} {units}, and holds more")
        tokens = split(text, units)
        if not tokens:
            raise RequestError("must hold at least one token")
        ids = self.vocabulary.encode(text)
        reserved = {self.start, self.end} - {None}
        for place, (token, number) in enumerate(zip(tokens, ids, strict=True), start=1):
            if (number == UNKNOWN and self.unknown == "refuse") or token in reserved:
                raise RequestError(
                    f"holds {token[:30]!r} ({units.removesuffix('s')} {place}), "
                    "which the model does not know"
                )
        around = [[self.vocabulary.id_of(token) for token in part] for part in (before, behind)]
        return np.array([*around[0], *ids, *around[1]], np.int32)

    def batch(self, rows: Sequence[np.ndarray]) -> np.ndarray:
        """Return rows of ids as one array, (B, T)."""
        return pad(rows, self.max_length if self.pad_to == "max_length" else None)

    def tokens(self, ids: np.ndarray) -> list[str]:
        """Return the tokens of one row of ids, without its padding."""
        return [self.vocabulary.decode([number]) for number in ids if number]

    def to_config(self) -> dict[str, Any]:
        """Return the step in JSON's types."""
        config = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {"step": self.kind, **config, "vocabulary": self.vocabulary.get_config()}


Step = Bounds | Rescaling | TextCleaning | TextEncoding
STEPS = {step.kind: step for step in (Bounds, Rescaling, TextCleaning, TextEncoding)}
TEXT_STEPS = (TextCleaning, TextEncoding)


def step_from_config(config: Mapping[str, Any]) -> Step:
    """Return the step that its `to_config` described.

    Raises:
        TypeError: If an attribute is missing, unknown or of the wrong type.
        ValueError: If the step is unknown, or an attribute out of range.

    Example:
        >>> step_from_config({"step": "rescaling", "input": "x", "scale": 0.5, "offset": 0.0})
        Rescaling(input='x', scale=0.5, offset=0.0)
    """
    config = dict(config)
    kind = config.pop("step", None)
    if kind not in STEPS:
        raise ValueError(f"`step` must be one of {', '.join(STEPS)}. {received(step=kind)}")
    if "vocabulary" in config:
        config["vocabulary"] = vocabulary_from_config(config["vocabulary"])
    return STEPS[kind](**config)


def vocabulary_from_config(config: Any) -> Vocabulary:
    """Return the vocabulary of a configuration that may come from anywhere.

    Raises:
        TypeError: If it is of another form.
        ValueError: If its tokens are.
    """
    if not isinstance(config, Mapping) or set(config) != {"tokens", "level"}:
        raise TypeError(f"`vocabulary` must have tokens and level. {received(vocabulary=config)}")
    return Vocabulary.from_config(config)


class Preprocessor:
    """All steps of a model: from the instances of a request to named arrays.

    Args:
        inputs: The model's inputs that a request gives, with names, types and shapes.
        steps: What is done to them, in this order.

    Raises:
        TypeError: If a step is none.
        ValueError: If a step names no input, does not suit its type or shape, or comes where it
            cannot; or if an input is called "b64".

    Example:
        >>> inputs = [TensorSpec("pixels", "float32", (None, 2))]
        >>> prepare = Preprocessor(inputs, [Bounds("pixels", 0, 255), Rescaling("pixels", 1 / 255)])
        >>> prepare.arrays([[0, 51]])["pixels"].round(3).tolist()
        [[0.0, 0.20000000298023224]]
    """

    def __init__(self, inputs: Sequence[TensorSpec], steps: Sequence[Step] = ()) -> None:
        self.inputs = {spec.name: spec for spec in inputs}
        if BINARY in self.inputs:
            raise ValueError(
                f"`inputs` must have other names than {BINARY}, which marks bytes in a request. "
                f"{received(names=list(self.inputs))}"
            )
        self.steps = tuple(steps)
        for step in self.steps:
            if not isinstance(step, Step):
                raise TypeError(f"`steps` must be steps of preprocessing. {received(steps=step)}")
            if step.input not in self.inputs:
                raise ValueError(
                    f"`input` must be one of {', '.join(self.inputs)}. {received(input=step.input)}"
                )
        self._chains = {
            name: tuple(step for step in self.steps if step.input == name) for name in self.inputs
        }
        for name, chain in self._chains.items():
            _check_chain(self.inputs[name], chain)

    def encoding(self, name: str) -> TextEncoding | None:
        """Return how the texts of an input become ids, or None for an input of numbers."""
        chain = self._chains[name]
        return chain[-1] if chain and isinstance(chain[-1], TextEncoding) else None

    def bounds(self, name: str) -> Bounds | None:
        """Return the limits of the numbers that a request may give for an input, or None."""
        chain = self._chains[name]
        return chain[0] if chain and isinstance(chain[0], Bounds) else None

    def sizes(self) -> list[int | None]:
        """Return how many values a row has in each input: 1 for a text, None for any number."""
        free = {name for name, spec in self.inputs.items() if None in spec.row_shape}
        return [
            1 if self.encoding(name) else None if name in free else math.prod(spec.row_shape)
            for name, spec in self.inputs.items()
        ]

    def padded(self, name: str) -> bool:
        """Return whether rows of an input are padded to the longest of their batch."""
        encoding = self.encoding(name)
        return encoding is not None and encoding.pad_to == "longest"

    def arrays(self, instances: Sequence[Any], place: str = "instances") -> dict[str, np.ndarray]:
        """Return the arrays of a request's instances, one row each.

        Args:
            instances: Of a model with one input, its values; or objects with a value for each
                input's name. A text for an input with `TextEncoding`, else nested lists of numbers,
                or ``{"b64": text}`` with their bytes, as `TensorSpec.from_base64` takes them.
            place: What the list is called in messages.

        Raises:
            RequestError: If an instance lacks an input, has one too many, or a value does not fit.
        """
        arrays = {}
        columns = self._columns(instances, place)
        named = any(map(_has_names, instances))
        for name, values in columns.items():
            try:
                arrays[name] = self._column(name, values)
            except RequestError as error:
                inner = f".{name}" if named else ""
                field = f"{place}{error.field or '[*]'}{inner}"
                raise RequestError(f"`{field}` {error}", field) from None
        return arrays

    def arrays_of_text(self, text: bytes, most: int) -> dict[str, np.ndarray] | None:
        """Return what `arrays` makes of instances in JSON, in less time.

        None where that cannot be: several inputs, texts, free axes, more than `most` instances, or
        whatever is not right.
        """
        if len(self.inputs) > 1:
            return None
        ((name, spec),) = self.inputs.items()
        array = None if self.encoding(name) else spec.from_text(text, most)
        if array is None:
            return None
        try:
            for step in self._chains[name]:
                array = step.apply(array)
        except RequestError:
            return None
        return {name: array}

    def merge(self, parts: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """Return the arrays of several requests as those of one, in their order."""
        merged = {}
        for name in self.inputs:
            arrays = [part[name] for part in parts]
            if self.padded(name) and len({array.shape[1] for array in arrays}) > 1:
                merged[name] = pad([row for array in arrays for row in array])
            else:
                merged[name] = np.concatenate(arrays) if len(arrays) > 1 else arrays[0]
        return {k: v.astype(self.inputs[k].dtype, copy=False) for k, v in merged.items()}

    def group(self, arrays: Mapping[str, np.ndarray]) -> tuple[Any, ...]:
        """Return what arrays have in common that `merge` can join: lengths of all other axes."""
        return tuple(arrays[name].shape[2 if self.padded(name) else 1 :] for name in self.inputs)

    def describe(self) -> list[dict[str, Any]]:
        """Return what a request gives for each input, in JSON's types."""
        fields = []
        for name, spec in self.inputs.items():
            encoding, bounds = self.encoding(name), self.bounds(name)
            if encoding:
                field = {"name": name, "type": "text", "max_length": encoding.max_length}
            else:
                field = {"name": name, "type": spec.dtype, "shape": list(spec.row_shape)}
            fields.append(field | ({"low": bounds.low, "high": bounds.high} if bounds else {}))
        return fields

    def json_schema(self) -> dict[str, Any]:
        """Return the JSON schema of one instance."""
        values = {name: self._value_schemas(name) for name in self.inputs}
        whole = {
            "type": "object",
            "properties": {k: _any_of(schemas) for k, schemas in values.items()},
            "required": list(values),
            "additionalProperties": False,
        }
        return _any_of([*next(iter(values.values())), whole]) if len(values) == 1 else whole

    def _value_schemas(self, name: str) -> list[dict[str, Any]]:
        """Return the JSON schemas of the forms that a value of an input may have."""
        spec, bounds = self.inputs[name], self.bounds(name)
        if self.encoding(name):
            return [{"type": "string", "minLength": 1}]
        schema = innermost = spec.json_schema()
        while "items" in innermost:
            innermost = innermost["items"]
        if bounds:
            innermost |= {"minimum": bounds.low, "maximum": bounds.high}
        return [schema] if None in spec.row_shape else [schema, spec.base64_schema()]

    def _columns(self, instances: Sequence[Any], place: str) -> dict[str, list[Any]]:
        """Return the values of each input, one a row."""
        only = next(iter(self.inputs)) if len(self.inputs) == 1 else None
        if only and not any(map(_has_names, instances)):
            return {only: list(instances)}
        columns: dict[str, list[Any]] = {name: [] for name in self.inputs}
        for i, instance in enumerate(instances):
            field = f"{place}[{i}]"
            if not isinstance(instance, dict):
                raise RequestError(
                    f"`{field}` must be an object with {_listed(self.inputs)}", field
                )
            for name in instance.keys() - columns.keys():
                raise RequestError(
                    f"`{field}` must have no other inputs than {_listed(self.inputs)}. "
                    f"{received(name=name)}",
                    field,
                )
            for name, values in columns.items():
                if name not in instance:
                    inner = f"{field}.{name}"
                    raise RequestError(f"`{inner}` is missing", inner)
                values.append(instance[name])
        return columns

    def _column(self, name: str, values: list[Any]) -> np.ndarray:
        chain, spec = self._chains[name], self.inputs[name]
        encoding = self.encoding(name)
        if encoding is None:
            array = _numbers(spec, values)
            for step in chain:
                array = step.apply(array)
            return array
        rows = []
        for i, value in enumerate(values):
            try:
                if not isinstance(value, str):
                    raise RequestError("must be a text")
                for step in chain:
                    value = step.apply(value)
            except RequestError as error:
                raise RequestError(str(error), f"[{i}]") from None
            rows.append(value)
        return encoding.batch(rows).astype(spec.dtype, copy=False)


def check_token(name: str, token: Any, vocabulary: Vocabulary) -> None:
    """Require that a token is in a vocabulary.

    Raises:
        TypeError: If it is no text.
        ValueError: If the vocabulary lacks it.
    """
    if not isinstance(token, str):
        raise TypeError(f"`{name}` must be a token. {received(**{name: token})}")
    if token not in vocabulary.tokens:
        raise ValueError(f"`{name}` must be in the vocabulary. {received(**{name: token})}")


def _check_chain(spec: TensorSpec, chain: Sequence[Step]) -> None:
    name = spec.name
    texts = [isinstance(step, TEXT_STEPS) for step in chain]
    encodings = [step for step in chain if isinstance(step, TextEncoding)]
    if any(texts) and (not all(texts) or len(encodings) != 1 or chain[-1] is not encodings[0]):
        raise ValueError(
            "`steps` for a text must end with one text_encoding, and number steps cannot join it. "
            f"{received(input=name, steps=[step.kind for step in chain])}"
        )
    whole = np.dtype(spec.dtype).kind in "iu"
    if encodings:
        if not whole or len(spec.row_shape) != 1:
            raise ValueError(
                "`text_encoding` must be for an input of whole numbers with one axis. "
                f"{received(input=name, type=spec.describe())}"
            )
        length = spec.row_shape[0]
        wanted = (encodings[0].max_length, "max_length")
        if length is not None and (length, encodings[0].pad_to) != wanted:
            raise ValueError(
                f'`text_encoding` must pad to max_length={length}: pad_to="max_length". '
                f"{received(input=name, max_length=wanted[0], pad_to=encodings[0].pad_to)}"
            )
    for i, step in enumerate(chain):
        if isinstance(step, Bounds) and i:
            raise ValueError(
                f"`bounds` must be the first step: it is for what a request gives. "
                f"{received(input=name)}"
            )
        if isinstance(step, Rescaling):
            if whole:
                raise ValueError(
                    f"`rescaling` must be for an input of fractions. "
                    f"{received(input=name, dtype=spec.dtype)}"
                )
            last = spec.shape[-1]
            for value in (step.scale, step.offset):
                if isinstance(value, tuple) and (len(spec.shape) < 2 or len(value) != last):
                    raise ValueError(
                        "`scale` and `offset` must be one number, or one for each place of the "
                        f"last axis. {received(input=name, numbers=len(value), axis=last)}"
                    )


def _check_input_name(name: Any) -> None:
    if not isinstance(name, str) or not name:
        raise TypeError(f"`input` must be the name of an input. {received(input=name)}")


def _has_names(instance: Any) -> bool:
    """Return whether an instance is an object of inputs, and not the value of the only one."""
    return isinstance(instance, dict) and not _is_binary(instance)


def _is_binary(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {BINARY} and isinstance(value[BINARY], str)


def _numbers(spec: TensorSpec, values: Sequence[Any]) -> np.ndarray:
    """Return rows of an input of numbers, each in lists or in base64."""
    packed = {i: value[BINARY] for i, value in enumerate(values) if _is_binary(value)}
    if len(packed) == len(values):
        return spec.from_base64(list(packed.values()))
    values = list(values)
    for i, text in packed.items():
        try:
            values[i] = spec.from_base64([text])[0].tolist()
        except RequestError as error:
            raise RequestError(str(error), f"[{i}]") from None
    return spec.array(values)


def _any_of(schemas: list[dict[str, Any]]) -> dict[str, Any]:
    return {"anyOf": schemas} if len(schemas) > 1 else schemas[0]


def _listed(names: Mapping[str, Any]) -> str:
    return ", ".join(f"`{name}`" for name in names)
