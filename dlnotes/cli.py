"""The command `dlnotes`. Every import that costs time happens inside the command that needs it."""

import contextlib
import json
import os
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup


class _Group(TyperGroup):
    """Turns every error into one clear line and an exit status."""

    def invoke(self, ctx: typer.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
        except Exception as error:
            # typer's own exceptions carry their status; a closed pipe ends the program in silence
            if hasattr(error, "exit_code") or isinstance(error, typer.Abort | BrokenPipeError):
                raise
            if _debug():
                raise
            typer.secho(f"Error: {_one_line(error)}", err=True, fg="red")
            raise typer.Exit(1) from None


app = typer.Typer(
    cls=_Group,
    name="dlnotes",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="A deep-learning course in notebooks: study the lessons, run them, test them.\n\n"
    "Start with: dlnotes study",
    epilog="A lesson is named by its id or its number: perceptron, 1 or 01. "
    "DLNOTES_DEBUG=1 shows where an error comes from.",
)
data_app = typer.Typer(
    help="List the datasets, or fetch a large one.",
    invoke_without_command=True,
    rich_markup_mode=None,
)
app.add_typer(data_app, name="data")

_Lessons = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="LESSON", help="Lessons by id or number; all if none.", show_default=False
    ),
]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def main() -> None:
    """Run the command line; the entry point of the script `dlnotes`."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # an old console may lack a letter
    app()


# === Studying and running ===


@app.command()
def study(
    lesson: Annotated[
        str | None,
        typer.Argument(help="Open this lesson in place of the index.", show_default=False),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            help="Port on this machine; 8888 or the next free one if not given.",
            min=1,
            max=65535,
            show_default=False,
        ),
    ] = None,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open a browser, or only say where.")
    ] = True,
) -> None:
    """Open the course in JupyterLab; Ctrl-C stops it.

    Shows the list of lessons, or the lesson you name. The address is printed once the server
    answers; it works without a display too, for example on a remote machine.
    """
    from dlnotes.course import study as server

    root = _root()
    path = _select([lesson])[0].path if lesson else server.INDEX
    server.study(path, root=root, port=port, browser=browser, say=_say)


@app.command()
def run(
    lessons: _Lessons = None,
    full: Annotated[
        bool,
        typer.Option(
            "--full", help="Also run the sections that download full data sets or want a GPU."
        ),
    ] = False,
    store: Annotated[
        bool,
        typer.Option(
            "--store", help="For authors: write the outputs into the lesson's own notebook."
        ),
    ] = False,
    output: Annotated[Path, typer.Option(help="Folder for the results.", file_okay=False)] = Path(
        "build"
    ),
) -> None:
    """Run lessons, and save notebooks, web pages and a report.

    Each lesson runs from top to bottom in a fresh kernel. The folder build then holds for each
    the executed notebook and one self-contained HTML page, and report.json with every measured
    value. A lesson that fails is shown with the cell that failed.
    """
    if full and store:
        raise typer.BadParameter("--store keeps what learners see: not together with --full")
    chosen = _select(lessons or [])
    with _terminate_like_ctrl_c():
        failed = _run_lessons(chosen, _root(), output, full=full, store=store)
    if failed:
        raise typer.Exit(1)


def _run_lessons(chosen: Any, root: Path, output: Path, *, full: bool, store: bool) -> bool:
    from rich.console import Console

    from dlnotes.course import display, execute, reports

    console = Console()
    report_path = output / "report.json"
    shown = display.RunDisplay(
        console, chosen, lambda lesson: reports.expected_seconds(lesson, report_path)
    )
    env = {"DLNOTES_FULL": "1"} if full else None
    runs, unsaved = [], {}
    try:
        with shown.live():
            for lesson in chosen:
                result = execute.run_lesson(
                    lesson, root=root, env=env, listener=shown.listener(lesson)
                )
                if problem := _save(result, root, output, store=store):
                    unsaved[lesson.id] = problem
                runs.append(result)
                shown.finished(result)
    except KeyboardInterrupt:
        saved = f"saved in {output}" if len(runs) > len(unsaved) else "nothing was saved"
        _say(f"\nInterrupted: {len(runs)} of {len(chosen)} lessons finished, {saved}.")
        raise
    reports.write(reports.build(runs), report_path)
    for result in runs:
        if result.error is not None:
            display.show_error(console, result.lesson, result.error)
        if result.lesson.id in unsaved:
            what, reason = unsaved[result.lesson.id]
            typer.secho(f"{result.lesson.label}: {what}. {reason}", err=True, fg="red")
    _print_runs(console, runs, unsaved, report_path)
    return bool(unsaved) or any(result.error is not None for result in runs)


def _save(result: Any, root: Path, output: Path, *, store: bool) -> tuple[str, str] | None:
    """Write what a lesson's run gave; return what is missing and why, None if nothing is."""
    from dlnotes.course import execute

    stem = Path(result.lesson.path).stem
    missing = "not saved"
    try:
        execute.write_notebook(result.notebook, output / f"{stem}.ipynb")
        execute.export_html(result.notebook, output / f"{stem}.html", result.lesson.label)
        missing = "not stored"
        if store and result.error is None:
            execute.store(result, root)
    except Exception as error:  # one lesson's trouble must not cost the other lessons' results
        if _debug():
            raise
        return missing, _one_line(error)
    return None


