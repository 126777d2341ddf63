"""The lessons against the ledger, the calibration, the exercises and the generated documents.

These tests read what is stored; that the lessons run is for the notebook tests.
"""

import json
import types
from collections import Counter

import pytest

from dlnotes import exercises, runtime
from dlnotes.course import claims, execute, lessons, mirrors, readme
from dlnotes.datasets import load_registry
from dlnotes.exercises import base

ROOT = runtime.repository_root()
OFFSETS, PROCESSORS = 4, ("native", "other")


def landed():
    """Return the lessons; none if the store is broken, which a test below reports."""
    try:
        return lessons.load().lessons
    except lessons.LessonStoreError:
        return ()


LESSONS = landed()
each_lesson = pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.id)


def notebook_of(lesson):
    return execute.read_notebook(ROOT / lesson.path)


def test_there_are_lessons():
    assert lessons.load().lessons


def test_every_notebook_is_a_lesson():
    files = {path.name for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert files == {lesson.path.rpartition("/")[2] for lesson in lessons.load().lessons}


def test_a_lesson_shows_the_package_s_code():
    assert LESSONS
    assert any(mirrors.mirrors_in(notebook_of(lesson)) for lesson in LESSONS)


def test_generated_documents_are_current():
    stale = [str(path.relative_to(ROOT)) for path in readme.refresh(ROOT, check=True)]
    assert stale == [], "run: python -m dlnotes.course.readme"


@each_lesson
def test_every_dataset_of_a_lesson_is_registered(lesson):
    assert set(lesson.datasets) - set(load_registry()) == set()


# === Ledger ===


def test_every_claim_of_a_lesson_is_decided_once_in_the_course():
    decided, wrong = Counter(), []
    ledger = claims.load()
    for lesson in LESSONS:
        for record in execute.records_of(notebook_of(lesson)):
            if record["kind"] == "claim":
                claim = ledger[record["id"]]
                decided[claim.id] += 1
                if (claim.lesson, claim.verdict) != (lesson.id, record["verdict"]):
                    wrong.append((lesson.id, record, claim.lesson, claim.verdict))
    ids = {lesson.id for lesson in LESSONS}
    assert ids
    assert wrong == []
    assert decided == Counter(claim.id for claim in ledger.values() if claim.lesson in ids)


# === Calibration ===


def calibration_problems(records, bands):
    """Return what is wrong with a lesson's calibration record, one sentence each."""
    problems = []
    for record in records:
        name, band = record["name"], bands.get(record["name"])
        if band is None:
            problems.append(f"{name}: no record")
            continue
        if (band["low"], band["high"]) != (record["low"], record["high"]):
            problems.append(f"{name}: the band was {band['low']} to {band['high']}")
        for processor in PROCESSORS:
            offsets = {run["offset"] for run in band["runs"] if run["processor"] == processor}
            if len(offsets) < OFFSETS:
                problems.append(f"{name}: {len(offsets)} offsets on the {processor} processor")
        for run in band["runs"]:
            if not band["low"] <= run["low"] <= run["high"] <= band["high"]:
                problems.append(f"{name}: outside with {run}")
    names = {record["name"] for record in records}
    problems += [f"{name}: no such value in the lesson" for name in sorted(set(bands) - names)]
    return problems


@each_lesson
def test_every_band_was_calibrated_and_holds(lesson):
    path = ROOT / "notebooks" / "calibration.json"
    recorded = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    measured = [
        record
        for record in execute.records_of(notebook_of(lesson))
        if record["kind"] in execute.MEASURED
    ]
    assert measured
    problems = calibration_problems(measured, recorded.get(lesson.id, {}))
    assert problems == [], f"run: dlnotes calibrate {lesson.id}"


def calibrated(**changes):
    runs = [
        {"offset": offset, "processor": processor, "low": 0.5, "high": 0.6}
        for offset in range(4)
        for processor in PROCESSORS
    ]
    return {"accuracy": {"low": 0.4, "high": 0.7, "runs": runs} | changes}


RECORD = {"kind": "within", "name": "accuracy", "values": [0.5], "low": 0.4, "high": 0.7}


@pytest.mark.parametrize(
    ("bands", "problem"),
    [
        ({}, "accuracy: no record"),
        (calibrated(low=0.3), "accuracy: the band was 0.3 to 0.7"),
        (calibrated(runs=calibrated()["accuracy"]["runs"][1:]), "3 offsets on the native"),
        (calibrated(runs=calibrated()["accuracy"]["runs"][:-1]), "3 offsets on the other"),
        (
            calibrated(
                runs=[
                    *calibrated()["accuracy"]["runs"],
                    {"offset": 9, "processor": "native"} | {"low": 0.5, "high": 0.8},
                ]
            ),
            "accuracy: outside with",
        ),
        (calibrated() | {"loss": calibrated()["accuracy"]}, "loss: no such value in the lesson"),
    ],
)
def test_a_faulty_calibration_is_seen(bands, problem):
    assert calibration_problems([RECORD], calibrated()) == []
    (found,) = calibration_problems([RECORD], bands)
    assert problem in found


# === Exercises ===

EXERCISES = [
    pytest.param(number, exercise, id=exercise.id)
    for number in exercises.MODULES
    for exercise in exercises.of_lesson(number)
]
each_exercise = pytest.mark.parametrize(("number", "exercise"), EXERCISES)


def test_every_lesson_has_its_module_of_exercises():
    named = {f"{lesson.number:02d}": lesson.id for lesson in lessons.load().lessons}
    assert named == exercises.MODULES


@pytest.mark.parametrize("number", exercises.MODULES)
def test_exercises_are_numbered_from_one(number):
    found = [exercise.id for exercise in exercises.of_lesson(number)]
    assert found == [f"{number}.{n}" for n in range(1, len(found) + 1)]
    assert len(found) >= 3


@each_exercise
def test_an_exercise_has_all_that_a_learner_needs(number, exercise):
    for text in (exercise.title, exercise.prompt, exercise.explanation, *exercise.hints):
        assert isinstance(text, str)
        assert text.strip()
    assert len(exercise.hints) >= 2
    assert len(set(exercise.hints)) == len(exercise.hints)
    assert len(exercise.wrong) >= 2


@each_exercise
def test_the_reference_passes(number, exercise):
    passed, message = base.verdict(exercise, exercise.reference)
    assert passed, message


@each_exercise
def test_the_stub_is_not_attempted(number, exercise):
    def stub(*values, **options):
        """Say what to write."""
        ...

    for answer in (..., None, stub):
        passed, message = base.verdict(exercise, answer)
        assert not passed
        assert message.startswith("not attempted yet")


@each_exercise
def test_each_wrong_answer_is_refused_with_its_own_message(number, exercise):
    messages = []
    for answer, piece in exercise.wrong:
        passed, message = base.verdict(exercise, answer)
        assert not passed
        assert message.startswith("not yet: "), message
        assert piece.strip()
        assert piece in message
        messages.append(message)
    assert len(set(messages)) == len(messages)


@each_exercise
def test_the_solution_can_be_shown(number, exercise, capsys):
    exercises.solution(exercise.id)
    shown = capsys.readouterr().out
    assert exercise.explanation in shown
    if isinstance(exercise.reference, types.FunctionType):
        assert f"def {exercise.reference.__name__}(" in shown
