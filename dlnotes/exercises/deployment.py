"""Exercises of lesson 33, Deployment."""

import re

import numpy as np

from dlnotes.exercises.base import Exercise, WrongAnswer

# === 33.1 ===


def prepare(instances):
    """Return pictures (B, 28, 28, 1) from 0 to 1, or refuse with the place of the mistake."""
    for i, instance in enumerate(instances):
        try:
            picture = np.array(instance, float)
        except (TypeError, ValueError):
            raise ValueError(f"instances[{i}] must hold rows of numbers, all as long") from None
        if picture.shape != (28, 28):
            raise ValueError(f"instances[{i}] must be (28, 28), and is {picture.shape}")
        if not ((picture >= 0) & (picture <= 255)).all():  # NaN is neither
            raise ValueError(f"instances[{i}] must hold numbers from 0 to 255")
    return np.array(instances, "float32")[..., None] / 255


def _as_bytes(instances):
    return 255 * prepare(instances)


def _without_channel(instances):
    return prepare(instances)[..., 0]


def _whole_division(instances):
    return np.floor(prepare(instances))


def _lets_nan_in(instances):
    array = np.array(instances, "float32")
    if array.shape[1:] != (28, 28):
        raise ValueError("instances[1]")
    if ((array < 0) | (array > 255)).any():
        raise ValueError("instances[1]")
    return array[..., None] / 255


def _clips(instances):
    return np.clip(np.array(instances, "float32"), 0, 255)[..., None] / 255


def _nameless(instances):
    try:
        return prepare(instances)
    except ValueError:
        raise ValueError("wrong picture") from None


def _always_the_first(instances):
    try:
        return prepare(instances)
    except ValueError:
        raise ValueError("instances[0] is wrong") from None


def _check_prepare(answer):
    pictures = np.random.default_rng(33).integers(0, 256, (3, 28, 28))
    right, result = prepare(pictures.tolist()), np.asarray(answer(pictures.tolist()))
    if result.shape != right.shape:
        raise WrongAnswer(
            f"three pictures must become an array {right.shape}, with an axis for the one channel; "
            f"yours is {result.shape}."
        )
    if not np.allclose(result, right, atol=1e-6):
        if result.max() > 1:
            raise WrongAnswer("the model learned from 0 to 1, so divide by 255.")
        if set(np.unique(result)) <= {0, 1}:
            raise WrongAnswer("only 0 and 1 are left: divide as fractions, not as whole numbers.")
        raise WrongAnswer("the pixels must be those of the request, divided by 255.")
    broken = {
        "a number above 255": np.where(np.arange(28) == 3, 256, pictures[1]),
        "a negative number": np.where(np.arange(28) == 3, -1, pictures[1]),
        "NaN": np.where(np.arange(28) == 3, np.nan, pictures[1]),
        "27 rows": pictures[1, :27],
        "rows of unequal length": [*pictures[1, :27].tolist(), [0] * 27],
    }
    for what, picture in broken.items():
        rows = picture if isinstance(picture, list) else picture.tolist()
        try:
            answer([pictures[0].tolist(), rows])
        except ValueError as error:
            if "instances[1]" not in str(error):
                raise WrongAnswer(
                    f"the second picture has {what}, so the message must name `instances[1]`; it "
                    f"says {str(error)[:60]!r}."
                ) from None
            continue
        raise WrongAnswer(
            f"a picture with {what} must be refused with a ValueError; yours was answered."
            + (" NaN is neither smaller nor larger than anything." if what == "NaN" else "")
        )


# === 33.2 ===


def stays_inside(name):
    """Return whether a file's name in an archive stays inside the folder that it is unpacked to."""
    odd = not name or name.startswith("/") or "\\" in name or ":" in name
    return not odd and ".." not in name.split("/")


def _no_dots_at_all(name):
    return stays_inside(name) and ".." not in name


def _only_at_the_start(name):
    return bool(name) and not name.startswith(("../", "/")) and not re.search(r"[\\:]", name)


def _forgets_the_root(name):
    return stays_inside(name.lstrip("/"))


def _forgets_windows(name):
    return bool(name) and not name.startswith("/") and ".." not in name.split("/")


def _check_stays_inside(answer):
    cases = {
        "model.onnx": "an ordinary file",
        "saved_model/variables/variables.index": "a file in a folder in a folder",
        "notes..txt": "two dots inside a name lead nowhere",
        "../evil.txt": "it climbs out at once",
        "a/../../evil.txt": "it goes in once and out twice",
        "/etc/passwd": "a name with / in front begins at the root, wherever it is unpacked",
        "..\\evil.txt": "Windows parts names with a backslash",
        "C:/evil.txt": "Windows names a drive with a colon",
        "": "a file needs a name",
    }
    for name, why in cases.items():
        result = answer(name)
        if not isinstance(result, bool | np.bool_):
            raise WrongAnswer(f"return True or False, not {result!r}.")
        if result != stays_inside(name):
            verdict = "stays inside" if stays_inside(name) else "must be refused"
            raise WrongAnswer(f"{name!r} {verdict}: {why}.")