def _print_runs(
    console: Any, runs: list[Any], unsaved: dict[str, tuple[str, str]], report_path: Path
) -> None:
    from dlnotes.course import claims

    rows = []
    for result in runs:
        outcome = unsaved[result.lesson.id][0] if result.lesson.id in unsaved else "passed"
        if result.error is not None:
            outcome = f"failed in cell {result.error.cell}"
        decided = len({record["id"] for record in result.claims})
        rows.append(
            (
                result.lesson.label,
                f"{result.seconds:.1f}",
                f"{result.peak_memory_mb:.0f} MB",
                f"{decided} of {len(claims.of_lesson(result.lesson.id))}",
                outcome,
            )
        )
    _table(
        ["lesson", "seconds", "peak memory", "claims decided", "result"],
        rows,
        right={"seconds", "peak memory", "claims decided"},
        console=console,
    )
    _say(f"Notebooks, web pages and {report_path.name} are in {report_path.parent}.")


# === Testing ===


@app.command("test")
def run_tests(
    lessons: _Lessons = None,
    everywhere: Annotated[
        bool,
        typer.Option(
            "--everywhere",
            help="Two more stages in place of the usual ones: the lessons with other seeds on an "
            "imitated older processor, and a lesson run with the built wheel.",
        ),
    ] = False,
    unit_only: Annotated[
        bool, typer.Option("--unit-only", help="Only the unit tests, no lesson.")
    ] = False,
    lessons_only: Annotated[
        bool, typer.Option("--lessons-only", help="Only the lessons, no unit test.")
    ] = False,
) -> None:
    """Test the package, and each lesson's stored outputs.

    First the unit tests, then every lesson: it passes if each text that is stored in it comes
    out again, word for word. A stage that fails does not stop the later ones.
    """
    if unit_only + lessons_only + everywhere > 1:
        raise typer.BadParameter("only one of --everywhere, --unit-only and --lessons-only")
    from dlnotes.course import execute, testing

    root, chosen = _root(), _select(lessons or [])
    stages = []
    with _terminate_like_ctrl_c():
        if everywhere:
            stages.append(
                testing.other_processor_tests(chosen, root, execute.other_processor(), say=_say)
            )
            stages.append(testing.wheel_test(chosen[0], root, say=_say))
        else:
            if not lessons_only:
                stages.append(testing.unit_tests(root, say=_say))
            if not unit_only:
                stages.append(testing.lesson_tests(chosen, root, say=_say))
    _say("")
    rows = [
        (stage.name, f"{stage.seconds:.0f}", "passed" if stage.passed else "failed")
        for stage in stages
    ]
    _table(["stage", "seconds", "result"], rows, right={"seconds"})
    if any(stage.name.startswith("lessons") and not stage.passed for stage in stages):
        _say("If you changed lessons yourself: git restore notebooks brings them back.")
    if not all(stage.passed for stage in stages):
        raise typer.Exit(1)


# === Looking things up ===


