import numpy as np
import pytest
from contracts import check_docstring

from dlnotes.runtime import quiet_start

with quiet_start():
    import keras

    from dlnotes.models import build_language_model, build_mlp
    from dlnotes.training import generate, language_model_step


@pytest.mark.parametrize("cell", ["lstm", "gru", "simple"])
def test_steps_give_what_the_whole_text_gives(cell):
    model = build_language_model(9, cell=cell, units=4, num_layers=2)
    texts, state = np.array([[5, 2, 8, 1], [1, 7, 7, 3]]), None
    step = language_model_step(model)
    lively = np.random.default_rng(0)
    model.set_weights([lively.normal(size=w.shape) for w in model.get_weights()])
    for t, expected in enumerate(np.asarray(model(texts)).swapaxes(0, 1)):
        probabilities, state = step(texts[:, t], state)
        np.testing.assert_allclose(probabilities, expected, atol=1e-6)


def test_steps_refuse_other_models_and_wrong_tokens():
    with pytest.raises(ValueError, match="`model` must come from `build_language_model`"):
        language_model_step(build_mlp((3,), 2))
    step = language_model_step(build_language_model(9, units=2))
    for token in (-1, 0, 9):
        with pytest.raises(ValueError, match=r"`tokens` must lie in \[1, 8\]"):
            step(np.array([token]), None)
    with pytest.raises(TypeError, match="`tokens` must be whole numbers"):
        step(np.array([1.0]), None)
    check_docstring(language_model_step)


def test_a_trained_model_writes_what_it_has_read():
    keras.utils.set_random_seed(0)
    model = build_language_model(7, cell="gru", units=16, embedding_size=6)
    text = np.tile([2, 3, 4, 2, 5, 6], (8, 3))  # after 2 comes 3 or 5: the state must tell
    loss = keras.losses.SparseCategoricalCrossentropy(ignore_class=0)
    model.compile(keras.optimizers.Adam(0.1), loss)
    model.fit(text[:, :-1], text[:, 1:], epochs=25, verbose=0)
    step = language_model_step(model)
    rng = np.random.default_rng(0)
    written = generate(step, [[2, 3, 4], [2, 5, 6]], 6, rng=rng, temperature=0)
    assert written.tolist() == [[2, 5, 6, 2, 3, 4], [2, 3, 4, 2, 5, 6]]
