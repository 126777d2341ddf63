"""Exercises of lesson 24, Encoder and decoder."""

import numpy as np

from dlnotes.exercises.base import Exercise, WrongAnswer


def decoder_rows(tokens, start, end):
    """Return what the decoder reads and what it is to answer, two lists."""
    return [start, *tokens], [*tokens, end]


def _not_moved(tokens, start, end):
    return [start, *tokens, end], [start, *tokens, end]


def _answer_in_view(tokens, start, end):
    return [*tokens, end], [*tokens, end]


def _no_end(tokens, start, end):
    return [start, *tokens[:-1]], list(tokens)


def _reads_the_end(tokens, start, end):
    return [start, *tokens, end], [*tokens, end]


def _check_decoder_rows(answer):
    for tokens in ([7, 4, 9], [5]):
        result = answer(list(tokens), 2, 3)
        if not isinstance(result, tuple | list) or len(result) != 2:
            raise WrongAnswer("return two lists: what is read, and what is wanted.")
        result = tuple([int(token) for token in part] for part in result)
        if result == decoder_rows(tokens, 2, 3):
            continue
        messages = {
            _not_moved: "both are the same: the decoder would only have to repeat what it reads.",
            _answer_in_view: "at each place the answer stands in what is read there. The loss "
            "would fall to 0, and the network could not write a word.",
            _no_end: "nothing tells the decoder to stop: the end mark must be wanted.",
            _reads_the_end: "nothing is wanted after the end mark, so it need not be read: both "
            "must have the same length.",
        }
        for wrong, message in messages.items():
            if result == tuple(list(part) for part in wrong(tokens, 2, 3)):
                raise WrongAnswer(message)
        raise WrongAnswer(f"for {tokens} it must be {decoder_rows(tokens, 2, 3)}, not {result}.")


def beam_step(log_p, p, width):
    """Return beam, token and log-probability of the best continuations, the best first."""
    longer = np.asarray(log_p)[:, None] + np.log(p)
    best = np.argsort(-longer, axis=None)[:width]
    beams, tokens = np.unravel_index(best, longer.shape)
    return [(int(b), int(t), float(longer[b, t])) for b, t in zip(beams, tokens, strict=True)]


def _one_a_beam(log_p, p, width):
    longer = np.asarray(log_p)[:, None] + np.log(p)
    found = [(b, int(row.argmax()), float(row.max())) for b, row in enumerate(longer)]
    return sorted(found, key=lambda one: -one[2])[:width]


def _without_past(log_p, p, width):
    return beam_step(np.zeros(len(log_p)), p, width)


def _not_logarithms(log_p, p, width):
    longer = np.asarray(log_p)[:, None] + p
    best = np.argsort(-longer, axis=None)[:width]
    beams, tokens = np.unravel_index(best, longer.shape)
    return [(int(b), int(t), float(longer[b, t])) for b, t in zip(beams, tokens, strict=True)]


def _multiplied(log_p, p, width):
    longer = np.asarray(log_p)[:, None] * p
    best = np.argsort(-longer, axis=None)[:width]
    beams, tokens = np.unravel_index(best, longer.shape)
    return [(int(b), int(t), float(longer[b, t])) for b, t in zip(beams, tokens, strict=True)]


def _check_beam_step(answer):
    log_p = np.log([0.5, 0.2])
    p = np.array([[0.5, 0.4, 0.1], [0.9, 0.05, 0.05]])

    def same(one, other):
        return [tuple(row[:2]) for row in one] == [tuple(row[:2]) for row in other] and np.allclose(
            [row[2] for row in one], [row[2] for row in other]
        )

    for width in (2, 3):
        right, result = beam_step(log_p, p, width), answer(log_p.copy(), p.copy(), width)
        if not isinstance(result, list) or any(len(row) != 3 for row in result):
            raise WrongAnswer("return a list of triples: beam, token, log-probability.")
        if same(result, right):
            continue
        messages = {
            _one_a_beam: "both of the best may come from one beam: rank all continuations "
            "together, not the best of each beam.",
            _without_past: "the beams were not equally probable before: add `log_p`.",
            _not_logarithms: "`log_p` is a logarithm and `p` is not: add log p.",
            _multiplied: "probabilities are multiplied, logarithms added.",
        }
        for wrong, message in messages.items():
            if same(result, wrong(log_p, p, width)):
                raise WrongAnswer(message)
        told = [(beam, token, round(score, 3)) for beam, token, score in right]
        raise WrongAnswer(f"with width {width} it must be {told}, not {result}.")