# === 33.3 ===


def figures(begins, ends):
    """Return median and 99 % latency, and the throughput, of requests of many clients."""
    latency = np.subtract(ends, begins)
    throughput = len(latency) / (np.max(ends) - np.min(begins))
    return np.median(latency), np.quantile(latency, 0.99), throughput


def _one_over_latency(begins, ends):
    return (*figures(begins, ends)[:2], 1 / np.mean(np.subtract(ends, begins)))


def _mean_latency(begins, ends):
    return np.mean(np.subtract(ends, begins)), *figures(begins, ends)[1:]


def _slowest(begins, ends):
    middle, _, throughput = figures(begins, ends)
    return middle, np.max(np.subtract(ends, begins)), throughput


def _to_the_last_beginning(begins, ends):
    return (*figures(begins, ends)[:2], len(begins) / (np.max(begins) - np.min(begins)))


def _check_figures(answer):
    rng = np.random.default_rng(33)
    for count in (200, 1000):
        begins = np.sort(rng.uniform(5, 9, count))
        ends = begins + rng.lognormal(-2, 1, count)
        right, result = figures(begins, ends), answer(begins.copy(), ends.copy())
        if np.shape(result) != (3,):
            raise WrongAnswer("return three numbers: median, 99 % and throughput.")
        if np.allclose(result, right):
            continue
        messages = {
            _one_over_latency: "one divided by the latency is the throughput of a *single* client. "
            "Count all answers, and divide by the time from the first question to the last answer.",
            _mean_latency: "a few slow answers pull the mean up: the median is asked for.",
            _slowest: "the slowest of all is one request; the 99 % quantile leaves one in a "
            "hundred above it.",
            _to_the_last_beginning: "the clock runs until the last *answer*.",
        }
        for wrong, message in messages.items():
            if np.allclose(result, wrong(begins, ends)):
                raise WrongAnswer(message)
        told = ", ".join(f"{value:.4g}" for value in right)
        raise WrongAnswer(f"it must be {told}, not {np.round(result, 4).tolist()}.")


# === 33.4 ===


def answered_at(arrivals, seconds, max_batch):
    """Return when each request is answered by an engine that computes all that wait at once."""
    times, free = [], 0.0
    while len(times) < len(arrivals):
        begin = max(free, arrivals[len(times)])
        waiting = [arrival for arrival in arrivals[len(times) :] if arrival <= begin]
        free = begin + seconds
        times += [free] * min(len(waiting), max_batch)
    return times


def _one_by_one(arrivals, seconds, max_batch):
    return answered_at(arrivals, seconds, 1)


def _without_limit(arrivals, seconds, max_batch):
    return answered_at(arrivals, seconds, len(arrivals))


def _never_busy(arrivals, seconds, max_batch):
    return [arrival + seconds for arrival in arrivals]


def _waits_until_full(arrivals, seconds, max_batch):
    times, free = [], 0.0
    for i in range(0, len(arrivals), max_batch):
        batch = arrivals[i : i + max_batch]
        free = max(free, batch[-1]) + seconds
        times += [free] * len(batch)
    return times


def _not_at_the_moment(arrivals, seconds, max_batch):
    times, free = [], 0.0
    while len(times) < len(arrivals):
        begin = max(free, arrivals[len(times)])
        waiting = sum(arrival < begin for arrival in arrivals[len(times) :])
        free = begin + seconds
        times += [free] * min(max(waiting, 1), max_batch)
    return times


def _check_answered_at(answer):
    cases = (
        ([0.0, 0.1, 0.2, 0.3], 1.0, 64),
        ([0.0, 0.1, 0.2, 0.3, 0.4], 1.0, 2),
        ([0.0, 5.0, 5.5, 5.7, 20.0], 1.0, 3),
        ([0.0, 0.0, 0.0], 0.5, 2),
        ([0.0, 0.5, 1.0], 1.0, 64),
    )
    for case in cases:
        right, result = answered_at(*case), answer(list(case[0]), *case[1:])
        if np.shape(result) != np.shape(right):
            raise WrongAnswer(f"return a time for each of the {len(right)} requests.")
        if np.allclose(result, right):
            continue
        messages = {
            _never_busy: "the engine may still be busy with others: it begins when it is free.",
            _without_limit: "a batch has at most max_batch requests; the others take the next one.",
            _waits_until_full: "a free engine does not wait for a full batch: it takes those that "
            "are there.",
            _one_by_one: "all requests that wait when the engine is free are computed together.",
            _not_at_the_moment: "who arrives at the very moment when it is free is taken too.",
        }
        for wrong, message in messages.items():
            if np.allclose(result, wrong(*case)):
                raise WrongAnswer(message)
        raise WrongAnswer(
            f"arrivals {case[0]}, {case[1]:g} s a batch, at most {case[2]} in one: the answers "
            f"come at {right}, not {np.round(result, 3).tolist()}."
        )


