"""Exercises of lesson 13, the functional API."""

from itertools import pairwise

import numpy as np

from dlnotes.exercises.base import Exercise, WrongAnswer


def count_parameters(wide, deep, hidden_units, outputs):
    """Return the number of weights and biases of a wide & deep network."""
    sizes = [deep, *hidden_units]
    hidden = sum((before + 1) * after for before, after in pairwise(sizes))
    return hidden + (wide + sizes[-1] + 1) * outputs


def _one_line(wide, deep, hidden_units, outputs):
    return count_parameters(0, wide + deep, hidden_units, outputs)


def _wide_forgotten(wide, deep, hidden_units, outputs):
    return count_parameters(0, deep, hidden_units, outputs)


def _without_biases(wide, deep, hidden_units, outputs):
    biases = sum(hidden_units) + outputs
    return count_parameters(wide, deep, hidden_units, outputs) - biases


def _two_output_biases(wide, deep, hidden_units, outputs):
    return count_parameters(wide, deep, hidden_units, outputs) + outputs


def _check_count(answer):
    for case in ((7, 3, [4, 2], 2), (10, 10, [32, 16], 1), (400, 40, [8, 4], 3)):
        right, result = count_parameters(*case), answer(*case)
        if result == right:
            continue
        wide, deep, hidden_units, outputs = case
        told = f"wide {wide}, deep {deep}, hidden {hidden_units} and {outputs} output unit(s)"
        messages = {
            _one_line: "the wide features do not go through the hidden layers; they meet the last "
            "one at the output.",
            _wide_forgotten: "the wide features need a weight each, for every output unit.",
            _without_biases: "each unit has a bias, too.",
            _two_output_biases: "wide and deep part meet in *one* output unit, which has one bias.",
        }
        for wrong, message in messages.items():
            if result == wrong(*case):
                raise WrongAnswer(f"for {told}: {message}")
        raise WrongAnswer(f"for {told} there are {right} parameters, not {result}.")


def ink_weight(ink):
    """Return the weight that gives the squared error the size it has for standardised targets."""
    return 1 / np.var(ink)


def _one_over_spread(ink):
    return 1 / np.std(ink)


def _one_over_mean(ink):
    return 1 / np.mean(ink)


def _one_over_mean_square(ink):
    return 1 / np.mean(np.square(ink))


def _the_variance(ink):
    return np.var(ink)


def _check_ink_weight(answer):
    draw = np.random.default_rng(13)
    for mean, spread in ((313, 35), (20, 2)):
        ink = draw.normal(mean, spread, 200)
        right, result = ink_weight(ink), float(answer(ink.copy()))
        if np.isclose(result, right, rtol=0.01):
            continue
        messages = {
            _one_over_spread: "the error is squared before it is weighted, so dividing it by the "
            "spread once is not enough.",
            _one_over_mean: "standardising subtracts the mean and divides by the *spread*; the "
            "mean itself divides nothing.",
            _one_over_mean_square: "the mean square is not the variance: a target far from 0 is "
            "not spread widely for that.",
            _the_variance: "large targets need a *small* weight: turn your answer round.",
        }
        for wrong, message in messages.items():
            if np.isclose(result, wrong(ink)):
                raise WrongAnswer(message)
        raise WrongAnswer(
            f"with a spread of {np.std(ink):.3g} the weight is {right:.4g}, not {result:.4g}."
        )


def build_same(features):
    """Return a model of two inputs with one tower, called twice, and a symmetric answer."""
    import keras

    left, right = keras.Input((features,)), keras.Input((features,))
    tower = keras.layers.Dense(8, activation="relu")
    gap = keras.ops.abs(keras.layers.Subtract()([tower(left), tower(right)]))
    return keras.Model([left, right], keras.layers.Dense(1, activation="sigmoid")(gap))


def _two_towers(features):
    import keras

    sides = [keras.Input((features,)), keras.Input((features,))]
    numbers = [keras.layers.Dense(8, activation="relu")(side) for side in sides]
    gap = keras.ops.abs(keras.layers.Subtract()(numbers))
    return keras.Model(sides, keras.layers.Dense(1, activation="sigmoid")(gap))


def _side_by_side(features):
    import keras

    sides = [keras.Input((features,)), keras.Input((features,))]
    tower = keras.layers.Dense(8, activation="relu")
    both = keras.layers.Concatenate()([tower(side) for side in sides])
    return keras.Model(sides, keras.layers.Dense(1, activation="sigmoid")(both))


def _without_absolute_value(features):
    import keras

    sides = [keras.Input((features,)), keras.Input((features,))]
    tower = keras.layers.Dense(8, activation="relu")
    gap = keras.layers.Subtract()([tower(side) for side in sides])
    return keras.Model(sides, keras.layers.Dense(1, activation="sigmoid")(gap))


