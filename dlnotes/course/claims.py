"""The ledger of the notes' claims, and the decisions that lessons make on them.

A lesson calls `decide` with what it measured. The verdict follows from the measurement:
true in every case that was tried → "holds", false in every case → "wrong", both → "depends".
If that differs from the ledger's verdict, the lesson fails, and the ledger must be corrected.
"""

import dataclasses
import functools
import html
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dlnotes import reporting, runtime
from dlnotes.validation import received

VERDICTS = ("holds", "wrong", "depends", "unverifiable")


class ClaimError(AssertionError):
    """A lesson's measurement and the ledger's verdict disagree, or a claim is left open."""


@dataclasses.dataclass(frozen=True)
class Claim:
    """One claim of the notes.

    `statement` is what the notes say; `correction` is the right statement (or, where the claim
    holds, its exact condition); `experiment` is what decides it.
    """

    id: str
    lesson: str
    sources: tuple[str, ...]
    statement: str
    verdict: str
    correction: str
    experiment: str


_KEYS = tuple(field.name for field in dataclasses.fields(Claim))
_decided: dict[str, str] = {}


def load(path: Path | None = None) -> dict[str, Claim]:
    """Read and validate the ledger; return the claims by id, in order.

    Raises:
        ValueError: Naming the claim, if a key is missing or unknown, an id stands twice, a verdict
            is not one of `VERDICTS`, or a source is not listed at the ledger's top.
    """
    return _load_own() if path is None else _parse(Path(path))


@functools.cache
def _load_own() -> dict[str, Claim]:
    return _parse(runtime.resource("notebooks/claims.toml"))


def _parse(path: Path) -> dict[str, Claim]:
    raw = tomllib.loads(path.read_text(encoding="utf-8"))
    ledger: dict[str, Claim] = {}
    for entry in raw.get("claim", []):
        name = entry.get("id", "(without id)")
        if set(entry) != set(_KEYS):
            wrong = sorted(set(entry) ^ set(_KEYS))[0]
            raise ValueError(f"Claim {name}: the key {wrong!r} is missing or unknown")
        if entry["verdict"] not in VERDICTS:
            raise ValueError(
                f"Claim {name}: `verdict` must be one of {VERDICTS}. "
                f"{received(verdict=entry['verdict'])}"
            )
        for source in entry["sources"]:
            if source not in raw.get("sources", {}):
                raise ValueError(f"Claim {name}: unknown source {source!r}")
        for key in ("statement", "correction", "experiment"):
            if not isinstance(entry[key], str) or not entry[key].strip():
                raise ValueError(f"Claim {name}: `{key}` must be a sentence")
        if name in ledger:
            raise ValueError(f"Claim {name}: the id stands twice")
        ledger[name] = Claim(**(entry | {"sources": tuple(entry["sources"])}))
    return ledger


def of_lesson(lesson: str) -> tuple[Claim, ...]:
    """Return the claims that a lesson owns, in order of their ids."""
    return tuple(claim for claim in load().values() if claim.lesson == lesson)


def decide(claim_id: str, *, holds: bool | Mapping[str, bool], because: str) -> None:
    """Decide a claim by what was measured, and print the decision.

    Args:
        claim_id: The claim, for example ``"C032"``.
        holds: Whether the claim came out true; for a claim that depends on something, one entry
            for each case: ``{"data through the origin": True, "y = x + 1": False}``.
        because: The evidence in one sentence without measured numbers (they differ by machine).

    Raises:
        ClaimError: If the measurement disagrees with the ledger's verdict.
        TypeError: If `holds` is not a bool, or not a mapping of texts to bools.
        ValueError: If there is no such claim, or `because` is empty.
    """
    ledger = load()
    if claim_id not in ledger:
        raise ValueError(
            f"`claim_id` must be in the ledger, {next(iter(ledger))} to {next(reversed(ledger))}. "
            f"{received(claim_id=claim_id)}"
        )
    if not isinstance(because, str) or not because.strip():
        raise ValueError(f"`because` must be a sentence. {received(because=because)}")
    claim = ledger[claim_id]
    cases = _cases(holds)
    verdict = measured_verdict(cases.values())
    if verdict != claim.verdict:
        seen = ", ".join(f"{name or 'measured'}: {value}" for name, value in cases.items())
        raise ClaimError(
            f"Claim {claim_id}: the ledger says {claim.verdict!r}, the measurement says "
            f"{verdict!r} ({seen}). The experiment decides: repeat it with other seeds, "
            "then correct the ledger"
        )
    _decided[claim_id] = because
    lines = [f"{claim_id} {verdict}: {claim.statement}"]
    lines += [f"  {'true ' if v else 'false'} for {name}" for name, v in cases.items() if name]
    lines += [f"  because {because}"]
    rich = [
        f"<b>{claim_id} — {verdict}</b>: <i>{html.escape(claim.statement)}</i>",
        *(
            f"{'✓ true' if v else '✗ false'} for {html.escape(name)}"
            for name, v in cases.items()
            if name
        ),
        f"because {html.escape(because)}",
    ]
    reporting.emit(
        "\n".join(lines),
        "<br>".join(rich),
        [{"kind": "claim", "id": claim_id, "verdict": verdict}],
    )


def measured_verdict(outcomes: Any) -> str:
    """Return the verdict that follows from the outcomes of all cases.

    Example:
        >>> measured_verdict([True, False])
        'depends'
    """
    found = set(outcomes)
    if found == {True}:
        return "holds"
    return "wrong" if found == {False} else "depends"


def _cases(holds: Any) -> dict[str, bool]:
    cases = dict(holds) if isinstance(holds, Mapping) else {"": holds}
    if not cases:
        raise ValueError("`holds` must name at least one case. Received: holds={}")
    for name, value in cases.items():
        if not isinstance(name, str) or not isinstance(value, bool | np.bool_):
            raise TypeError(
                f"`holds` must be a bool, or map the name of each case to a bool. "
                f"{received(holds=holds)}"
            )
    return {name: bool(value) for name, value in cases.items()}


def summary(lesson: str) -> None:
    """Print what this lesson decided: notes against measurement, one line a claim.

    Raises:
        ClaimError: If a claim of the lesson has not been decided in this run.
        ValueError: If no claim belongs to `lesson`.
    """
    owned = of_lesson(lesson)
    if not owned:
        lessons = sorted({claim.lesson for claim in load().values()} - {""})
        raise ValueError(
            f"`lesson` must own claims: one of {', '.join(lessons)}. {received(lesson=lesson)}"
        )
    still_open = [claim.id for claim in owned if claim.id not in _decided]
    if still_open:
        raise ClaimError(f"Lesson {lesson!r} has not decided: {', '.join(still_open)}")
    plain = [f"{claim.id}  {claim.verdict:<8}  {claim.statement}" for claim in owned]
    rows = "".join(
        f"<tr><td>{claim.id}</td><td style='text-align:left'>{html.escape(claim.statement)}</td>"
        f"<td><b>{claim.verdict}</b></td>"
        f"<td style='text-align:left'>{html.escape(claim.correction)}</td></tr>"
        for claim in owned
    )
    reporting.emit(
        "\n".join(plain),
        "<table><thead><tr><th>claim</th><th>the notes say</th><th>measured</th>"
        f"<th>the right statement</th></tr></thead><tbody>{rows}</tbody></table>",
        [],
    )
