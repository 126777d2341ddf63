"""Exercises of lesson 00, linear algebra."""

import numpy as np

from dlnotes.exercises.base import Exercise, WrongAnswer


def _check_projection(answer):
    matrix = np.asarray(answer, dtype=float)
    if matrix.shape != (2, 2):
        raise WrongAnswer(f"give a 2 × 2 matrix; yours has the shape {matrix.shape}.")
    along, across = np.array([2.0, 1.0]), np.array([-1.0, 2.0])
    if not np.allclose(matrix @ across, 0, atol=2e-3):
        raise WrongAnswer(
            f"(-1, 2) is at a right angle to the line, so its foot is (0, 0); your matrix sends it "
            f"to {_shown(matrix @ across)}."
        )
    if not np.allclose(matrix @ along, along, atol=2e-3):
        raise WrongAnswer(
            f"(2, 1) lies on the line already and must stay; your matrix sends it to "
            f"{_shown(matrix @ along)}. Is your vector along the line of length 1?"
        )


def smallest_eigenvalue(matrix, rng):
    """Return the smallest eigenvalue of a symmetric matrix and its eigenvector."""
    from dlnotes.scratch import power_iteration

    shift = np.linalg.norm(matrix)
    value, vector = power_iteration(shift * np.eye(len(matrix)) - matrix, rng=rng)
    return shift - value, vector


def _smallest_in_magnitude(matrix, rng):
    values, vectors = np.linalg.eigh(matrix)
    at = np.argmin(np.abs(values))
    return values[at], vectors[:, at]


def _row_of_eigh(matrix, rng):
    values, vectors = np.linalg.eigh(matrix)
    return values[0], vectors[0]


def _swapped(matrix, rng):
    value, vector = smallest_eigenvalue(matrix, rng)
    return vector, value


def _largest(matrix, rng):
    values, vectors = np.linalg.eigh(matrix)
    return values[-1], vectors[:, -1]


def _not_shifted_back(matrix, rng):
    value, vector = smallest_eigenvalue(matrix, rng)
    return np.linalg.norm(matrix) - value, vector


def _check_smallest_eigenvalue(answer):
    for seed, values in enumerate(([5.0, 2.0, 1.0], [3.0, 1.0, -2.0], [4.0, 0.5, -4.0])):
        turn, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
        matrix = turn * values @ turn.T
        matrix = (matrix + matrix.T) / 2
        result = answer(matrix.copy(), np.random.default_rng(seed))
        if not isinstance(result, tuple | list) or len(result) != 2:
            raise WrongAnswer("return two things: the eigenvalue and its eigenvector.")
        if np.size(result[0]) != 1:
            raise WrongAnswer(
                "return the eigenvalue first, one number, and then its eigenvector; your first "
                f"entry has the shape {np.shape(result[0])}."
            )
        value, vector = float(np.squeeze(result[0])), np.asarray(result[1], dtype=float)
        if vector.shape != (3,):
            raise WrongAnswer(
                "the eigenvector of a 3 × 3 matrix is an array of shape (3,); yours has the shape "
                f"{vector.shape}."
            )
        if not np.isclose(np.linalg.norm(vector), 1):
            raise WrongAnswer(
                f"the eigenvector must have length 1; yours has {np.linalg.norm(vector):.4g}."
            )
        on_its_line = np.allclose(np.abs(vector @ turn[:, 2]), 1, atol=1e-6)
        listed = ", ".join(f"{v:g}" for v in values)
        if on_its_line and not np.isclose(value, values[2], atol=1e-6):
            raise WrongAnswer(
                f"the vector is right, but its eigenvalue is {values[2]:g}, not {value:.4g}: that "
                "belongs to the shifted matrix. Undo the shift, and the sign."
            )
        if np.isclose(value, values[0], atol=1e-6):
            raise WrongAnswer(
                f"of the eigenvalues {listed} you found the largest. Multiply by a matrix with the "
                "same eigenvectors whose largest eigenvalue belongs to the smallest of this one."
            )
        if not on_its_line and np.isclose(value, values[2], atol=1e-6):
            raise WrongAnswer(
                f"the eigenvalue {values[2]:g} is right, but A v is not λ v for your vector v. "
                "(NumPy's functions return eigenvectors as columns.)"
            )
        if not on_its_line:
            raise WrongAnswer(
                f"of the eigenvalues {listed} the smallest is {values[2]:g} (−2 is smaller than "
                f"1); you found {value:.4g}."
            )


