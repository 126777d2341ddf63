"""The lessons' exercises: `check` an answer, ask for a `hint`, read the `solution`."""

from dlnotes.exercises.base import Exercise, WrongAnswer, check, find, hint, of_lesson, solution

# lesson number → module
MODULES = {
    "00": "linear_algebra",
    "01": "perceptron",
    "02": "multilayer_perceptron",
    "03": "losses",
    "04": "backpropagation",
    "05": "gradient_descent",
    "06": "workflow",
    "07": "activations",
    "08": "initialization",
    "09": "normalization",
    "10": "optimizers",
    "11": "regularization",
    "12": "tuning",
    "13": "functional_api",
    "14": "image_preprocessing",
    "15": "convolution",
    "16": "convnets",
    "17": "transfer_learning",
    "18": "inside_convnets",
    "19": "sequence_data",
    "20": "recurrent_networks",
    "21": "lstm_gru",
    "22": "text",
    "23": "forecasting",
    "24": "encoder_decoder",
    "25": "attention",
    "26": "transformer",
    "33": "deployment",
    "34": "scaling",
}

__all__ = ["Exercise", "WrongAnswer", "check", "find", "hint", "of_lesson", "solution"]