@app.command("lessons")
def list_lessons(as_json: _Json = False) -> None:
    """List the lessons: question, minutes, what comes before."""
    from dlnotes import runtime

    chosen = _select([])
    if as_json:
        root = runtime.repository_root()
        _print_json([_lesson_facts(lesson, root) for lesson in chosen])
        return
    rows = [
        (
            f"{lesson.number:02d}",
            lesson.id,
            lesson.question,
            str(lesson.minutes),
            ", ".join(lesson.prerequisites) or "–",
        )
        for lesson in chosen
    ]
    _table(["no.", "id", "question", "minutes", "after"], rows, right={"minutes"})
    _say("Open one with: dlnotes study ID")


def _lesson_facts(lesson: Any, root: Path | None) -> dict[str, Any]:
    from dlnotes.course import claims, stored
    from dlnotes.exercises import base

    # an installed wheel carries no notebooks
    notebook = {"cells": []} if root is None else stored.read(root / lesson.path)
    return {
        "id": lesson.id,
        "number": lesson.number,
        "title": lesson.title,
        "question": lesson.question,
        "part": lesson.part.number,
        "path": lesson.path,
        "prerequisites": list(lesson.prerequisites),
        "datasets": list(lesson.datasets),
        "claims": [claim.id for claim in claims.of_lesson(lesson.id)],
        "exercises": [exercise.id for exercise in base.of_lesson(f"{lesson.number:02d}")],
        "minutes": lesson.minutes,
        "budget_s": lesson.budget_s,
        "strict_cells": stored.strict_cells(notebook),
        "output_cells": stored.output_cells(notebook),
    }


