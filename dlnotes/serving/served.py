"""A bundle in service: its engine in a thread of its own, behind a queue."""

import json
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any

import numpy as np

from dlnotes.serving.batcher import Batcher, BatchSettings
from dlnotes.serving.bundle import Bundle
from dlnotes.serving.engines import form_for, open_engine
from dlnotes.serving.errors import RequestError
from dlnotes.serving.metrics import Metrics
from dlnotes.serving.predictor import Predictor
from dlnotes.validation import received

SIGNATURE_NAME = "serving_default"
# what most requests begin and end with: nothing else is in them than the instances
BEGIN = re.compile(rb'[ \t\r\n]*\{[ \t\r\n]*"instances"[ \t\r\n]*:')
END = re.compile(rb"\}[ \t\r\n]*\Z")
MOST_VALUES = 2**18  # in a request, where the model does not need more


class ServedModel:
    """Opens a bundle's engine, warms it up with the golden request, and answers with it.

    Args:
        bundle: What `load_bundle` returned; it stays the caller's to close.
        engine: As in `open_engine`.
        settings: How requests are put together.
        metrics: What to count in.
        threads: As in `open_engine`.

    Raises:
        ValueError: If the engine is unknown, or the bundle has no form for it.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        engine: str = "onnx",
        settings: BatchSettings | None = None,
        metrics: Metrics | None = None,
        threads: int | None = None,
    ) -> None:
        form_for(bundle, engine)
        self.bundle, self.engine_name, self.threads = bundle, engine, threads
        self.settings = settings or BatchSettings()
        self.metrics = metrics or Metrics()
        self._predictor: Predictor | None = None
        self._batcher: Batcher | None = None
        self._ended = False

    @property
    def name(self) -> str:
        """The model's name in addresses."""
        return self.bundle.name

    @property
    def state(self) -> str:
        """LOADING, AVAILABLE or FAILED, or END before `start` and after `close`."""
        if self._batcher is None or self._ended:
            return "END"
        if self._batcher.failure:
            return "FAILED"
        return "AVAILABLE" if self._batcher.ready.done() else "LOADING"

    @property
    def failure(self) -> str | None:
        """Why it failed, or None."""
        return str(self._batcher.failure) if self.state == "FAILED" else None

    def start(self) -> Future:
        """Begin to load, in the engine's thread; the future is done when the model is warm."""
        rows, seconds = (
            histogram.labels(self.name)
            for histogram in (self.metrics.batch_rows, self.metrics.batch_seconds)
        )

        def count(num_rows: int, took: float) -> None:
            rows.observe(num_rows)
            seconds.observe(took)

        self._batcher = Batcher(self._compute, self.settings, start=self._open, on_batch=count)
        self.metrics.waiting.labels(self.name).set_function(lambda: self._waiting)
        self.metrics.ready.labels(self.name).set_function(lambda: self.state == "AVAILABLE")
        return self._batcher.ready

    def ask(self, body: bytes) -> Future:
        """Check a request's body, and put its instances into the queue.

        Returns:
            The predictions to come, as `Predictor.compute` gives them.

        Raises:
            RequestError: If the body does not suit the model; the field is what is wrong in it.
            Overloaded: If too many wait already.
            Closed: If the service is shutting down.
        """
        self._check_values(body)
        begin, end = BEGIN.match(body), END.search(body)
        if begin and end:
            text = body[begin.end() : end.start()]
            arrays = self.bundle.preprocessor.arrays_of_text(text, self._most_rows)
            if arrays:
                return self._put(arrays, len(next(iter(arrays.values()))))
        return self.submit(self.instances(body))

    def instances(self, body: bytes) -> list[Any]:
        """Return the instances of a request's body, in TensorFlow Serving's row form.

        Raises:
            RequestError: If it is no such JSON; the field is what is wrong in it.
        """
        try:
            request = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise RequestError(f"the body must be JSON: {error}") from None
        if not isinstance(request, dict):
            raise RequestError('the body must be an object: {"instances": [...]}')
        for key in request.keys() - {"instances", "signature_name"}:
            raise RequestError(
                "the body must have no other keys than `instances` and `signature_name`. "
                f"{received(key=key)}",
                key[:100],
            )
        wanted = request.get("signature_name", SIGNATURE_NAME)
        if wanted != SIGNATURE_NAME:
            raise RequestError(
                f'`signature_name` must be "{SIGNATURE_NAME}". {received(signature_name=wanted)}',
                "signature_name",
            )
        instances = request.get("instances")
        if not isinstance(instances, list) or not instances:
            raise RequestError("`instances` must be a list with at least one row", "instances")
        return instances

    def _check_values(self, body: bytes) -> None:
        """Refuse a body that would fill the memory if it were read, and is no request anyhow."""
        if len(body) <= MOST_VALUES:
            return
        sizes = self.bundle.preprocessor.sizes()
        if None in sizes:
            return  # rows of any length: then the size of the body is the limit
        most = max(MOST_VALUES, 4 * self.settings.max_batch_size * sum(sizes))
        if sum(map(body.count, (b",", b"[", b"{"))) > most:
            raise RequestError(f"the body must have at most {most} values, lists and objects")

    def submit(self, instances: Sequence[Any]) -> Future:
        """Check the instances and put them into the queue.

        Returns:
            The predictions to come, as `Predictor.compute` gives them.

        Raises:
            RequestError: If an instance does not suit the model, or there are too many.
            Overloaded: If too many wait already.
            Closed: If the service is shutting down.
        """
        most = self._most_rows
        if len(instances) > most:
            raise RequestError(
                f"`instances` must have at most {most} rows, and has {len(instances)}", "instances"
            )
        return self._put(self.bundle.preprocessor.arrays(instances), len(instances))

    @property
    def _most_rows(self) -> int:
        return self.settings.max_batch_size

    def _put(self, arrays: dict[str, np.ndarray], size: int) -> Future:
        group = self.bundle.preprocessor.group(arrays)
        return self._batcher.submit(arrays, size=size, group=group)

    def describe(self) -> dict[str, Any]:
        """Return name, version, state, signature and limits, in JSON's types."""
        manifest, decoding = self.bundle.manifest, self.bundle.decoding
        status = {"version": manifest.version, "state": self.state}
        return {
            "name": manifest.name,
            "model_version_status": [status | ({"error": self.failure} if self.failure else {})],
            "digest": self.bundle.digest,
            "engine": self.engine_name,
            "inputs": self.bundle.preprocessor.describe(),
            "outputs": [
                {"name": spec.name, "dtype": spec.dtype, "shape": list(spec.row_shape)}
                for spec in self.bundle.signature.outputs.values()
            ],
            "labels": manifest.labels,
            "writes": bool(decoding),
            "attention": bool(decoding and decoding.attention),
            "example": manifest.golden.request["instances"][0],
            "max_instances": self.settings.max_batch_size,
            "versions": manifest.versions,
        }

    def close(self, *, drain: bool = True) -> None:
        """End the engine's thread; what was accepted is answered before, unless `drain` is off."""
        if self._batcher:
            self._ended = True
            self._batcher.close(drain=drain)

    @property
    def _waiting(self) -> int:
        return self._batcher.waiting if self._batcher else 0

    def _open(self) -> None:
        engine = open_engine(self.bundle, self.engine_name, threads=self.threads)
        self.bundle.check(engine)
        self._predictor = Predictor(self.bundle.signature, engine)

    def _compute(self, requests: Sequence[Mapping[str, np.ndarray]]) -> list[list[Any]]:
        predictions = iter(self._predictor.compute(self.bundle.preprocessor.merge(requests)))
        sizes = [len(next(iter(arrays.values()))) for arrays in requests]
        return [[next(predictions) for _ in range(size)] for size in sizes]