def after_first_mistake(wrong):
    """Return the share of wrong words among those after the first mistake of each row."""
    wrong = np.asarray(wrong)
    later = np.cumsum(wrong, axis=1) - wrong > 0
    return float(wrong[later].mean())


def _with_the_first(wrong):
    return float(wrong[np.cumsum(wrong, axis=1) > 0].mean())


def _everywhere(wrong):
    return float(np.mean(wrong))


def _next_word(wrong):
    return float(wrong[:, 1:][wrong[:, :-1]].mean())


def _mean_of_rows(wrong):
    later = np.cumsum(wrong, axis=1) - wrong > 0
    return float(
        np.mean([row[mask].mean() for row, mask in zip(wrong, later, strict=True) if mask.any()])
    )


def _check_after_first_mistake(answer):
    wrong = np.array(
        [[0, 0, 0, 0, 0], [0, 1, 1, 0, 1], [0, 0, 0, 1, 0], [1, 0, 0, 1, 0]], dtype=bool
    )
    result, right = answer(wrong.copy()), after_first_mistake(wrong)
    if np.shape(result) != ():
        raise WrongAnswer(f"return one number, not {result}.")
    if np.isclose(result, right):
        return
    messages = {
        _with_the_first: "the first mistake itself was made while all that was read was true: "
        "count what comes after it.",
        _everywhere: "this is the share of all words, also of those before any mistake.",
        _next_word: "this looks at the word right after each mistake. All later words count.",
        _mean_of_rows: "this is the mean of the rows' shares: a row with one word after its "
        "mistake would weigh as much as one with four.",
    }
    for mistaken, message in messages.items():
        if np.isclose(result, mistaken(wrong)):
            raise WrongAnswer(message)
    raise WrongAnswer(f"for {wrong.astype(int).tolist()} it must be {right:.4g}, not {result}.")


def best_possible(choices, told):
    """Return how often, in training on own words, the last word can be the wanted one at best."""
    return 1.0 if told else 1 / choices


def _always(choices, told):
    return 1.0


def _never(choices, told):
    return 1.0 if told else 0.0


def _turned(choices, told):
    return 1 / choices if told else 1.0


def _check_best_possible(answer):
    for choices in (8, 3):
        for told in (True, False):
            result, right = answer(choices, told), best_possible(choices, told)
            if np.shape(result) != ():
                raise WrongAnswer(f"return one number, not {result}.")
            if np.isclose(result, right):
                continue
            case = f"{choices} first words, told by the source: {told}"
            if told:
                raise WrongAnswer(f"{case}. The source tells the first word, so the last is known.")
            if np.isclose(result, 1):
                raise WrongAnswer(
                    f"{case}. In training it read a first word of its own, not that of the answer: "
                    "nothing that it read tells the last word."
                )
            if np.isclose(result, 0):
                raise WrongAnswer(f"{case}. A constant guess is right now and then. How often?")
            raise WrongAnswer(f"{case}: it must be {right:.4g}, not {result}.")


