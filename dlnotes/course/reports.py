"""Reports of measured values: written by a run, compared between two, and recorded for bands."""

import dataclasses
import json
import math
import os
import platform
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from dlnotes import runtime
from dlnotes.course import execute
from dlnotes.course.lessons import Lesson
from dlnotes.validation import received

FORMAT = 1
OFFSETS = (0, 1, 2, 3)
CALIBRATION = "notebooks/calibration.json"
_PACKAGES = ("keras", "tensorflow", "tensorflow-cpu", "numpy", "scikit-learn", "matplotlib")


def versions() -> dict[str, str]:
    """Return the versions that measured values may depend on; missing packages are left out."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def processor() -> str:
    """Return the processor's name as far as the system tells it, and the number of cores."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                name = line.split(":", 1)[1].strip()
                break
    return f"{name} ({platform.machine()}, {os.cpu_count()} cores)"


def build(runs: Sequence[execute.LessonRun]) -> dict[str, Any]:
    """Return the report of some lesson runs: every measured value with its band."""
    return {
        "format": FORMAT,
        "versions": versions(),
        "processor": processor(),
        "imitated_processor": bool(os.environ.get("ONEDNN_MAX_CPU_ISA")),
        "seed_offset": runtime.seed_offset(),
        "lessons": {
            run.lesson.id: {
                "result": "passed" if run.error is None else "failed",
                "error": None if run.error is None else dataclasses.asdict(run.error),
                "seconds": round(run.seconds, 2),
                "peak_memory_mb": round(run.peak_memory_mb),
                "cell_seconds": [round(seconds, 3) for seconds in run.cell_seconds],
                "claims": {record["id"]: record["verdict"] for record in run.claims},
                "measured": {
                    record["name"]: {key: record[key] for key in ("kind", "values", "low", "high")}
                    for record in run.measured
                },
            }
            for run in runs
        },
    }


def write(report: dict[str, Any], path: Path) -> None:
    """Write a report as JSON, whole or not at all."""
    runtime.write_atomically(path, json.dumps(report, indent=1, ensure_ascii=False) + "\n")


def load(path: Path) -> dict[str, Any]:
    """Read a report that `dlnotes run` wrote.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not such a report; the message names the file.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no report {path}. `dlnotes run` writes build/report.json"
        )
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a report: it is not JSON ({error})") from error
    if not isinstance(report, dict) or report.get("format") != FORMAT:
        raise ValueError(f"{path} is not a report of this version of dlnotes (format {FORMAT})")
    return report


def expected_seconds(lesson: Lesson, path: Path) -> list[float] | None:
    """Return the seconds that each code cell took in an earlier run, if a report tells them."""
    try:
        return load(path)["lessons"][lesson.id]["cell_seconds"]
    except (FileNotFoundError, ValueError, KeyError):
        return None


@dataclasses.dataclass(frozen=True)
class Difference:
    """One measured value in two reports; `shift` counts widths of the new report's band."""

    lesson: str
    name: str
    low: float
    high: float
    old: float | None
    new: float | None
    shift: float
    status: str  # same, moved, out of band, only old, only new


def compare(old: dict[str, Any], new: dict[str, Any]) -> list[Difference]:
    """Compare two reports value by value; what moved most comes first.

    A value that is an array is compared by its mean. One hundredth of a band counts as the same.
    """
    rows = []
    for lesson in dict.fromkeys([*old["lessons"], *new["lessons"]]):
        before = old["lessons"].get(lesson, {}).get("measured", {})
        after = new["lessons"].get(lesson, {}).get("measured", {})
        rows += [
            _difference(lesson, name, before.get(name), after.get(name))
            for name in dict.fromkeys([*before, *after])
        ]
    return sorted(rows, key=lambda row: (-abs(row.shift), row.lesson))


