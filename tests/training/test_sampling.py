import numpy as np
import pytest
from contracts import Refusal, check_docstring, check_refusals

from dlnotes.training import draw, generate, sharpen

P = np.array([0.4, 0.1, 0.2, 0.3])


def rng(seed=0):
    return np.random.default_rng(seed)


def counting(num_tokens=6):
    """Return a step after which token k + 1 follows token k, for certain."""

    def step(tokens, state):
        return np.eye(num_tokens)[(tokens + 1) % num_tokens], (state or 0) + 1

    return step


# === sharpen ===


@pytest.mark.parametrize("temperature", [0.1, 0.5, 1.0, 3.0])
def test_temperature_is_the_softmax_of_logits_divided_by_it(temperature):
    logits = np.array([[2.0, -1.0, 0.5], [0.0, 0.0, 30.0]])

    def softmax(z):
        e = np.exp(z - z.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)

    found = sharpen(softmax(logits), temperature=temperature)
    np.testing.assert_allclose(found, softmax(logits / temperature), atol=1e-12)


def test_temperature_0_leaves_the_likeliest_and_a_huge_one_makes_all_alike():
    np.testing.assert_array_equal(sharpen([P, [0.25] * 4], temperature=0)[0], [1, 0, 0, 0])
    np.testing.assert_array_equal(sharpen([0.25] * 4, temperature=0), [1, 0, 0, 0])
    np.testing.assert_allclose(sharpen(P, temperature=1e9), [0.25] * 4, atol=1e-6)
    tiny = sharpen([1 - 1e-12, 1e-12], temperature=0.001)  # its power underflows, and no NaN comes
    np.testing.assert_array_equal(tiny, [1, 0])


def test_top_k_keeps_the_k_likeliest_in_their_places():
    np.testing.assert_allclose(sharpen(P, top_k=2), [4 / 7, 0, 0, 3 / 7])
    np.testing.assert_allclose(sharpen(P, top_k=1), [1, 0, 0, 0])
    np.testing.assert_allclose(sharpen(P, top_k=9), P)
    np.testing.assert_allclose(sharpen([0.3, 0.4, 0.3], top_k=2), [3 / 7, 4 / 7, 0])


def test_top_p_keeps_the_fewest_that_reach_p():
    np.testing.assert_allclose(sharpen(P, top_p=0.4), [1, 0, 0, 0])
    np.testing.assert_allclose(sharpen(P, top_p=0.41), [4 / 7, 0, 0, 3 / 7])
    np.testing.assert_allclose(sharpen(P, top_p=0.85), [4 / 9, 0, 2 / 9, 3 / 9])
    np.testing.assert_allclose(sharpen(P, top_p=1.0), P)


def test_the_order_is_temperature_then_top_k_then_top_p():
    flat = sharpen(P, temperature=1e9, top_p=0.5)  # flat first: then two reach one half
    np.testing.assert_allclose(flat, [0.5, 0, 0, 0.5], atol=1e-6)
    # of the two that top_k leaves, the first has 4/7 of the probability
    np.testing.assert_allclose(sharpen(P, top_k=2, top_p=0.5), [1, 0, 0, 0])


def test_arguments_are_not_changed():
    p = P.copy()
    sharpen(p, temperature=0.3, top_k=2, top_p=0.5)
    np.testing.assert_array_equal(p, P)


def test_sharpen_refuses_what_is_no_probability():
    check_refusals(
        sharpen,
        [
            Refusal(([0.5, 0.6],), {}, ValueError, "`probabilities` must be rows .* sum to 1"),
            Refusal(([1.5, -0.5],), {}, ValueError, "`probabilities` must be rows"),
            Refusal(([np.nan, 1],), {}, ValueError, "`probabilities` must hold finite"),
            Refusal((["a"],), {}, TypeError, "`probabilities` must be an array of numbers"),
            Refusal((P,), {"temperature": -1}, ValueError, "`temperature` must be .* >= 0"),
            Refusal((P,), {"temperature": "hot"}, TypeError, "`temperature` must be a number"),
            Refusal((P,), {"top_k": 0}, ValueError, "`top_k` must be an integer >= 1"),
            Refusal((P,), {"top_k": 1.5}, TypeError, "`top_k` must be an integer"),
            Refusal((P,), {"top_p": 0}, ValueError, r"`top_p` must be .* in \(0, 1\]"),
            Refusal((P,), {"top_p": 1.1}, ValueError, r"`top_p` must be .* in \(0, 1\]"),
        ],
    )
    for function in (sharpen, draw, generate):
        check_docstring(function)


# === draw ===


def test_draws_follow_the_probabilities():
    drawn = draw(np.tile([0.5, 0.0, 0.2, 0.3], (20_000, 1)), rng())
    shares = np.bincount(drawn, minlength=4) / len(drawn)
    assert shares[1] == 0
    np.testing.assert_allclose(shares, [0.5, 0, 0.2, 0.3], atol=0.015)


