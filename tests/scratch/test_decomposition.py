import re

import numpy as np
import pytest
from contracts import Refusal, check_docstring, check_refusals
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import datasets
from sklearn.decomposition import PCA as SklearnPCA

from dlnotes.scratch import (
    PCA,
    fix_signs,
    leading_eigenpairs,
    power_iteration,
    principal_directions,
    truncated_svd,
)
from dlnotes.scratch.decomposition import check_symmetric

ROTATION = np.array([[0.0, -1.0], [1.0, 0.0]])
LinAlgError = np.linalg.LinAlgError


def rng(seed=0):
    return np.random.default_rng(seed)


def symmetric(values, seed):
    """Return a symmetric matrix with these eigenvalues, and its eigenvectors as rows."""
    basis, _ = np.linalg.qr(rng(seed).normal(size=(len(values), len(values))))
    return basis * values @ basis.T, basis.T


def assert_same_up_to_sign(actual, expected, atol=1e-10):
    np.testing.assert_allclose(np.abs(np.sum(actual * expected, axis=-1)), 1, atol=atol)
    signs = np.sign(np.sum(actual * expected, axis=-1, keepdims=True))
    np.testing.assert_allclose(actual * signs, expected, atol=atol)


# === Power iteration ===


@settings(max_examples=40, deadline=None)
@given(size=st.integers(1, 12), seed=st.integers(0, 10_000), negative=st.booleans())
def test_power_iteration_finds_the_largest_of_any_symmetric_matrix(size, seed, negative):
    values = (-1.0 if negative else 1.0) * 3.0 * 0.7 ** np.arange(size)
    matrix, vectors = symmetric(values, seed)
    value, vector = power_iteration(matrix, rng=rng(seed + 1))
    assert value == pytest.approx(values[0], abs=1e-10)
    assert_same_up_to_sign(vector, vectors[0])


def test_power_iteration_needs_no_symmetry():
    matrix = np.array([[4.0, 1.0, 2.0], [0.5, 3.0, 1.0], [0.0, 1.0, 1.0]])
    values, vectors = np.linalg.eig(matrix)
    leading = np.argmax(np.abs(values))
    value, vector = power_iteration(matrix, rng=rng())
    assert value == pytest.approx(values[leading].real, abs=1e-10)
    assert_same_up_to_sign(vector, vectors[:, leading].real)
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-14)


def test_the_start_does_not_decide_the_result():
    matrix, _ = symmetric([4.0, 2.0, 1.0], seed=3)
    first, second = (power_iteration(matrix, rng=rng(seed)) for seed in (1, 2))
    np.testing.assert_allclose(first[1], second[1], atol=1e-11)


@pytest.mark.parametrize("unit", [1e-9, 1e9])
def test_the_unit_does_not_decide_the_result(unit):
    matrix, expected = symmetric([4.0, 2.0, 1.0], seed=3)
    value, vector = power_iteration(unit * matrix, rng=rng())
    assert value == pytest.approx(4 * unit, rel=1e-12)
    assert_same_up_to_sign(vector, expected[0])
    values, vectors = leading_eigenpairs(unit * matrix, 2, rng=rng())
    np.testing.assert_allclose(values, [4 * unit, 2 * unit], rtol=1e-12)
    assert_same_up_to_sign(vectors, expected[:2])


def test_the_zero_matrix_has_the_eigenvalue_zero():
    value, vector = power_iteration(np.zeros((3, 3)), rng=rng())
    assert value == 0
    assert np.linalg.norm(vector) == pytest.approx(1)


def test_the_largest_eigenvalue_may_come_twice():
    value, vector = power_iteration(np.diag([2.0, 2.0, 1.0]), rng=rng())
    assert value == pytest.approx(2, abs=1e-10)
    assert abs(vector[2]) < 1e-10


