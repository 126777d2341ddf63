import numpy as np
import pytest
from contracts import Refusal, check_docstring, check_refusals

from dlnotes.runtime import quiet_start

with quiet_start():
    import keras
    from keras.optimizers.schedules import PolynomialDecay

    from dlnotes.models import build_mlp, build_seq2seq
    from dlnotes.training import ScheduledSampling

SOURCE = np.array([[3, 5, 2, 0], [4, 0, 0, 0], [6, 6, 8, 7]])
TRUE = np.array([[2, 4, 5, 6, 4], [2, 3, 3, 6, 0], [2, 6, 5, 4, 3]])


def lively(attention=None, cell="gru"):
    model = build_seq2seq(9, 7, units=6, embedding_size=4, attention=attention, cell=cell)
    rng = np.random.default_rng(1)
    model.set_weights([rng.normal(size=w.shape) for w in model.get_weights()])
    return model


@pytest.mark.parametrize(("attention", "cell"), [(None, "lstm"), ("luong_dot", "gru")])
def test_running_free_it_reads_what_it_finds_likeliest(attention, cell):
    model = lively(attention, cell)
    read = np.array(ScheduledSampling(model, 0.0).inputs_of(SOURCE, TRUE))
    assert read.shape == TRUE.shape
    assert (read[:, 0] == 2).all()  # the start is always true
    own = np.array(model([SOURCE, read])).argmax(axis=-1)
    np.testing.assert_array_equal(read[:, 1:], own[:, :-1])
    assert (read != TRUE).any()


def test_teacher_forcing_reads_the_truth():
    read = ScheduledSampling(lively(), 1.0).inputs_of(SOURCE, TRUE)
    np.testing.assert_array_equal(np.array(read), TRUE)


def test_each_token_is_true_with_the_probability_or_its_own():
    model, rows = lively(), 400
    source, true = np.repeat(SOURCE[:1], rows, 0), np.full((rows, 6), 1)
    true[:, 0] = 2  # 1 is never the likeliest here
    mixed = np.array(ScheduledSampling(model, 0.7, seed=3).inputs_of(source, true))
    own = np.array(model([source, mixed])).argmax(axis=-1)
    assert not (own == 1).any()
    taken = mixed[:, 1:] == 1
    assert abs(taken.mean() - 0.7) < 0.04
    np.testing.assert_array_equal(mixed[:, 1:][~taken], own[:, :-1][~taken])


def test_a_schedule_goes_from_forced_to_free():
    model = lively()
    trained = ScheduledSampling(model, PolynomialDecay(1.0, 10, 0.0), seed=0)
    trained.compile(keras.optimizers.SGD(0.0))
    read = [np.array(trained.inputs_of(SOURCE, TRUE))]
    trained.optimizer.build(model.trainable_variables)
    trained.optimizer.iterations.assign(10)
    read.append(np.array(trained.inputs_of(SOURCE, TRUE)))
    free = np.array(ScheduledSampling(model, 0.0).inputs_of(SOURCE, TRUE))
    np.testing.assert_array_equal(read[0], TRUE)
    np.testing.assert_array_equal(read[1], free)


def test_a_schedule_needs_a_compiled_model():
    with pytest.raises(ValueError, match="must be compiled"):
        ScheduledSampling(lively(), PolynomialDecay(1.0, 10, 0.0)).inputs_of(SOURCE, TRUE)


def test_a_step_is_that_of_the_model_on_the_inputs_that_were_written():
    first, second = lively(), lively()
    wanted = np.array([[4, 5, 6, 4, 3], [3, 3, 6, 3, 0], [6, 5, 4, 3, 3]])
    read = np.array(ScheduledSampling(first, 0.0).inputs_of(SOURCE, TRUE))
    free = ScheduledSampling(second, 0.0)
    for model in (first, free):
        loss = keras.losses.SparseCategoricalCrossentropy(ignore_class=0)
        model.compile(keras.optimizers.SGD(0.5), loss, jit_compile=False)
    start = [w.copy() for w in first.get_weights()]
    first.train_on_batch([SOURCE, read], wanted)
    free.train_on_batch((SOURCE, TRUE), wanted)
    for before, one, other in zip(start, first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
        assert np.abs(one - before).max() > 0


def test_it_saves_and_reloads(tmp_path):
    made = ScheduledSampling(lively(), PolynomialDecay(1.0, 10, 0.25), seed=4)
    made.save(tmp_path / "made.keras")
    again = keras.saving.load_model(tmp_path / "made.keras")
    np.testing.assert_allclose(again([SOURCE, TRUE]), made([SOURCE, TRUE]), atol=1e-6)
    assert again.teacher.get_config() == made.teacher.get_config()
    assert again.seed == 4


def test_scheduled_sampling_refuses():
    check_docstring(ScheduledSampling)
    dropping = build_seq2seq(9, 7, units=4, dropout=0.1)
    check_refusals(
        ScheduledSampling,
        [
            Refusal((build_mlp((3,), 2),), {}, ValueError, "`model` must come from `build_seq2seq"),
            Refusal((dropping,), {}, ValueError, "`model` must have no dropout"),
            Refusal((lively(), 1.5), {}, ValueError, r"`teacher` must be"),
            Refusal((lively(), "no"), {}, TypeError, r"`teacher` must be"),
        ],
    )
