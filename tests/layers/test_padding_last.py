import numpy as np
import pytest
from contracts import check_docstring

from dlnotes.runtime import quiet_start

with quiet_start():
    import keras

    from dlnotes.layers import PaddingLast

TOKENS = np.array([[0, 7, 0, 5], [7, 5, 0, 0], [0, 0, 7, 5], [0, 0, 0, 0], [3, 1, 2, 1]])


def arrays(outputs):
    return [keras.ops.convert_to_numpy(output) for output in outputs]


def test_padding_last_moves_the_padding_and_keeps_the_order():
    tokens, mask, factor = arrays(PaddingLast()(TOKENS))
    wanted = [[7, 5, 0, 0], [7, 5, 0, 0], [7, 5, 0, 0], [0, 0, 0, 0], [3, 1, 2, 1]]
    np.testing.assert_array_equal(tokens, wanted)
    wanted_mask = [[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0], [1, 0, 0, 0], [1, 1, 1, 1]]
    np.testing.assert_array_equal(mask, np.array(wanted_mask, dtype=bool))
    np.testing.assert_array_equal(factor, [[1], [1], [1], [0], [1]])


def test_padding_last_keeps_the_order_of_long_rows():
    rows = np.random.default_rng(0).integers(0, 3, size=(6, 700))
    tokens, mask, _ = arrays(PaddingLast()(rows))
    for row, moved, known in zip(rows, tokens, mask, strict=True):
        np.testing.assert_array_equal(moved[known], row[row != 0])
        assert not moved[~known].any()


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_padding_last_says_shapes_and_types_before_it_is_called(policy):
    layer = PaddingLast(dtype=policy)
    symbolic = layer(keras.Input((None,), dtype="int32"))
    assert [tuple(tensor.shape) for tensor in symbolic] == [(None, None), (None, None), (None, 1)]
    real = layer(TOKENS.astype("int32"))
    types = [keras.backend.standardize_dtype(tensor.dtype) for tensor in real]
    assert types == ["int32", "bool", "float16" if "16" in policy else "float32"]
    assert [keras.backend.standardize_dtype(tensor.dtype) for tensor in symbolic] == types
    shapes = layer.compute_output_shape(TOKENS.shape)
    assert [tuple(tensor.shape) for tensor in real] == list(shapes)


def test_padding_last_is_registered_and_comes_back_from_its_config():
    assert keras.saving.get_registered_name(PaddingLast) == "dlnotes>PaddingLast"
    layer = PaddingLast(name="mine", dtype="mixed_float16")
    again = PaddingLast.from_config(layer.get_config())
    assert (again.name, again.compute_dtype) == ("mine", "float16")
    check_docstring(PaddingLast)