@pytest.mark.parametrize(
    "matrix",
    [
        ROTATION,  # a complex pair
        [[0.0, 1.0], [1.0, 0.0]],  # 1 and −1
        [[1.0, 1.0], [0.0, 1.0]],  # one eigenvector only
        [[1.0, 1e-9], [1e-9, 1 - 1e-9]],  # nearly alike
    ],
)
def test_power_iteration_says_that_nothing_settles(matrix):
    with pytest.raises(LinAlgError, match=r"`matrix` has no leading direction.*Received: value="):
        power_iteration(matrix, rng=rng(), max_steps=2000, tolerance=1e-14)


def test_fewer_steps_than_needed_are_refused_and_a_wider_tolerance_is_enough():
    matrix, vectors = symmetric([1.0, 0.9], seed=0)
    with pytest.raises(LinAlgError, match="that 20 steps could find"):
        power_iteration(matrix, rng=rng(), max_steps=20)
    _, vector = power_iteration(matrix, rng=rng(), max_steps=80, tolerance=1e-3)
    error = 1 - abs(vector @ vectors[0])
    assert 1e-12 < error < 1e-3


# === The k leading pairs ===


@settings(max_examples=40, deadline=None)
@given(size=st.integers(1, 10), seed=st.integers(0, 10_000), data=st.data())
def test_leading_pairs_are_those_of_numpy(size, seed, data):
    k = data.draw(st.integers(1, size))
    signs = rng(seed).choice([-1.0, 1.0], size)
    matrix, _ = symmetric(signs * 5.0 * 0.7 ** np.arange(size), seed)
    values, vectors = leading_eigenpairs(matrix, k, rng=rng(seed + 1))
    expected_values, expected = np.linalg.eigh(matrix)
    order = np.argsort(-np.abs(expected_values))[:k]
    np.testing.assert_allclose(values, expected_values[order], atol=1e-10)
    assert_same_up_to_sign(vectors, expected.T[order])
    np.testing.assert_allclose(vectors @ vectors.T, np.eye(k), atol=1e-13)