def directions_needed(x, share):
    """Return the smallest number of principal directions that explain a share of the variance."""
    sigma = np.linalg.svd(x - x.mean(axis=0), compute_uv=False)
    explained = np.cumsum(sigma**2) / np.sum(sigma**2)
    enough = explained >= share - 1e-9  # rounding may leave all of them at 0.9999999999
    return int(np.argmax(enough)) + 1


def _count(centred, share, power=2):
    sigma = np.linalg.svd(centred, compute_uv=False)
    return int(np.argmax(np.cumsum(sigma**power) / np.sum(sigma**power) >= share - 1e-9)) + 1


def _without_centring(x, share):
    return _count(x, share)


def _centred_by_one_number(x, share):
    return _count(x - x.mean(), share)


def _centred_by_rows(x, share):
    return _count(x - x.mean(axis=1, keepdims=True), share)


def _without_squares(x, share):
    return _count(x - x.mean(axis=0), share, power=1)


def _one_too_few(x, share):
    return directions_needed(x, share) - 1


def _exactly(x, share):
    sigma = np.linalg.svd(x - x.mean(axis=0), compute_uv=False)
    return int(np.argmax(np.cumsum(sigma**2) / np.sum(sigma**2) >= share + 1e-12)) + 1


def _not_whole(x, share):
    return directions_needed(x, share) + 0.5


def _check_directions_needed(answer):
    rng = np.random.default_rng(4)
    x = rng.normal(size=(60, 8)) * 2.0 ** -np.arange(8)
    x = x + 0.5 * rng.normal(size=(60, 1)) + np.array([3, -0.2, 1, 4.2, 1.4, -1.4, 1.8, 2.6])
    shares = (0.5, 0.8, 0.9, 0.95, 0.97, 0.99, 0.999)
    counts = [_whole(answer(x.copy(), share)) for share in shares]
    rights = [directions_needed(x, share) for share in shares]
    for share, count, right in zip(shares, counts, rights, strict=True):
        if count == right:
            continue
        start = f"for a share of {share:g} of the variance {right} directions are needed; you say "
        for wrong, why in (
            (_without_centring, "The rows' mean is far from zero: subtract it before the SVD."),
            (_centred_by_one_number, "Each column has its own mean: `x.mean(axis=0)`."),
            (_centred_by_rows, "Subtract the mean of each column, not of each row: axis=0."),
            (_without_squares, "A variance is the *square* of a singular value, up to a factor."),
            (_one_too_few, "np.argmax counts from 0: the first direction alone is one direction."),
        ):
            if counts == [wrong(x, share) for share in shares]:
                raise WrongAnswer(f"{start}{count}. {why}")
        raise WrongAnswer(f"{start}{count}. Add up variances until their share is reached.")
    for _ in range(40):  # rounding decides for each table whether the sums reach 1
        count = _whole(answer(rng.normal(size=(60, 8)), 1.0))
        if count != 8:
            raise WrongAnswer(
                f"for a share of 1 of the variance 8 directions are needed; you say {count}. "
                "Rounding may leave the last sum at 0.9999999999, so that no entry reaches 1: "
                "allow for that, say with `share - 1e-9`."
            )


def _whole(result):
    if np.size(result) != 1 or float(np.squeeze(result)) % 1:
        raise WrongAnswer(f"a number of directions is a whole number; you return {result}.")
    return int(np.squeeze(result))


def _shown(vector):
    return "(" + ", ".join(f"{v:.4g}" for v in np.round(vector, 6) + 0.0) + ")"


