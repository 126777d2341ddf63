"""A model with what comes before and behind it: from the instances of a request to predictions."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dlnotes.serving.engines import Engine
from dlnotes.serving.manifest import Signature


class Predictor:
    """Preprocessing, an engine, and decoding.

    `prepare` is quick and may run in any thread; `compute` runs in the engine's.

    Args:
        signature: What the model takes and gives.
        engine: What computes it.
    """

    def __init__(self, signature: Signature, engine: Engine) -> None:
        self.signature, self.engine = signature, engine

    def prepare(self, instances: Sequence[Any]) -> dict[str, np.ndarray]:
        """Return the arrays of a request's instances.

        Raises:
            RequestError: If an instance does not suit the model.
        """
        return self.signature.preprocessor.arrays(instances)

    def compute(self, arrays: Mapping[str, np.ndarray]) -> list[Any]:
        """Return the prediction of each row, in JSON's types.

        A model with one output answers with its values, one with several with an object of them; a
        model that writes, as `GreedyDecoding.write` says, with the ``source_tokens`` that its
        attention looks at.
        """
        num_rows = len(next(iter(arrays.values())))
        decoding = self.signature.decoding
        if decoding:
            rows = decoding.write(self.engine.run, arrays, num_rows=num_rows)
            if decoding.source:
                encoding = self.signature.preprocessor.encoding(decoding.source)
                for row, ids in zip(rows, arrays[decoding.source], strict=True):
                    row["source_tokens"] = encoding.tokens(ids)
            return rows
        outputs = {name: array.tolist() for name, array in self.engine.run(arrays).items()}
        if len(outputs) == 1:
            return next(iter(outputs.values()))
        return [dict(zip(outputs, row, strict=True)) for row in zip(*outputs.values(), strict=True)]

    def predict(self, instances: Sequence[Any]) -> list[Any]:
        """Return the predictions for a request's instances.

        Raises:
            RequestError: If an instance does not suit the model.
        """
        return self.compute(self.prepare(instances))