def test_each_row_has_its_own_chance_and_the_seed_decides():
    p = np.full((50, 10), 0.1)
    assert len(set(draw(p, rng()).tolist())) > 5
    np.testing.assert_array_equal(draw(p, rng(3)), draw(p, rng(3)))
    assert (draw(p, rng(3)) != draw(p, rng(4))).any()


def test_what_has_probability_0_is_never_drawn_even_at_the_rounded_edge():
    class Highest(np.random.Generator):
        def random(self, size):
            return np.full(size, np.nextafter(1, 0))

    p = np.array([[0.1] * 9 + [0.1 - 1e-4, 0.0]])
    assert draw(p, Highest(np.random.PCG64(0))).tolist() == [9]
    with pytest.raises(ValueError, match="`probabilities` must be 2-dimensional"):
        draw([0.5, 0.5], rng())
    with pytest.raises(TypeError, match=r"`rng` must be a numpy\.random\.Generator"):
        draw([[0.5, 0.5]], 1)


# === generate ===


def test_it_reads_the_prompt_and_then_its_own_words():
    written = generate(counting(), [[2], [3]], 5, rng=rng(), never=())
    assert written.tolist() == [[3, 4, 5, 0, 1], [4, 5, 0, 1, 2]]
    assert generate(counting(), [[1, 1, 4]], 1, rng=rng()).tolist() == [[5]]


def test_the_state_is_handed_on():
    seen = []

    def step(tokens, state):
        seen.append(state)
        return np.full((len(tokens), 4), 0.25), (state or 0) + 1

    generate(step, [[2, 3]], 3, rng=rng())
    assert seen == [None, 1, 2, 3]


def test_a_text_that_is_over_ends_in_padding():
    written = generate(counting(), [[2], [4]], 4, rng=rng(), end=5)
    assert written.tolist() == [[3, 4, 5, 0], [5, 0, 0, 0]]


def test_what_is_never_to_be_written_is_not():
    def step(tokens, state):
        return np.tile([0.4, 0.4, 0.1, 0.1], (len(tokens), 1)), None

    written = generate(step, np.full((50, 1), 2), 20, rng=rng())
    assert set(written.ravel().tolist()) == {2, 3}
    written = generate(step, np.full((50, 1), 2), 20, rng=rng(), never=(2, 3))
    assert set(written.ravel().tolist()) == {0, 1}
    with pytest.raises(ValueError, match="`never` must leave a token to write"):
        generate(step, [[2]], 1, rng=rng(), never=(0, 1, 2, 3))


def test_temperature_top_k_and_seed_reach_the_drawing():
    def step(tokens, state):
        return np.tile([0.0, 0.0, 0.3, 0.4, 0.3], (len(tokens), 1)), None

    start = np.full((8, 1), 2)
    for options in ({"temperature": 0}, {"top_k": 1}, {"top_p": 0.1}):
        assert set(generate(step, start, 9, rng=rng(), **options).ravel().tolist()) == {3}
    first, again = (generate(step, start, 9, rng=rng(7)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert (generate(step, start, 9, rng=rng(8)) != first).any()


def test_generate_refuses_wrong_prompts():
    options = {"rng": rng()}
    check_refusals(
        generate,
        [
            Refusal((counting(), [2], 3), options, ValueError, "`prompt` must be 2-dimensional"),
            Refusal((counting(), [[0, 2]], 3), options, ValueError, "`prompt` must hold tokens >="),
            Refusal((counting(), [[-1]], 3), options, ValueError, "`prompt` must hold tokens >= 1"),
            Refusal((counting(), [[]], 3), options, ValueError, "`prompt` must not be empty"),
            Refusal((counting(), [[1.0]], 3), options, TypeError, "`prompt` must hold whole"),
            Refusal((counting(), [["a"]], 3), options, TypeError, "`prompt` must be an array of"),
            Refusal((counting(), [[2]], 0), options, ValueError, "`num_tokens` must be .* >= 1"),
            Refusal((counting(), [[2]], 1), {"rng": 1}, TypeError, "`rng` must be a numpy"),
            Refusal(
                (counting(), [[2]], 1), {**options, "end": 6}, ValueError, "`end` must be .* 5"
            ),
            Refusal((counting(), [[2]], 1), {**options, "end": "."}, TypeError, "`end` must be an"),
            Refusal((counting(), [[2]], 1), {**options, "end": 1}, ValueError, "not be in `never`"),
            Refusal((counting(), [[2]], 1), {**options, "never": (9,)}, ValueError, "`never` must"),
            Refusal(
                (counting(), [[2]], 1), {**options, "never": (-1,)}, ValueError, "`never` must"
            ),
        ],
    )