def _linear_tower(features):
    import keras

    left, right = keras.Input((features,)), keras.Input((features,))
    tower = keras.layers.Dense(8)
    gap = keras.ops.abs(keras.layers.Subtract()([tower(left), tower(right)]))
    return keras.Model([left, right], keras.layers.Dense(1, activation="sigmoid")(gap))


def _no_sigmoid(features):
    import keras

    left, right = keras.Input((features,)), keras.Input((features,))
    tower = keras.layers.Dense(8, activation="relu")
    gap = keras.ops.abs(keras.layers.Subtract()([tower(left), tower(right)]))
    return keras.Model([left, right], keras.layers.Dense(1)(gap))


def _eight_answers(features):
    import keras

    sides = [keras.Input((features,)), keras.Input((features,))]
    tower = keras.layers.Dense(8, activation="relu")
    gap = keras.ops.abs(keras.layers.Subtract()([tower(side) for side in sides]))
    return keras.Model(sides, gap)


def _check_same(answer):
    import keras

    for features in (6, 3):
        model = answer(features)
        if not isinstance(model, keras.Model) or len(getattr(model, "inputs", None) or ()) != 2:
            raise WrongAnswer("return a keras.Model made from a list of two inputs and an output.")
        if len(model.outputs) != 1 or tuple(model.outputs[0].shape) != (None, 1):
            raise WrongAnswer("one answer for each pair: end with a Dense layer of 1 sigmoid unit.")
        if not all(tuple(tensor.shape) == (None, features) for tensor in model.inputs):
            raise WrongAnswer(f"both inputs must have {features} features.")
        draw = np.random.default_rng(features)
        a, b = draw.normal(size=(2, 50, features)).astype("float32")
        sizes = {tuple(weight.shape) for weight in model.weights}
        if model.count_params() == 2 * (features * 8 + 8) + 9 or len(model.weights) > 4:
            raise WrongAnswer(
                "you made two layers: make the tower once, and call the same object on both inputs."
            )
        if (16, 1) in sizes:
            raise WrongAnswer(
                "side by side, left and right numbers get weights of their own, and swapping the "
                "inputs changes the answer. Take differences."
            )
        there, back = np.asarray(model([a, b])), np.asarray(model([b, a]))
        if not np.allclose(there, back, atol=1e-6):
            raise WrongAnswer(
                "the answer changes when the two inputs are swapped: a difference changes its "
                "sign, so take its absolute value."
            )
        if model.count_params() != features * 8 + 8 + 9:
            raise WrongAnswer(
                f"with {features} features there are {features * 8 + 8 + 9} parameters, 8 units in "
                f"the tower and 1 at the end; yours has {model.count_params()}."
            )
        numbers = [draw.normal(size=weight.shape) for weight in model.get_weights()]
        model.set_weights(numbers)
        got = np.asarray(model([a, b]))
        messages = {
            build_same: "",
            _linear_tower: "with the same weights your tower gives other numbers: its units must "
            "be ReLU.",
            _no_sigmoid: "your answers go beyond 0 and 1: the last unit must be a sigmoid.",
        }
        for build, message in messages.items():
            other = build(features)
            other.set_weights(numbers)
            if np.allclose(got, other([a, b]), atol=1e-5):
                if message:
                    raise WrongAnswer(message)
                break
        else:
            raise WrongAnswer(
                "with the same weights your model gives other answers than the described one: "
                "ReLU tower on both sides, absolute differences, one sigmoid unit."
            )


def accumulate(gradient, batches):
    """Return the gradient of the mean loss over the rows of all batches."""
    total, rows = 0.0, 0
    for x, y in batches:
        total = total + len(x) * gradient(x, y)
        rows += len(x)
    return total / rows


def _mean_of_means(gradient, batches):
    return np.mean([gradient(x, y) for x, y in batches], axis=0)


def _sum_of_means(gradient, batches):
    return np.sum([gradient(x, y) for x, y in batches], axis=0)


def _sum_of_rows(gradient, batches):
    return np.sum([len(x) * gradient(x, y) for x, y in batches], axis=0)


def _last_batch(gradient, batches):
    return gradient(*batches[-1])


def _check_accumulate(answer):
    draw = np.random.default_rng(4)
    x, y, weights = draw.normal(size=(10, 3)), draw.normal(size=10), draw.normal(size=3)

    def gradient(rows, targets):
        return 2 * rows.T @ (rows @ weights - targets) / len(rows)

    for cuts in ([5], [4, 8], [1]):
        batches = list(zip(np.split(x, cuts), np.split(y, cuts), strict=True))
        result = np.asarray(answer(gradient, batches), dtype=float)
        right = gradient(x, y)
        if result.shape == right.shape and np.allclose(result, right):
            continue
        sizes = [len(rows) for rows, _ in batches]
        messages = {
            _sum_of_rows: "that is the sum over all rows; divide by their number.",
            _mean_of_means: "a smaller batch must count less: weigh each gradient by its rows.",
            _sum_of_means: "you add means: with k batches the result is about k times too large.",
            _last_batch: "only the last batch is left: keep adding to what is there.",
        }
        for wrong, message in messages.items():
            expected = wrong(gradient, batches)
            if result.shape == expected.shape and np.allclose(result, expected):
                raise WrongAnswer(f"batches of {sizes} rows: {message}")
        raise WrongAnswer(f"batches of {sizes} rows must give {np.round(right, 3).tolist()}.")