EXERCISES: tuple[Exercise, ...] = (
    Exercise(
        id="24.1",
        title="Moved by one place",
        prompt=(
            "Write `decoder_rows(tokens, start, end)` for teacher forcing: from the tokens of one "
            "translation, a list of ids, two lists of the same length: what the decoder reads, and "
            "what it is to answer."
        ),
        hints=(
            "At the first place it has read nothing but the start mark, and is to answer the first "
            "token.",
            "At the last place it has read the last token, and is to answer the end mark.",
        ),
        check=_check_decoder_rows,
        reference=decoder_rows,
        explanation=(
            "`[start, *tokens]` is read, `[*tokens, end]` is wanted. At place t the decoder has "
            "read everything before token t, and not token t itself."
        ),
        wrong=(
            (_not_moved, "only have to repeat"),
            (_answer_in_view, "could not write a word"),
            (_no_end, "to stop"),
            (_reads_the_end, "need not be read"),
            (lambda tokens, start, end: ([], []), "it must be"),
        ),
    ),
    Exercise(
        id="24.2",
        title="One step of beam search",
        prompt=(
            "Write `beam_step(log_p, p, width)`: `log_p` (W,) are the logarithms of the "
            "probabilities of W beams, `p` (W, V) the probabilities of V tokens after each. Return "
            "the `width` best continuations as a list of `(beam, token, log_probability)`, the "
            "best first."
        ),
        hints=(
            "First a table (W, V): the log-probability of each beam with each token.",
            "Rank all of the table: `np.argsort(-table, axis=None)` and `np.unravel_index`.",
        ),
        check=_check_beam_step,
        reference=beam_step,
        explanation=(
            "`log_p[:, None] + np.log(p)` scores all W · V continuations. The best `width` of them "
            "all stay: a strong beam may have several heirs, a weak one none."
        ),
        wrong=(
            (_one_a_beam, "rank all continuations together"),
            (_without_past, "not equally probable"),
            (_not_logarithms, "`p` is not"),
            (_multiplied, "logarithms added"),
            (lambda log_p, p, width: [(0, 0, 0.0)] * width, "it must be"),
        ),
    ),
    Exercise(
        id="24.3",
        title="After the first mistake",
        prompt=(
            "`wrong` (N, T) says of each word of N translations whether it is wrong. Exposure bias "
            "can only show after a row's first mistake. Write `after_first_mistake(wrong)`: the "
            "share of wrong words among all words that come after the first mistake of their row "
            "(some row has such words)."
        ),
        hints=(
            "`np.cumsum(wrong, axis=1)` counts the mistakes so far, this place included.",
            "Take this place's own mistake off: what is then above 0 is later.",
        ),
        check=_check_after_first_mistake,
        reference=after_first_mistake,
        explanation=(
            "`later = np.cumsum(wrong, axis=1) - wrong > 0` marks the places with a mistake before "
            "them; `wrong[later].mean()` is the share."
        ),
        wrong=(
            (_with_the_first, "the first mistake itself"),
            (_everywhere, "before any mistake"),
            (_next_word, "All later words count"),
            (_mean_of_rows, "mean of the rows' shares"),
            (lambda wrong: -1.0, "it must be"),
        ),
    ),
    Exercise(
        id="24.4",
        title="What running free can learn",
        prompt=(
            "A poem begins with one of `choices` equally likely words and must end with it again. "
            "`told` says whether the source tells the first word. A decoder is trained running "
            "free: from the start mark on it reads only its own likeliest words. Write "
            "`best_possible(choices, told)`: how often can its last word in training be the wanted "
            "one at best?"
        ),
        hints=(
            "What does it read in training that depends on the answer's first word?",
            "If nothing: what is the best constant guess?",
        ),
        check=_check_best_possible,
        reference=best_possible,
        explanation=(
            "Told, the source decides everything: 1. Not told, neither source nor own words depend "
            "on what is wanted: 1 / choices, however long it trains, and a cross-entropy of "
            "log(choices) or more. With teacher forcing it reads the wanted word at its first "
            "place and could be right always: only then is there a reason to copy."
        ),
        wrong=(
            (_always, "of its own, not that of the answer"),
            (_never, "A constant guess"),
            (_turned, "so the last is known"),
            (lambda choices, told: 1.0 if told else 0.7, "it must be"),
        ),
    ),
)