EXERCISES: tuple[Exercise, ...] = (
    Exercise(
        id="33.1",
        title="The half that is not in the model",
        prompt=(
            "Write `prepare(instances)`: from a list of pictures, each 28 rows of 28 numbers from "
            "0 to 255, the array (B, 28, 28, 1) from 0 to 1. Refuse a picture of "
            "another shape, with a number outside 0 to 255 or with NaN by a `ValueError` that "
            "names its place, such as `instances[1]`, counted from 0."
        ),
        hints=(
            "Look at the pictures one by one; `np.array(picture, float)` fails for unequal rows.",
            "`enumerate(instances)` gives place and picture.",
            "NaN is neither ≥ 0 nor < 0: ask whether all numbers are good, not whether one is bad.",
        ),
        check=_check_prepare,
        reference=prepare,
        explanation=(
            "This is what `Bounds` and `Rescaling` do in a bundle. The test asks whether all "
            "numbers are inside, so NaN fails it; the other way round NaN would come through."
        ),
        wrong=(
            (_as_bytes, "divide by 255"),
            (_without_channel, "one channel"),
            (_whole_division, "as fractions"),
            (_lets_nan_in, "NaN is neither"),
            (_clips, "must be refused"),
            (_nameless, "must name `instances[1]`"),
            (_always_the_first, "must name `instances[1]`"),
            (lambda instances: prepare(instances) / 2, "those of the request"),
        ),
    ),
    Exercise(
        id="33.2",
        title="The way out",
        prompt=(
            "Write `stays_inside(name)`: True if a file of this name, unpacked into a folder, lies "
            "in that folder, on Linux and on Windows; else False. Refuse every name with a part "
            "that is `..`, even if it comes back in, every backslash and every colon."
        ),
        hints=(
            "`name.split('/')` gives the parts.",
            "An absolute name begins with /; an empty one is no name.",
        ),
        check=_check_stays_inside,
        reference=stays_inside,
        explanation=(
            "Python's zipfile makes such names harmless when it unpacks, tarfile did not for a "
            "long time. A bundle with such a name was made to harm, so refuse it as a whole."
        ),
        wrong=(
            (_no_dots_at_all, "two dots inside a name"),
            (_only_at_the_start, "in once and out twice"),
            (_forgets_the_root, "begins at the root"),
            (_forgets_windows, "with a backslash"),
            (lambda name: "yes", "True or False"),
        ),
    ),
    Exercise(
        id="33.3",
        title="Latency and throughput",
        prompt=(
            "Many clients ask at once. Write `figures(begins, ends)` for the times in seconds at "
            "which each request began and ended: the median latency, the latency that 99 % do not "
            "exceed (`np.quantile`), and the throughput in answers a second."
        ),
        hints=(
            "A latency is the end minus the beginning of the same request.",
            "The throughput needs one clock for all: from the first beginning to the last end.",
        ),
        check=_check_figures,
        reference=figures,
        explanation=(
            "With 64 clients at once the throughput is far above one divided by the latency: on "
            "average, throughput times latency is the number of requests under way (Little's law)."
        ),
        wrong=(
            (_one_over_latency, "a *single* client"),
            (_mean_latency, "the median is asked for"),
            (_slowest, "one in a hundred"),
            (_to_the_last_beginning, "the last *answer*"),
            (lambda begins, ends: 1.0, "three numbers"),
            (lambda begins, ends: (1.0, 2.0, 3.0), "it must be"),
        ),
    ),
    Exercise(
        id="33.4",
        title="Micro-batching",
        prompt=(
            "An engine needs `seconds` for a batch, whatever its size, up to `max_batch`. Whenever "
            "it is free it takes the first requests of those that wait, also one that arrives at "
            "that very moment; if there is none it waits for the next and begins at once. Write "
            "`answered_at(arrivals, seconds, max_batch)`: from the increasing times of arrival the "
            "list of times at which each is answered. In the example of the lesson, "
            "`answered_at([0, 2, 4, 15], 10, 64)` is `[10, 20, 20, 30]`."
        ),
        hints=(
            "A batch begins when the engine is free and its first request is there: the later of "
            "the two.",
            "Those that have arrived by then, at most max_batch of them, are answered together.",
        ),
        check=_check_answered_at,
        reference=answered_at,
        explanation=(
            "Nobody waits for a batch to fill: when little is asked, batches have one row, and "
            "they grow by themselves with the load. Micro-batching of this kind costs a lonely "
            "client nothing; ours lets one that comes to a free engine wait up to `max_wait`, 2 ms."
        ),
        wrong=(
            (_one_by_one, "computed together"),
            (_without_limit, "at most max_batch"),
            (_never_busy, "still be busy"),
            (_waits_until_full, "does not wait for a full batch"),
            (_not_at_the_moment, "at the very moment"),
            (lambda arrivals, seconds, max_batch: [], "a time for each"),
            (lambda arrivals, seconds, max_batch: [0.0] * len(arrivals), "the answers come at"),
        ),
    ),
)