EXERCISES = (
    Exercise(
        id="00.1",
        title="The shadow on a line",
        prompt=(
            "Write the 2 × 2 matrix that sends every point of the plane to the nearest point of "
            "the line through (0, 0) and (2, 1): its *orthogonal projection*, the foot of the "
            "perpendicular. A nested list or an array will do."
        ),
        hints=(
            "The matrix's columns are where (1, 0) and (0, 1) land.",
            "Let q be the vector of length 1 along the line. The foot of x is (q·x) q.",
            "That is the matrix with the entries q_i · q_j: `np.outer(q, q)`.",
        ),
        check=_check_projection,
        reference=[[0.8, 0.4], [0.4, 0.2]],
        explanation=(
            "With q = (2, 1)/√5 the foot of x is (q·x) q, so the matrix is q qᵀ. Its rank is 1, "
            "and it keeps what lies on the line: eigenvalues 1 and 0. A PCA projects like this."
        ),
        wrong=(
            ([[4.0, 2.0], [2.0, 1.0]], "of length 1"),
            ([[1.0, 0.0], [0.0, 0.0]], "right angle to the line"),
            ([2.0, 1.0], "2 × 2 matrix"),
        ),
    ),
    Exercise(
        id="00.2",
        title="The other end",
        prompt=(
            "Power iteration finds the eigenvalue of largest magnitude. Write "
            "`smallest_eigenvalue(matrix, rng)` for a symmetric matrix: the *smallest* eigenvalue "
            "(−4 is smaller than 0.5) and its eigenvector of length 1 (v or −v), in this order. "
            "Use `power_iteration` from above. It must also work for the eigenvalues 4, 0.5 and "
            "−4, where power iteration alone never settles."
        ),
        hints=(
            "Which eigenvalues and eigenvectors has s·I − A, for a number s?",
            "They are s − λ, with the same eigenvectors. For a large s all are positive, and the "
            "largest of them belongs to the smallest λ.",
            "s = `np.linalg.norm(matrix)` is large enough. Then λ = s − (what was found). With a "
            "much larger s all s − λ are nearly equal, and power iteration gets slow.",
        ),
        check=_check_smallest_eigenvalue,
        reference=smallest_eigenvalue,
        explanation=(
            "Shifting by s·I moves every eigenvalue and turns no eigenvector. It also breaks the "
            "tie of 4 and −4: they become s − 4 and s + 4."
        ),
        wrong=(
            (_not_shifted_back, "Undo the shift"),
            (_largest, "you found the largest"),
            (_smallest_in_magnitude, "−2 is smaller than"),
            (_row_of_eigh, "eigenvectors as columns"),
            (_swapped, "the eigenvalue first"),
        ),
    ),
    Exercise(
        id="00.3",
        title="How many directions?",
        prompt=(
            "Write `directions_needed(x, share)`: the smallest number of principal directions that "
            "together hold at least this share of the variance of the rows of `x` (`share` above "
            "0, at most 1). Subtract the mean inside. For our digits `x` and 0.9 it should say "
            "21. Is that also the number needed to recognise them? (A question to think about.)"
        ),
        hints=(
            "`np.linalg.svd(x - x.mean(axis=0), compute_uv=False)` gives the singular values.",
            "Variances are proportional to their squares. `np.cumsum` adds them up.",
            "`np.argmax(condition)` is the position of the first True, counted from 0. (If none is "
            "True it says 0 as well: for a share of 1 rounding can do that.)",
        ),
        check=_check_directions_needed,
        reference=directions_needed,
        explanation=(
            "The share of the variance is a usual way to choose the number of directions, and an "
            "answer about redrawing. The lesson recognised digits well with half as many."
        ),
        wrong=(
            (_without_centring, "subtract it before"),
            (_without_squares, "*square* of a singular value"),
            (_one_too_few, "counts from 0"),
            (_centred_by_one_number, "its own mean"),
            (_centred_by_rows, "not of each row"),
            (_exactly, "Rounding may leave"),
            (_not_whole, "a whole number"),
        ),
    ),
)
