import pytest

from dlnotes.runtime import quiet_start

MASKS = {
    "no padding": None,
    "after": [[1, 1, 1, 0], [1, 0, 0, 0], [1, 1, 1, 1]],
    "before": [[0, 0, 1, 1], [0, 1, 1, 1], [0, 0, 0, 1]],
    "between": [[0, 1, 0, 1], [1, 0, 1, 0], [1, 1, 0, 1]],
    "nothing real": [[0, 0, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]],
}


@pytest.fixture(scope="session")
def libraries():
    with quiet_start():
        import keras
        import tensorflow as tf
    return keras, tf


@pytest.fixture
def double(libraries):
    """Keras with all defaults at 64 bits, and as it was afterwards."""
    keras, tf = libraries
    floatx, policy = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield keras, tf
    keras.config.set_floatx(floatx)
    keras.config.set_dtype_policy(policy)


@pytest.fixture
def masks():
    """Where three sequences of four steps are real, by the kind of padding."""
    return MASKS


@pytest.fixture(params=MASKS)
def padding(request):
    """Each kind of padding in turn, a key of `masks`."""
    return request.param