EXERCISES = (
    Exercise(
        id="13.1",
        title="Count the parameters",
        prompt=(
            "Write `count_parameters(wide, deep, hidden_units, outputs)`: how many weights and "
            "biases has a wide & deep network with so many wide features, deep features, units in "
            "each hidden layer (a list with at least one number), and output units?"
        ),
        hints=(
            "A dense layer of n units behind m numbers has (m + 1) * n parameters.",
            "The hidden layers see the deep features only.",
            "The output units see the wide features and the last hidden layer: "
            "(wide + hidden_units[-1] + 1) * outputs.",
        ),
        check=_check_count,
        reference=count_parameters,
        explanation=(
            "The wide part adds one weight a feature and output unit, and no bias: one unit, one "
            "bias."
        ),
        wrong=(
            (_one_line, "do not go through the hidden layers"),
            (_wide_forgotten, "need a weight each"),
            (_without_biases, "a bias, too"),
            (_two_output_biases, "one bias"),
        ),
    ),
    Exercise(
        id="13.2",
        title="A weight instead of a new unit",
        prompt=(
            "A colleague insists on ink in grey values. Write `ink_weight(ink)`: the weight in "
            "`loss_weights` with which the mean squared error of these targets becomes as large as "
            "it would be for standardised targets with weight 1."
        ),
        hints=(
            "What does standardising do to an error of 35 grey values, if the standard deviation "
            "is 35?",
            "The error is divided by the spread, and then squared.",
            "So the squared error is divided by the square of the spread: `np.var(ink)`.",
        ),
        check=_check_ink_weight,
        reference=ink_weight,
        explanation=(
            "The mean drops out, since it moves prediction and target alike. (It still has to be "
            "learned, by the bias: standardised targets are easier for that reason.)"
        ),
        wrong=(
            (_one_over_spread, "is not enough"),
            (_one_over_mean, "the mean itself divides nothing"),
            (_one_over_mean_square, "is not the variance"),
            (_the_variance, "turn your answer round"),
        ),
    ),
    Exercise(
        id="13.3",
        title="The same eyes twice",
        prompt=(
            "Write `build_same(features)`: a functional Keras model of two inputs with so many "
            "features each. One Dense layer of 8 ReLU units sees both inputs; the absolute "
            "differences of its two outputs go to one sigmoid unit. (`keras` is imported above.)"
        ),
        hints=(
            "Make the layer once, before you call it: `tower = keras.layers.Dense(…)`.",
            "`tower(left)` and `tower(right)` share the weights.",
            "`keras.ops.abs(keras.layers.Subtract()([…, …]))`, then Dense(1), then keras.Model.",
        ),
        check=_check_same,
        reference=build_same,
        explanation=(
            "One object, two calls: the weights are shared, and their gradient is the sum of what "
            "both calls send back. The absolute value makes the answer symmetric."
        ),
        wrong=(
            (_two_towers, "you made two layers"),
            (_side_by_side, "weights of their own"),
            (_without_absolute_value, "its absolute value"),
            (_eight_answers, "one answer for each pair"),
            (_linear_tower, "its units must be ReLU"),
            (_no_sigmoid, "must be a sigmoid"),
        ),
    ),
    Exercise(
        id="13.4",
        title="A batch too large for the memory",
        prompt=(
            "Another step of your own: a large batch does not fit into memory, so it comes in "
            "pieces: `batches` is a list of "
            "pairs (x, y), not all of the same length. `gradient(x, y)` returns the gradient of "
            "the *mean* loss of a piece. Write `accumulate(gradient, batches)`: the gradient of "
            "the mean loss over all rows."
        ),
        hints=(
            "The gradient of a mean is the mean of the rows' gradients.",
            "Times its number of rows, a piece's gradient is the sum over its rows.",
            "Add these sums, and divide by the number of all rows.",
        ),
        check=_check_accumulate,
        reference=accumulate,
        explanation=(
            "This is gradient accumulation: one step with the gradient of a large batch, with the "
            "memory of a small one. In Keras: `gradient_accumulation_steps` of an optimizer, which "
            "takes the pieces to be of equal size."
        ),
        wrong=(
            (_mean_of_means, "must count less"),
            (_sum_of_means, "times too large"),
            (_sum_of_rows, "divide by their number"),
            (_last_batch, "keep adding"),
        ),
    ),
)