def test_a_singular_matrix_gives_an_orthonormal_basis_of_everything():
    matrix, _ = symmetric([3.0, 1.0, 0.0, 0.0], seed=5)
    values, vectors = leading_eigenpairs(matrix, 4, rng=rng())
    np.testing.assert_allclose(values, [3, 1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(vectors @ vectors.T, np.eye(4), atol=1e-13)
    np.testing.assert_allclose(vectors.T * values @ vectors, matrix, atol=1e-11)


def test_equal_eigenvalues_are_found_with_any_basis_of_their_plane():
    matrix, expected = symmetric([2.0, 2.0, 0.5], seed=7)
    values, vectors = leading_eigenpairs(matrix, 2, rng=rng())
    np.testing.assert_allclose(values, [2, 2], atol=1e-12)
    np.testing.assert_allclose(vectors.T @ vectors, expected[:2].T @ expected[:2], atol=1e-10)


def test_leading_pairs_of_opposite_sign_never_settle():
    with pytest.raises(LinAlgError, match="such as 3 and -3"):
        leading_eigenpairs(symmetric([3.0, -3.0, 1.0], seed=1)[0], 2, rng=rng(), max_steps=500)


def test_rounding_does_not_make_a_matrix_asymmetric():
    matrix, _ = symmetric([2.0, 1.0], seed=0)
    noisy = matrix + np.array([[0, 1e-13], [0, 0]])
    np.testing.assert_array_equal(check_symmetric("m", noisy), check_symmetric("m", noisy).T)


# === Signs ===


def test_signs_do_not_depend_on_the_sign_that_came():
    vectors = rng().normal(size=(5, 4))
    np.testing.assert_array_equal(fix_signs(vectors), fix_signs(-vectors))
    rows = fix_signs(vectors)
    assert (rows[np.arange(5), np.abs(rows).argmax(axis=1)] > 0).all()


def test_everything_comes_with_fixed_signs():
    matrix, _ = symmetric([4.0, 3.0, 2.0, 1.0], seed=11)
    for seed in range(4):
        _, vectors = leading_eigenpairs(matrix, 4, rng=rng(seed))
        np.testing.assert_array_equal(vectors, fix_signs(vectors))
    x = rng(1).normal(size=(20, 6))
    components = PCA(6).fit(x).components
    np.testing.assert_array_equal(components, fix_signs(components))
    np.testing.assert_allclose(PCA(6).fit(2 * x.mean(axis=0) - x).components, components)


@pytest.mark.parametrize("rounding", [1e-15, -1e-15])
def test_rounding_cannot_turn_a_sign(rounding):
    vector = np.array([-0.5, 0.5 + rounding, 0.5])
    np.testing.assert_array_equal(fix_signs(vector), -vector)


# === Singular values ===


@settings(max_examples=40, deadline=None)
@given(rows=st.integers(1, 9), columns=st.integers(1, 9), seed=st.integers(0, 10_000))
def test_truncated_svd_is_that_of_numpy(rows, columns, seed):
    full = min(rows, columns)
    left, _ = np.linalg.qr(rng(seed).normal(size=(rows, full)))
    right, _ = np.linalg.qr(rng(seed + 1).normal(size=(columns, full)))
    matrix = left * (4.0 * 0.8 ** np.arange(full)) @ right.T
    u, values, vt = truncated_svd(matrix, full, rng=rng(seed + 2))
    expected_u, expected_values, expected_vt = np.linalg.svd(matrix, full_matrices=False)
    assert (u.shape, values.shape, vt.shape) == ((rows, full), (full,), (full, columns))
    np.testing.assert_allclose(values, expected_values, atol=1e-10)
    np.testing.assert_allclose(u * values @ vt, matrix, atol=1e-10)
    assert_same_up_to_sign(vt, expected_vt)
    assert_same_up_to_sign(u.T, expected_u.T)


def test_a_truncated_svd_is_the_best_approximation_of_its_rank():
    matrix = rng().normal(size=(12, 7))
    u, values, vt = truncated_svd(matrix, 3, rng=rng())
    error = np.sum((matrix - u * values @ vt) ** 2)
    assert error == pytest.approx(np.sum(np.linalg.svd(matrix)[1][3:] ** 2), rel=1e-10)


@pytest.mark.parametrize("unit", [1e-100, 1e100])
def test_the_unit_does_not_decide_truncated_svd(unit):
    matrix = np.array([[2.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    u, values, vt = truncated_svd(unit * matrix, 2, rng=rng())
    np.testing.assert_allclose(values / unit, [2, 1], rtol=1e-9)
    np.testing.assert_allclose(u * (values / unit) @ vt, matrix, atol=1e-9)


def test_truncated_svd_refuses_what_squaring_loses():
    _, values, _ = truncated_svd(np.diag([1.0, 1e-6]), 2, rng=rng())  # still found
    np.testing.assert_allclose(values, [1, 1e-6], rtol=1e-3)
    matrix = np.array([[1.0, 1.0], [1e-9, 0.0], [0.0, 1e-9]])
    assert np.linalg.svd(matrix)[1][1] == pytest.approx(1e-9)
    with pytest.raises(ValueError, match="`k` must be at most 1, .* Received: k=2"):
        truncated_svd(matrix, 2, rng=rng())
    with pytest.raises(ValueError, match="`k` must be at most 0"):
        truncated_svd(np.zeros((2, 2)), 1, rng=rng())


# === Principal components ===


@settings(max_examples=30, deadline=None)
@given(rows=st.integers(2, 25), columns=st.integers(1, 8), seed=st.integers(0, 10_000))
def test_pca_is_that_of_scikit_learn(rows, columns, seed):
    k = min(rows - 1, columns)
    x = rng(seed).normal(size=(rows, columns)) * 1.5 ** np.arange(columns) + 3
    pca, other = PCA(k).fit(x), SklearnPCA(k, svd_solver="full").fit(x)
    np.testing.assert_allclose(pca.mean, other.mean_, atol=1e-12)
    np.testing.assert_allclose(pca.explained_variance, other.explained_variance_, rtol=1e-10)
    assert pca.total_variance == pytest.approx(np.var(x, axis=0, ddof=1).sum(), rel=1e-12)
    gaps = -np.diff(np.append(pca.explained_variance, 0)) / pca.explained_variance[0]
    if gaps.min() < 1e-3:  # nearly equal variances: their directions are not determined
        return
    assert_same_up_to_sign(pca.components, other.components_)
    signs = np.sign(np.sum(pca.components * other.components_, axis=1))
    np.testing.assert_allclose(pca.transform(x), other.transform(x) * signs, atol=1e-9)


def test_pca_of_the_digits_is_that_of_scikit_learn():
    x = datasets.load_digits().data[:300] / 16
    pca, other = PCA(10).fit(x), SklearnPCA(10, svd_solver="full").fit(x)
    assert_same_up_to_sign(pca.components, other.components_)
    np.testing.assert_allclose(
        pca.inverse_transform(pca.transform(x)),
        other.inverse_transform(other.transform(x)),
        atol=1e-10,
    )
    share = pca.explained_variance / pca.total_variance
    np.testing.assert_allclose(share, other.explained_variance_ratio_, atol=1e-12)


def test_all_components_give_the_rows_back_and_one_row_may_come_alone():
    x = rng().normal(size=(9, 4))
    pca = PCA(4).fit(x)
    np.testing.assert_allclose(pca.inverse_transform(pca.transform(x)), x, atol=1e-13)
    np.testing.assert_allclose(pca.transform(x[0]), pca.transform(x)[0], atol=1e-14)
    np.testing.assert_allclose(pca.transform(pca.mean), np.zeros(4), atol=1e-14)


def test_fit_leaves_the_rows_alone():
    x = rng().normal(size=(5, 3))
    copy = x.copy()
    assert isinstance(PCA(2).fit(x), PCA)
    np.testing.assert_array_equal(x, copy)


# === Refusals ===

SQUARE = [
    Refusal(("ab",), {}, TypeError, "`matrix` must be an array of numbers"),
    Refusal((np.ones(3),), {}, ValueError, "`matrix` must be 2-dimensional"),
    Refusal((np.ones((2, 3)),), {}, ValueError, r"`matrix` must be square.*\(2, 3\)"),
    Refusal(([[1.0, np.nan], [np.nan, 1.0]],), {}, ValueError, "`matrix` must hold finite"),
    Refusal((np.eye(2) * 1e-160,), {}, ValueError, "`matrix` must have a largest entry"),
    Refusal((np.eye(2) * 1e160,), {}, ValueError, "`matrix` must have a largest entry"),
    Refusal((np.eye(2),), {"rng": 3}, TypeError, "`rng` must be a numpy.random.Generator"),
    Refusal((np.eye(2),), {"tolerance": 0}, ValueError, "`tolerance` must be a finite number > 0"),
    Refusal((np.eye(2),), {"tolerance": "a"}, TypeError, "`tolerance` must be a number"),
    Refusal((np.eye(2),), {"max_steps": 0}, ValueError, "`max_steps` must be an integer >= 1"),
    Refusal((np.eye(2),), {"max_steps": 2.0}, TypeError, "`max_steps` must be an integer"),
]


def with_arguments(refusals, *more):
    return [
        refusal._replace(args=(*refusal.args, *more), kwargs={"rng": rng(), **refusal.kwargs})
        for refusal in refusals
    ]


def test_power_iteration_refuses():
    check_refusals(power_iteration, with_arguments(SQUARE))


def test_leading_eigenpairs_refuse():
    check_refusals(leading_eigenpairs, with_arguments(SQUARE, 1))
    given = {"rng": rng()}
    check_refusals(
        leading_eigenpairs,
        [
            Refusal((ROTATION, 1), given, ValueError, "`matrix` must be symmetric.*=2.0"),
            Refusal(([[1, 1e-9], [0, 1]], 1), given, ValueError, "must be symmetric.*=1e-09"),
            Refusal((np.eye(2), 3), given, ValueError, r"`k` must be an integer in \[1, 2\]"),
            Refusal((np.eye(2), 0), given, ValueError, r"`k` must be an integer in \[1, 2\]"),
            Refusal((np.eye(2), "1"), given, TypeError, "`k` must be an integer"),
        ],
    )


def test_the_other_functions_refuse():
    given = {"rng": rng()}
    check_refusals(
        truncated_svd,
        [
            Refusal(("ab", 1), given, TypeError, "`matrix` must be an array of numbers"),
            Refusal(([1.0], 1), given, ValueError, "`matrix` must be 2-dimensional"),
            Refusal((np.ones((4, 3)), 4), given, ValueError, r"`k` must be an integer in \[1, 3\]"),
            Refusal((np.ones((4, 3)), 1.0), given, TypeError, "`k` must be an integer"),
            Refusal((np.ones((4, 3)), 1), {"rng": None}, TypeError, "`rng` must be a numpy"),
            Refusal((np.eye(2) * 1e150, 1), given, ValueError, "`matrix` must have a largest"),
        ],
    )
    check_refusals(
        fix_signs,
        [
            Refusal(("a",), {}, TypeError, "`vectors` must be an array of numbers"),
            Refusal((1.0,), {}, ValueError, "`vectors` must be 1-dimensional or 2-dimensional"),
            Refusal(([],), {}, ValueError, "`vectors` must not be empty"),
            Refusal(([np.inf],), {}, ValueError, "`vectors` must hold finite numbers"),
        ],
    )


def test_principal_directions_are_all_of_them_and_refuse_what_has_no_spread():
    mean, directions, variances = principal_directions([[0.0, 1.0], [2.0, 1.0], [4.0, 1.0]])
    np.testing.assert_array_equal(mean, [2, 1])
    np.testing.assert_allclose(directions, np.eye(2), atol=1e-12)
    np.testing.assert_allclose(variances, [4, 0], atol=1e-12)
    check_refusals(
        principal_directions,
        [
            Refusal((np.ones((1, 5)),), {}, ValueError, "`x` must have at least 2 rows"),
            Refusal((np.ones(5),), {}, ValueError, "`x` must be 2-dimensional"),
            Refusal(("ab",), {}, TypeError, "`x` must be an array of numbers"),
        ],
    )


def test_pca_refuses():
    check_refusals(
        PCA,
        [
            Refusal((0,), {}, ValueError, "`num_components` must be an integer >= 1"),
            Refusal((1.5,), {}, TypeError, "`num_components` must be an integer"),
        ],
    )
    check_refusals(
        PCA(3).fit,
        [
            Refusal((np.ones((2, 5)),), {}, ValueError, "`num_components` must be at most 2"),
            Refusal((np.ones((1, 5)),), {}, ValueError, "`x` must have at least 2 rows"),
            Refusal((np.ones(5),), {}, ValueError, "`x` must be 2-dimensional"),
            Refusal(("ab",), {}, TypeError, "`x` must be an array of numbers"),
            Refusal(([[1.0, np.nan]] * 2,), {}, ValueError, "`x` must hold finite numbers"),
        ],
    )
    pca = PCA(2).fit(rng().normal(size=(6, 3)))
    columns = Refusal((np.ones((4, 4)),), {}, ValueError, "`x` must have 3 columns")
    check_refusals(pca.transform, [columns])
    columns = Refusal((np.ones((4, 3)),), {}, ValueError, "`z` must have 2 columns")
    check_refusals(pca.inverse_transform, [columns])


def test_the_errors_show_what_was_measured():
    with pytest.raises(LinAlgError) as caught:
        power_iteration(ROTATION, rng=rng(), max_steps=7)
    assert re.search(r"7 steps .*Received: value=0\.0$", str(caught.value))


@pytest.mark.parametrize(
    "thing",
    [PCA, fix_signs, leading_eigenpairs, power_iteration, principal_directions, truncated_svd],
)
def test_everything_is_documented(thing):
    check_docstring(thing)