def _difference(
    lesson: str, name: str, before: dict[str, Any] | None, after: dict[str, Any] | None
) -> Difference:
    record = after or before
    low, high = record["low"], record["high"]
    old, new = _mean(before), _mean(after)
    if before is None or after is None:
        status = "only new" if before is None else "only old"
        return Difference(lesson, name, low, high, old, new, math.inf, status)
    width = high - low
    gap = new - old
    shift = gap / width if width else (0.0 if gap == 0 else math.copysign(math.inf, gap))
    if not all(low <= value <= high for value in after["values"]):
        status = "out of band"
    else:
        status = "same" if abs(shift) <= 0.01 else "moved"
    return Difference(lesson, name, low, high, old, new, shift, status)


def _mean(record: dict[str, Any] | None) -> float | None:
    return None if record is None else sum(record["values"]) / len(record["values"])


def versions_changed(old: dict[str, Any], new: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return what differs between the two runs apart from values: (what, old, new)."""
    names = dict.fromkeys([*old["versions"], *new["versions"]])
    rows = [(n, old["versions"].get(n, "–"), new["versions"].get(n, "–")) for n in names]
    for key in ("processor", "imitated_processor", "seed_offset"):
        rows.append((key.replace("_", " "), str(old[key]), str(new[key])))
    return [row for row in rows if row[1] != row[2]]


@dataclasses.dataclass(frozen=True)
class Calibrated:
    """One band and the range of all values seen for it."""

    name: str
    low: float
    high: float
    seen_low: float
    seen_high: float

    @property
    def inside(self) -> bool:
        """Whether every value seen lies in the band."""
        return self.low <= self.seen_low and self.seen_high <= self.high


class CalibrationError(RuntimeError):
    """A lesson failed while it was being calibrated."""


def calibrate(
    lesson: Lesson,
    *,
    root: Path,
    offsets: Sequence[int] = OFFSETS,
    progress: Callable[[str], None] | None = None,
) -> list[Calibrated]:
    """Run a lesson over seed offsets on both processors and record the values seen for each band.

    While it runs, values outside their band do not stop the lesson, so that all are seen. The
    record replaces the lesson's old one in notebooks/calibration.json.

    Raises:
        CalibrationError: If the lesson fails, or no other processor can be imitated here; nothing
            is recorded then.
        ValueError: If no offset is given.
    """
    if not offsets:
        raise ValueError(
            f"`offsets` must name at least one seed offset. {received(offsets=offsets)}"
        )
    imitation = execute.other_processor()
    if not imitation:
        raise CalibrationError(
            "Bands are calibrated on an x86-64 processor: on this one no other can be imitated"
        )
    bands: dict[str, dict[str, Any]] = {}
    for name, settings in (("native", {}), ("other", imitation)):
        for offset in offsets:
            if progress is not None:
                progress(f"{lesson.id}: seed offset {offset}, {name} processor")
            env = settings | {"DLNOTES_SEED_OFFSET": str(offset), "DLNOTES_CALIBRATE": "1"}
            run = execute.run_lesson(lesson, root=root, env=env)
            if run.error is not None:
                raise CalibrationError(
                    f"Lesson {lesson.id!r} failed with seed offset {offset} on the {name} "
                    f"processor, cell {run.error.cell}: {run.error.name}: {run.error.message}"
                )
            for record in run.measured:
                band = bands.setdefault(
                    record["name"], {"low": record["low"], "high": record["high"], "runs": []}
                )
                seen = {
                    "low": _signed(min(record["values"])),
                    "high": _signed(max(record["values"])),
                }
                band["runs"].append({"offset": offset, "processor": name} | seen)
    path = root / CALIBRATION
    everything = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    everything[lesson.id] = bands
    text = json.dumps(dict(sorted(everything.items())), indent=1, ensure_ascii=False)
    runtime.write_atomically(path, text + "\n")
    return [
        Calibrated(
            name,
            band["low"],
            band["high"],
            min(entry["low"] for entry in band["runs"]),
            max(entry["high"] for entry in band["runs"]),
        )
        for name, band in bands.items()
    ]


def _signed(value: float) -> float:
    """Keep six significant digits: enough to judge a band, and quiet in version control."""
    return float(f"{value:.6g}")
