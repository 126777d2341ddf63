"""Matrices taken apart: eigenvectors by power iteration, singular values, principal components."""

import numpy as np

from dlnotes.validation import check_array, check_float, check_int, check_rng, received


def check_square(name, matrix):
    """Return `matrix` as a finite square array, or refuse it, as `power_iteration` says."""
    matrix = check_array(name, matrix, ndim=2)
    if matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"`{name}` must be square. Received: {name}.shape={matrix.shape}")
    return _check_size(name, matrix)


def check_symmetric(name, matrix):
    """Return `matrix` as a symmetric array (rounding aside), or refuse it."""
    matrix = check_square(name, matrix)
    difference = np.max(np.abs(matrix - matrix.T))
    if difference > 1e-10 * np.max(np.abs(matrix)):
        raise ValueError(
            f"`{name}` must be symmetric. "
            f"{received(**{f'largest difference between {name} and {name}.T': float(difference)})}"
        )
    return (matrix + matrix.T) / 2


def fix_signs(vectors):
    """Return vectors with their signs chosen, so that the same vector always looks the same.

    An eigenvector times −1 is an eigenvector as well. Of the two we take the one in which the
    first of the largest entries is positive; entries within 1 % of the largest in magnitude count
    as largest, so that rounding cannot change the choice.

    Args:
        vectors: One vector of shape (D,), or K vectors as the rows of a (K, D) array.

    Returns:
        An array of the same shape.

    Raises:
        TypeError: If `vectors` does not hold numbers.
        ValueError: If it has another number of axes, is empty or not finite.

    Example:
        >>> fix_signs([[0.6, -0.8], [-0.8, -0.6]])
        array([[-0.6,  0.8],
               [ 0.8,  0.6]])
    """
    vectors = check_array("vectors", vectors, ndim=(1, 2))
    rows = np.atleast_2d(vectors)
    sizes = np.abs(rows)
    first = np.argmax(sizes >= 0.99 * sizes.max(axis=1, keepdims=True), axis=1)
    signs = np.where(rows[np.arange(len(rows)), first] < 0, -1.0, 1.0)
    return (rows * signs[:, None]).reshape(vectors.shape)


def power_iteration(matrix, *, rng, tolerance=1e-12, max_steps=10_000):
    """Return the eigenvalue of largest magnitude and its eigenvector.

    A random vector is multiplied by the matrix again and again, and brought to length 1 each time.
    What it holds of the other eigenvectors shrinks by the factor |λ₂ / λ₁| a step.

    Args:
        matrix: A square matrix A of shape (D, D).
        rng: Where the random start comes from.
        tolerance: Ends when ‖A v − λ v‖ is at most this share of ‖A‖ (the root of the sum of all
            squared entries), > 0.
        max_steps: Gives up after this many multiplications, >= 1.

    Returns:
        λ, a float, and v of shape (D,): of length 1, with the sign that `fix_signs` chooses.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If the matrix is not square or not finite, or a number is out of range.
        numpy.linalg.LinAlgError: If v has not settled after `max_steps`. Then different eigenvalues
            share the largest magnitude (3 and −3, or a complex pair as in a rotation) or nearly do,
            or the matrix lacks an eigenvector.

    References:
        Golub and Van Loan, Matrix Computations (4th ed., 2013), section 7.3.1.

    Example:
        >>> value, vector = power_iteration([[2, 1], [1, 2]], rng=np.random.default_rng(0))
        >>> round(float(value), 6), vector.round(6)
        (3.0, array([0.707107, 0.707107]))
    """
    matrix = check_square("matrix", matrix)
    check_iteration(rng, tolerance, max_steps)
    vector = rng.normal(size=len(matrix))
    for _ in range(max_steps):
        vector = vector / np.linalg.norm(vector)
        moved = matrix @ vector
        value = vector @ moved  # the λ that comes nearest to moved = λ vector
        if np.linalg.norm(moved - value * vector) <= tolerance * np.linalg.norm(matrix):
            return value, fix_signs(vector)
        vector = moved
    raise not_settled(max_steps, value)


