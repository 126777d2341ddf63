import numpy as np
import pytest
from contracts import check_docstring

from dlnotes.runtime import quiet_start

with quiet_start():
    import keras

    from dlnotes.layers import BackInPlace, KeepTokens, PaddingLast

TOKENS = np.array([[0, 7, 0, 5], [7, 5, 0, 0], [0, 0, 7, 5], [0, 0, 0, 0], [3, 1, 2, 1]])


def array(output):
    return keras.ops.convert_to_numpy(output)


def test_keep_tokens_makes_zeros_of_padding_alone():
    x = np.random.default_rng(0).normal(size=(5, 4, 3)).astype("float32")
    kept = array(KeepTokens()(x, TOKENS))
    np.testing.assert_array_equal(kept[TOKENS != 0], x[TOKENS != 0])
    assert not kept[TOKENS == 0].any()


def test_back_in_place_undoes_padding_last():
    tokens, _, _ = PaddingLast()(TOKENS)
    states = keras.ops.cast(tokens, "float32")[..., None] * np.array([1.0, 10.0], "float32")
    back = array(BackInPlace()(states + 0.5, TOKENS))  # at places of padding 0.5 must go as well
    is_token = (TOKENS != 0)[..., None]
    np.testing.assert_array_equal(back, (TOKENS[..., None] * [1, 10] + 0.5) * is_token)


@pytest.mark.parametrize("layer_class", [KeepTokens, BackInPlace])
def test_they_are_registered_say_their_shape_and_come_back(layer_class):
    assert keras.saving.get_registered_name(layer_class) == f"dlnotes>{layer_class.__name__}"
    layer = layer_class(name="mine", dtype="mixed_float16")
    again = layer_class.from_config(layer.get_config())
    assert (again.name, again.compute_dtype) == ("mine", "float16")
    symbolic = layer(keras.Input((None, 3)), keras.Input((None,), dtype="int32"))
    assert tuple(symbolic.shape) == (None, None, 3)
    real = layer(np.ones((5, 4, 3), "float32"), TOKENS.astype("int32"))
    kinds = {keras.backend.standardize_dtype(tensor.dtype) for tensor in (symbolic, real)}
    assert kinds == {"float16"}
    check_docstring(layer_class)