@app.command("claims")
def list_claims(
    as_json: _Json = False,
    lesson: Annotated[
        str | None,
        typer.Option(help="Only the claims that this lesson decides.", show_default=False),
    ] = None,
    verdict: Annotated[
        str | None,
        typer.Option(
            help="Only claims with this verdict: holds, wrong, depends or unverifiable.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """List the notes' claims and what was measured."""
    from dlnotes.course import claims

    ledger = claims.load()
    if verdict is not None and verdict not in claims.VERDICTS:
        _wrong_use(f"--verdict must be one of {', '.join(claims.VERDICTS)}. Received: {verdict}")
    if lesson is not None:
        lesson = _owner(lesson, {claim.lesson for claim in ledger.values()} - {""})
    decided = _decided()
    listed = [
        {
            "id": claim.id,
            "lesson": claim.lesson,
            "sources": list(claim.sources),
            "statement": claim.statement,
            "verdict": claim.verdict,
            "decided": claim.id in decided,
        }
        for claim in ledger.values()
        if lesson in (None, claim.lesson) and verdict in (None, claim.verdict)
    ]
    if as_json:
        _print_json(listed)
        return
    rows = [
        (
            entry["id"],
            entry["lesson"] or "–",
            entry["verdict"] if entry["decided"] else f"expected: {entry['verdict']}",
            entry["statement"],
            ledger[entry["id"]].correction if entry["decided"] else "–",
        )
        for entry in listed
    ]
    _table(["id", "lesson", "measured", "the notes say", "the right statement"], rows)


def _owner(name: str, owners: set[str]) -> str:
    """Return the lesson id that `name` means; the ledger names lessons still to be written."""
    if name in owners:
        return name
    from dlnotes.course import lessons

    store = lessons.load()
    try:
        return store.get(name).id
    except ValueError:
        listed = ", ".join(sorted(owners))
        _wrong_use(
            f"--lesson must be a lesson's number or the id of one that owns claims: {listed}. "
            f"Received: {name}"
        )


def _decided() -> set[str]:
    """Return the ids of the claims that the stored notebooks of their own lessons decide."""
    from dlnotes import runtime
    from dlnotes.course import claims, stored

    root = runtime.repository_root()
    if root is None:
        return set()
    found = set()
    for lesson in _select([]):
        decisions = stored.decisions(stored.read(root / lesson.path))
        found |= {claim.id for claim in claims.of_lesson(lesson.id) if claim.id in decisions}
    return found


@app.command()
def check(as_json: _Json = False) -> None:
    """Check this machine, and say what mends it.

    Looks at Python, TensorFlow, Keras, the GPU, free memory and disk, and multiplies two
    matrices on every device.
    """
    from dlnotes.course import machine

    facts = machine.examine()
    found = machine.problems(facts)
    if as_json:
        _print_json(machine.as_json(facts))
    else:
        _print_facts(facts, found)
    if any(problem.serious for problem in found):
        raise typer.Exit(1)


def _print_facts(facts: Any, found: list[Any]) -> None:
    from dlnotes.course import machine

    rows = [
        ("Python", facts.python),
        ("TensorFlow", facts.tensorflow or "not installed"),
        ("Keras", f"{facts.keras or 'not installed'} (backend {facts.backend or 'none'})"),
        ("NVIDIA driver", "; ".join(facts.driver) or "none"),
        ("NVIDIA libraries", f"{facts.nvidia_wheels} packages" if facts.nvidia_wheels else "none"),
        *(
            (
                product.device,
                f"one product of two 1000 × 1000 matrices: {product.milliseconds:.1f} ms, "
                + ("right" if product.right else "WRONG"),
            )
            for product in facts.products
        ),
        ("free memory", f"{facts.memory_gb:.1f} GB (a lesson takes up to 2 GB)"),
        ("free disk", f"{facts.disk_gb:.1f} GB (at least {machine.DISK_GB:.0f} GB wanted)"),
    ]
    _table(["", "found"], rows)
    for problem in found:
        label = "Problem" if problem.serious else "Hint"
        typer.secho(f"{label}: {problem.message}", fg="red" if problem.serious else "yellow")
        _say(f"    {problem.command}")
    if not found:
        _say("Everything is fine.")


# === Data ===


@data_app.callback()
def list_data(ctx: typer.Context) -> None:
    """List the datasets, or fetch a large one."""
    if ctx.invoked_subcommand is not None:
        return
    from dlnotes import datasets

    columns = ["name", "title", "kind", "size", "licence", "source", "state"]
    rows = []
    for entry in datasets.overview():
        size = datasets.format_size(entry["size"]) if entry["size"] else "–"
        rows.append([str((entry | {"size": size})[column]) for column in columns])
    _table(columns, rows, right={"size"})
    _say("Fetch one that is not downloaded with: dlnotes data fetch NAME")


@data_app.command("fetch")
def fetch_data(
    name: Annotated[str, typer.Argument(help="A dataset's name, as `dlnotes data` lists it.")],
) -> None:
    """Download one of the large datasets and check that it arrived undamaged."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    from dlnotes import datasets

    entries = {entry["name"]: entry for entry in datasets.overview()}
    if name not in entries:
        _wrong_use(f"NAME must be one of: {', '.join(entries)}. Received: {name}")
    if entries[name]["kind"] != "download":
        _say(f"{name} comes with the course: there is nothing to fetch.")
        return
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        tasks: dict[str, Any] = {}

        def progress(file: str, received: int, total: int) -> None:
            if file not in tasks:
                tasks[file] = bar.add_task(file, total=total)
            bar.update(tasks[file], completed=received, total=total)

        folder = datasets.fetch(name, progress=progress)
    _say(f"{name} is in {folder}.")


# === Tuning ===


@app.command()
def tune(
    dataset: Annotated[str, typer.Argument(help="A dataset with classes, such as digits.")],
    budget: Annotated[
        int, typer.Option(min=1, help="Epochs that all trials may train altogether.")
    ] = 200,
    model: Annotated[str, typer.Option(help="mlp, or cnn for pictures.")] = "mlp",
    method: Annotated[str, typer.Option(help="random, grid, bayesian or hyperband.")] = "random",
    objective: Annotated[
        str, typer.Option(help="What to improve: a value on the validation data.")
    ] = "val_loss",
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of a full trial.")] = 20,
    max_trials: Annotated[int, typer.Option(min=1, help="The most trials.")] = 200,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of the choice of trials, weights and batches.")
    ] = 0,
    workers: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Processes that train on this machine: 2 if not given; with 1 there is no chief.",
            show_default=False,
        ),
    ] = None,
    directory: Annotated[
        Path, typer.Option(help="A new or empty folder for all results.", file_okay=False)
    ] = Path("build/tune"),
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the search that the folder holds.")
    ] = False,
    role: Annotated[
        str | None,
        typer.Option(
            help="With several machines: chief on one of them, worker on the others.",
            show_default=False,
        ),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT", help="Where the chief listens, unencrypted.", show_default=False
        ),
    ] = None,
    worker_id: Annotated[
        str | None,
        typer.Option(help="Name of this worker; its machine's if not given.", show_default=False),
    ] = None,
) -> None:
    """Search for good hyperparameters, with several workers.

    Starts a chief, who chooses what to try, and workers, who train; shows them while they work,
    then the best trials. The best model and all trials stay in the folder. Ctrl-C stops all of
    them, and --resume goes on. On several machines, with one shared folder, the same command
    runs on each: with --role chief --address HOST:PORT on one, and with --role worker and the
    same address on the others.
    """
    from dlnotes.course import tune as tuning

    if role not in (None, "chief", "worker"):
        _wrong_use(f"--role must be chief or worker. Received: {role}")
    if (role is None) != (address is None):
        _wrong_use("--role and --address belong together")
    if worker_id is not None and role != "worker":
        _wrong_use("--worker-id is for --role worker")
    if resume and role == "worker":
        _wrong_use("--resume is for the chief: a worker joins what there is")
    if dataset not in tuning.LOADERS:
        _wrong_use(f"DATASET must be one of: {', '.join(tuning.LOADERS)}. Received: {dataset}")
    if model not in tuning.MODELS:
        _wrong_use(f"--model must be one of: {', '.join(tuning.MODELS)}. Received: {model}")
    if method not in tuning.METHODS:
        _wrong_use(f"--method must be one of: {', '.join(tuning.METHODS)}. Received: {method}")
    _say("Loading TensorFlow …")
    options = {
        "method": method,
        "objective": objective,
        "budget": budget,
        "epochs": epochs,
        "max_trials": max_trials,
        "seed": seed,
        "directory": directory,
    }
    try:
        with _terminate_like_ctrl_c():
            result = tuning.tune(
                dataset,
                model,
                workers=workers,
                role=role,
                address=address,
                worker_id=worker_id,
                resume=resume,
                **options,
            )
    except KeyboardInterrupt:
        _say("\nInterrupted." + ("" if role == "worker" else " The same with --resume goes on."))
        raise
    if result is None:
        _say("The search is over: its results are where the chief runs.")
        return
    columns, rows, hidden = tuning.best_trials(result)
    _table(columns, rows, right=set(columns[2:]) - {"status"})
    if hidden or result.failed:
        _say(f"{hidden} more trials are not shown; {result.failed} of all trials failed.")
    _say(f"Best {result.objective}: {result.best_score:.4g}, of trial {result.best_trial}.")
    _say(f"Its model: {result.path}; all trials: {result.path.with_name('trials.csv')}")


# === Training ===


@app.command()
def train(
    dataset: Annotated[str, typer.Argument(help="A dataset with classes, such as digits.")],
    model: Annotated[
        str,
        typer.Option(
            help="mlp; for pictures also cnn, lenet5 or resnet; or MODULE:FUNCTION, which is "
            "called with the shape of a row and the number of outputs."
        ),
    ] = "mlp",
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training data.")] = 10,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Rows of one step, of all workers together.")
    ] = 64,
    optimizer: Annotated[
        str, typer.Option(help="sgd, rmsprop, adagrad, adam, adamw or nadam.")
    ] = "adam",
    learning_rate: Annotated[
        float | None,
        typer.Option(help="Greater than 0; Keras' default if not given.", show_default=False),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of the first weights and of the order of the rows.")
    ] = 0,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Processes of this machine: 1 if not given. On many machines TF_CONFIG says it. "
            "With 2 or more their ports are open to the network, without a password.",
            show_default=False,
        ),
    ] = None,
    checkpoint_every: Annotated[
        int | None,
        typer.Option(
            min=1, help="Steps between two checkpoints; an epoch if not given.", show_default=False
        ),
    ] = None,
    directory: Annotated[
        Path, typer.Option(help="A new or empty folder for checkpoint and model.", file_okay=False)
    ] = Path("build/train"),
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the job that the folder holds.")
    ] = False,
    max_restarts: Annotated[
        int, typer.Option(min=0, help="How often all workers begin again after one has died.")
    ] = 3,
    patience: Annotated[
        float,
        typer.Option(min=1, help="Seconds without a step after which workers count as dead."),
    ] = 300,
) -> None:
    """Train a model, with one process or several.

    All workers end with the same weights, those of one process. If a worker dies, all begin again
    from the last checkpoint. The model and the checkpoint stay in the folder. Ctrl-C stops it, and
    --resume goes on, also to more epochs. On many machines, with one shared folder, the same
    command runs on each, and TF_CONFIG says which worker it is; they always go on with what the
    folder holds.
    """
    from dlnotes.course import classification
    from dlnotes.course import train as training

    if dataset not in classification.LOADERS:
        known = ", ".join(classification.LOADERS)
        _wrong_use(f"DATASET must be one of: {known}. Received: {dataset}")
    if model not in training.BUILDERS and ":" not in model:
        known = ", ".join(training.BUILDERS)
        _wrong_use(f"--model must be one of: {known}, MODULE:FUNCTION. Received: {model}")
    if optimizer not in training.OPTIMIZERS:
        known = ", ".join(training.OPTIMIZERS)
        _wrong_use(f"--optimizer must be one of: {known}. Received: {optimizer}")
    if learning_rate is not None and not 0 < learning_rate < float("inf"):
        _wrong_use(f"--learning-rate must be a number > 0. Received: {learning_rate}")
    _say("Loading TensorFlow …")
    try:
        with _terminate_like_ctrl_c():
            result = training.train(
                dataset,
                model,
                directory,
                workers=workers,
                checkpoint_every=checkpoint_every,
                resume=resume,
                max_restarts=max_restarts,
                patience=patience,
                say=_say,
                epochs=epochs,
                batch_size=batch_size,
                optimizer=optimizer,
                learning_rate=learning_rate,
                seed=seed,
            )
    except KeyboardInterrupt:
        _say("\nInterrupted. The same with --resume goes on.")
        raise
    if result is None:
        _say("Done: the results are where worker 0 runs.")
        return
    _say(f"Validation: loss {result.loss:.4g}, accuracy {result.accuracy:.4g}.")
    _say(f"The model after {result.steps} steps: {result.path}")


# === Serving ===


@app.command()
def serve(
    bundles: Annotated[
        list[Path],
        typer.Argument(metavar="BUNDLE", help="Folders or zips that dlnotes.serving.export wrote."),
    ],
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen at; 0 takes a free one.")
    ] = 8000,
    engine: Annotated[str, typer.Option(help="onnx, tensorflow or litert.")] = "onnx",
    threads: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Threads of one computation of ONNX Runtime; all processors if not given.",
            show_default=False,
        ),
    ] = None,
    max_batch: Annotated[
        int, typer.Option(min=1, help="The most rows computed at once, and of one request.")
    ] = 64,
    max_wait: Annotated[
        float, typer.Option(min=0, help="Milliseconds that a request waits for others.")
    ] = 2.0,
    max_queue: Annotated[
        int, typer.Option(min=1, help="The most rows that wait; more are refused with 503.")
    ] = 512,
    timeout: Annotated[
        float, typer.Option(min=0.001, help="Seconds after which a request is given up.")
    ] = 10.0,
    max_body: Annotated[
        float, typer.Option(min=0.001, help="The most megabytes of a request's body.")
    ] = 8.0,
) -> None:
    """Answer requests with the models of bundles; Ctrl-C stops it.

    POST /v1/models/NAME:predict takes {"instances": […]} as TensorFlow Serving does; /docs shows
    all addresses, and / a page to try a model. What was accepted is answered before the end.
    Nothing on the port is encrypted.
    """
    from dlnotes.serving.batcher import BatchSettings
    from dlnotes.serving.engines import ENGINES
    from dlnotes.serving.server import serve as run_service

    if engine not in ENGINES:
        _wrong_use(f"--engine must be one of: {', '.join(ENGINES)}. Received: {engine}")
    if max_queue < max_batch:
        _wrong_use(f"--max-queue must be at least --max-batch. Received: {max_queue}")
    settings = BatchSettings(max_batch, max_wait / 1000, max_queue, timeout)

    def tell(event: str, *, address: str = "", models: Sequence[str] = ()) -> None:
        names = ", ".join(models)
        listening = f"Serving {names} at {address}/ with the engine {engine}. Ctrl-C stops it."
        _say({"listening": listening, "ready": "Ready.", "stopped": "Stopped."}[event])

    with _terminate_like_ctrl_c():
        run_service(
            bundles,
            host=host,
            port=port,
            engine=engine,
            settings=settings,
            max_body_bytes=int(max_body * 2**20),
            threads=threads,
            on_event=tell,
        )


# === For maintainers ===

_Report = Annotated[
    Path,
    typer.Argument(exists=True, dir_okay=False, help="A report.json that `dlnotes run` wrote."),
]


@app.command()
def compare(old: _Report, new: _Report) -> None:
    """For maintainers: compare two reports of runs.

    Shows the versions and the measured values that differ. A shift of 1 is the whole width of
    the value's band. Exit status 1 means that a value of the new report lies outside its band.
    """
    from dlnotes.course import reports

    before, after = reports.load(old), reports.load(new)
    changed = reports.versions_changed(before, after)
    if changed:
        _table(["what", "old", "new"], changed)
    rows = reports.compare(before, after)
    moved = [row for row in rows if row.status != "same"]
    if moved:
        _table(
            ["lesson", "measured", "band", "old", "new", "shift", "status"],
            [
                (
                    row.lesson,
                    row.name,
                    f"{row.low:.4g} to {row.high:.4g}",
                    *("–" if value is None else f"{value:.5g}" for value in (row.old, row.new)),
                    "–" if row.old is None or row.new is None else f"{row.shift:+.2f}",
                    row.status,
                )
                for row in moved
            ],
            right={"old", "new", "shift"},
        )
    _say(f"{len(rows) - len(moved)} of {len(rows)} measured values are the same.")
    if any(row.status == "out of band" for row in rows):
        raise typer.Exit(1)


@app.command()
def calibrate(
    lessons: Annotated[
        list[str], typer.Argument(metavar="LESSON", help="Lessons by id or number.")
    ],
) -> None:
    """For maintainers: record the values behind the bands.

    Each lesson runs eight times: four seeds, on this processor and on an imitated older one. The
    values seen for each band are written to notebooks/calibration.json; exit status 1 means that
    one left its band.
    """
    from dlnotes.course import reports

    root, inside = _root(), True
    with _terminate_like_ctrl_c():
        for lesson in _select(lessons):
            rows = reports.calibrate(lesson, root=root, progress=_say)
            _table(
                ["measured", "band", "seen", "inside"],
                [
                    (
                        row.name,
                        f"{row.low:.4g} to {row.high:.4g}",
                        f"{row.seen_low:.5g} to {row.seen_high:.5g}",
                        "yes" if row.inside else "NO",
                    )
                    for row in rows
                ],
                title=lesson.label,
            )
            inside &= all(row.inside for row in rows)
    if not inside:
        raise typer.Exit(1)


# === Helpers ===


def _root() -> Path:
    from dlnotes import runtime

    root = runtime.repository_root()
    if root is None:
        raise RuntimeError(
            "this command needs the course's own folder, with its notebooks. dlnotes is installed "
            "without it: clone the project and run the command there"
        )
    return root


def _select(names: Iterable[str]) -> Any:
    from dlnotes.course import lessons

    store = lessons.load()
    try:
        return store.select(names)
    except ValueError as error:
        _wrong_use(str(error))


def _wrong_use(message: str) -> NoReturn:
    raise typer.BadParameter(message)


def _say(text: str) -> None:
    typer.echo(text)
    sys.stdout.flush()  # before a child process writes its own lines


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=1))


def _table(
    columns: list[str],
    rows: Iterable[Iterable[str]],
    *,
    right: Iterable[str] = (),
    title: str | None = None,
    console: Any = None,
) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = console or Console()
    if not console.is_terminal:
        console.width = max(console.width, 160)  # a log file has room
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)


def _debug() -> bool:
    return os.environ.get("DLNOTES_DEBUG", "") == "1"


def _one_line(error: Exception) -> str:
    text = str(error).strip()
    return text if text and not isinstance(error, KeyError) else f"{type(error).__name__}: {error}"


@contextlib.contextmanager
def _terminate_like_ctrl_c() -> Iterator[None]:
    """Let `kill` and a closed terminal end a run as Ctrl-C does, without orphans."""

    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    names = ("SIGINT", "SIGTERM", "SIGHUP")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