def leading_eigenpairs(matrix, k, *, rng, tolerance=1e-12, max_steps=10_000):
    """Return the k eigenvalues of largest magnitude of a symmetric matrix, with eigenvectors.

    Power iteration with k vectors at once: after each multiplication they are made orthonormal
    again, so that they cannot all turn to the same eigenvector. Letters: D size of the matrix.

    Args:
        matrix: A symmetric matrix A of shape (D, D).
        k: How many pairs, 1 to D.
        rng: Where the random start comes from.
        tolerance: Ends when the residuals A v − λ v of all k together are at most this share of
            ‖A‖, > 0.
        max_steps: Gives up after this many multiplications, >= 1.

    Returns:
        The eigenvalues, shape (k,), falling in magnitude, and the eigenvectors as the rows of an
        array (k, D): orthonormal, with the signs that `fix_signs` chooses.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If the matrix is not square, symmetric and finite, or a number is out of range.
        numpy.linalg.LinAlgError: If the vectors have not settled after `max_steps`, as for
            `power_iteration`.

    References:
        Golub and Van Loan, Matrix Computations (4th ed., 2013), section 8.2.4.

    Example:
        >>> pairs = leading_eigenpairs(np.diag([1, 5, 3]), 2, rng=np.random.default_rng(0))
        >>> pairs[0].round(6), pairs[1].round(6) + 0.0
        (array([5., 3.]), array([[0., 1., 0.],
               [0., 0., 1.]]))
    """
    matrix = check_symmetric("matrix", matrix)
    check_int("k", k, low=1, high=len(matrix))
    check_iteration(rng, tolerance, max_steps)
    vectors = rng.normal(size=(len(matrix), k))  # one a column
    for _ in range(max_steps):
        vectors, _ = np.linalg.qr(vectors)
        moved = matrix @ vectors
        values = np.sum(vectors * moved, axis=0)
        if np.linalg.norm(moved - values * vectors) <= tolerance * np.linalg.norm(matrix):
            return values, fix_signs(vectors.T)
        vectors = moved
    raise not_settled(max_steps, values)


def truncated_svd(matrix, k, *, rng):
    """Return the k largest singular values of a matrix, with their singular vectors.

    They come from the eigenvectors of AᵀA: if AᵀA v = λ v, then σ = √λ and u = A v / σ. The way is
    short but squares what it looks at: a singular value below about 1e-8 of the largest is lost.
    ``numpy.linalg.svd`` works on A itself and finds it.

    Args:
        matrix: A matrix A of shape (N, D).
        k: How many, 1 to the rank of A.
        rng: Where the random start comes from.

    Returns:
        What ``numpy.linalg.svd`` returns, cut to k: u of shape (N, k), the singular values (k,)
        in falling order, and vᵀ of shape (k, D), whose rows have the signs of `fix_signs`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If the matrix is not finite, `k` is out of range, or a singular value among the
            k is below 1e-7 of the largest.
        numpy.linalg.LinAlgError: If the vectors do not settle, as for `power_iteration`.

    Example:
        >>> u, values, vt = truncated_svd([[3, 0], [0, 0], [0, 2]], 1, rng=np.random.default_rng(0))
        >>> values.round(6), (u * values @ vt).round(6) + 0.0
        (array([3.]), array([[3., 0.],
               [0., 0.],
               [0., 0.]]))
    """
    matrix = _check_size("matrix", check_array("matrix", matrix, ndim=2))
    check_int("k", k, low=1, high=min(matrix.shape))
    unit = np.max(np.abs(matrix)) or 1.0
    matrix = matrix / unit  # so that squares neither vanish nor overflow
    values, vt = leading_eigenpairs(matrix.T @ matrix, k, rng=rng)
    values = np.sqrt(np.maximum(values, 0))
    if values[-1] <= 1e-7 * values[0]:
        found = int(np.sum(values > 1e-7 * values[0]))
        raise ValueError(
            f"`k` must be at most {found}, the number of singular values above 1e-7 of the "
            f"largest. {received(k=k)}"
        )
    return matrix @ vt.T / values, unit * values, vt


def principal_directions(x):
    """Return the mean of rows, the orthonormal directions of their spread, and the variances.

    The mean is subtracted; the singular value decomposition of what remains gives the directions.
    Letters: B batch, D features, M the smaller of B and D.

    Args:
        x: Rows of shape (B, D), B >= 2.

    Returns:
        The mean row (D,); the directions as the rows of an array (M, D), that of largest variance
        first, with the signs that `fix_signs` chooses; the variance along each, (M,), in squared
        units of the features (divided by B − 1).

    Raises:
        TypeError: If `x` does not hold numbers.
        ValueError: If `x` is not a finite table of at least 2 rows.

    References:
        Pearson, On lines and planes of closest fit to systems of points in space, Philosophical
        Magazine 2 (1901).

    Example:
        >>> mean, directions, variances = principal_directions([[0, 0], [3, 4], [6, 8]])
        >>> mean, directions[0].round(6), float(variances[0].round(6))
        (array([3., 4.]), array([0.6, 0.8]), 25.0)
    """
    x = check_fit(1, x)
    mean = np.mean(x, axis=0)
    _, values, directions = np.linalg.svd(x - mean, full_matrices=False)
    return mean, fix_signs(directions), values**2 / (len(x) - 1)


class PCA:
    """Principal component analysis: the directions in which rows spread most.

    The mean of the rows is subtracted, and the singular value decomposition of what remains gives
    the directions. Letters: B batch, D features, K components.

    Args:
        num_components: K, how many directions to keep, >= 1.

    Attributes:
        mean: Mean row, shape (D,).
        components: K orthonormal directions, shape (K, D), that of largest variance first, with
            the signs that `fix_signs` chooses.
        explained_variance: Variance along each, shape (K,), in squared units of the features
            (divided by B − 1).
        total_variance: Sum of the variances of all D features.

    Raises:
        TypeError: If `num_components` is not an integer.
        ValueError: If it is less than 1.

    References:
        Pearson, On lines and planes of closest fit to systems of points in space, Philosophical
        Magazine 2 (1901).

    Example:
        >>> pca = PCA(1).fit([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]])
        >>> pca.components.round(6), pca.explained_variance.round(6)
        (array([[0.707107, 0.707107]]), array([2.]))
    """

    def __init__(self, num_components):
        self.num_components = check_int("num_components", num_components, low=1)

    def fit(self, x):
        """Find mean and directions of rows x (B, D), B >= 2, K <= min(B, D); return self."""
        x = check_fit(self.num_components, x)
        self.mean, directions, variances = principal_directions(x)
        self.components = directions[: self.num_components]
        self.explained_variance = variances[: self.num_components]
        self.total_variance = np.sum(variances)
        return self

    def transform(self, x):
        """Return the coordinates (B, K) of rows x (B, D) along the components."""
        return (check_array("x", x, columns=len(self.mean)) - self.mean) @ self.components.T

    def inverse_transform(self, z):
        """Return the rows (B, D) that coordinates z (B, K) stand for."""
        return check_array("z", z, columns=len(self.components)) @ self.components + self.mean


def check_fit(num_components, x):
    """Return rows x (B, D) in which `num_components` directions can be found, or refuse them."""
    x = check_array("x", x, ndim=2)
    if len(x) < 2:
        raise ValueError(f"`x` must have at least 2 rows. Received: x.shape={x.shape}")
    if num_components > min(x.shape):
        raise ValueError(
            f"`num_components` must be at most {min(x.shape)}, the smaller side of `x`. "
            f"{received(num_components=num_components)}, x.shape={x.shape}"
        )
    return x


def check_iteration(rng, tolerance, max_steps):
    """Refuse what `power_iteration` cannot work with, as its docstring says."""
    check_rng("rng", rng)
    check_float("tolerance", tolerance, low=0, open_low=True)
    check_int("max_steps", max_steps, low=1)


def not_settled(max_steps, value):
    """Return the error of a power iteration whose vectors have not settled on a direction."""
    return np.linalg.LinAlgError(
        f"`matrix` has no leading direction that {max_steps} steps could find: its largest "
        "eigenvalues are alike in magnitude (such as 3 and -3, or the complex pair of a rotation), "
        f"or it lacks an eigenvector. {received(value=(np.round(value, 4) + 0.0).tolist())}"
    )


def _check_size(name, matrix):
    largest = np.max(np.abs(matrix))
    if largest and not 1e-140 < largest < 1e140:  # squares would vanish or overflow
        raise ValueError(
            f"`{name}` must have a largest entry between 1e-140 and 1e140. "
            f"{received(largest=float(largest))}"
        )
    return matrix
