import json

import pytest

from dlnotes.course import execute, reports
from dlnotes.course.lessons import Lesson, Part

LESSON = Lesson("made", 7, Part(1, "x"), "t", "q", (), (), (), (), 1, 10)


def record(name, values, low=0.0, high=1.0):
    return {"kind": "within", "name": name, "values": values, "low": low, "high": high}


def run_of(*records, error=None, lesson=LESSON):
    claims = [{"kind": "claim", "id": "C013", "verdict": "depends"}]
    return execute.LessonRun(lesson, None, 3.21, 512.4, [0.1234, 2.0], error, list(records), claims)


def test_a_report_holds_values_bands_versions_and_comes_back(tmp_path):
    error = execute.CellError(2, "1/0", "ZeroDivisionError", "division by zero", "…")
    report = reports.build([run_of(record("a", [0.5, 0.7]), error=error)])
    reports.write(report, tmp_path / "report.json")
    report = reports.load(tmp_path / "report.json")
    assert report["versions"]["keras"]
    assert "cores" in report["processor"]
    lesson = report["lessons"]["made"]
    assert lesson["measured"]["a"] == {
        "kind": "within",
        "values": [0.5, 0.7],
        "low": 0.0,
        "high": 1.0,
    }
    assert (lesson["result"], lesson["error"]["cell"]) == ("failed", 2)
    assert (lesson["seconds"], lesson["peak_memory_mb"]) == (3.21, 512)
    assert lesson["claims"] == {"C013": "depends"}
    assert reports.expected_seconds(LESSON, tmp_path / "report.json") == [0.123, 2.0]


def test_expected_seconds_are_unknown_without_a_report(tmp_path):
    assert reports.expected_seconds(LESSON, tmp_path / "none.json") is None
    (tmp_path / "bad.json").write_text("{")
    assert reports.expected_seconds(LESSON, tmp_path / "bad.json") is None


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        (None, FileNotFoundError, "`dlnotes run` writes build/report.json"),
        ("{", ValueError, "it is not JSON"),
        ('{"format": 99}', ValueError, "not a report of this version"),
        ("[]", ValueError, "not a report of this version"),
    ],
)
def test_what_is_no_report_is_refused(tmp_path, text, error, message):
    path = tmp_path / "report.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(error, match=message):
        reports.load(path)


def test_comparison_counts_shifts_in_widths_of_the_band():
    old = reports.build(
        [run_of(record("a", [0.4, 0.6]), record("b", [1.0], 0, 10), record("gone", [1.0]))]
    )
    new = reports.build(
        [
            run_of(
                record("a", [0.7, 0.8]),
                record("b", [1.05], 0, 10),
                record("new", [0.1]),
                record("wild", [3.0]),
                record("half", [0.5, 1.5]),
            )
        ]
    )
    old["lessons"]["made"]["measured"]["half"] = new["lessons"]["made"]["measured"]["a"]
    old["lessons"]["made"]["measured"]["wild"] = new["lessons"]["made"]["measured"]["a"]
    rows = {row.name: row for row in reports.compare(old, new)}
    assert rows["a"].status == "moved"
    assert rows["a"].shift == pytest.approx(0.25)
    assert (rows["a"].old, rows["a"].new) == (pytest.approx(0.5), pytest.approx(0.75))
    assert rows["b"].status == "same"
    assert rows["wild"].status == "out of band"
    assert rows["half"].status == "out of band"
    assert (rows["gone"].status, rows["gone"].new) == ("only old", None)
    assert (rows["new"].status, rows["new"].old) == ("only new", None)
    finite = [
        abs(row.shift) for row in reports.compare(old, new) if row.status in ("moved", "same")
    ]
    assert finite == sorted(finite, reverse=True)


def test_a_band_without_width_moves_infinitely_or_not_at_all():
    old = reports.build([run_of(record("a", [2.0], 2, 2))])
    assert reports.compare(old, old)[0].status == "same"
    new = reports.build([run_of(record("a", [3.0], 2, 2))])
    row = reports.compare(old, new)[0]
    assert (row.status, row.shift) == ("out of band", float("inf"))


def test_changed_versions_and_circumstances_are_listed():
    old = reports.build([run_of()])
    new = json.loads(json.dumps(old))
    assert reports.versions_changed(old, new) == []
    new["versions"]["keras"] = "9.0"
    new["seed_offset"] = 1
    del new["versions"]["numpy"]
    changed = {row[0]: row[1:] for row in reports.versions_changed(old, new)}
    assert changed["keras"] == (old["versions"]["keras"], "9.0")
    assert changed["numpy"][1] == "–"
    assert changed["seed offset"] == ("0", "1")


class FakeRuns:
    """Stands for the kernel: a value that depends on offset and processor."""

    def __init__(self, error=None):
        self.environments, self.error = [], error

    def __call__(self, lesson, *, root, env):
        self.environments.append(env)
        offset = int(env["DLNOTES_SEED_OFFSET"])
        slower = 0.5 if "ONEDNN_MAX_CPU_ISA" in env else 0.0
        return run_of(record("a", [offset / 10 + slower, 0.01]), error=self.error)


def test_calibration_records_every_offset_on_both_processors(tmp_path, monkeypatch):
    runs = FakeRuns()
    monkeypatch.setattr(execute, "run_lesson", runs)
    monkeypatch.setattr(execute, "other_processor", lambda: {"ONEDNN_MAX_CPU_ISA": "SSE41"})
    (tmp_path / "notebooks").mkdir()
    path = tmp_path / reports.CALIBRATION
    path.write_text('{"zzz": {"kept": 1}, "made": {"stale": 1}}')
    heard = []
    rows = reports.calibrate(LESSON, root=tmp_path, offsets=(0, 7), progress=heard.append)
    stored = json.loads(path.read_text())
    assert stored["zzz"] == {"kept": 1}
    assert list(stored["made"]) == ["a"]
    assert stored["made"]["a"]["runs"] == [
        {"offset": 0, "processor": "native", "low": 0.0, "high": 0.01},
        {"offset": 7, "processor": "native", "low": 0.01, "high": 0.7},
        {"offset": 0, "processor": "other", "low": 0.01, "high": 0.5},
        {"offset": 7, "processor": "other", "low": 0.01, "high": 1.2},
    ]
    assert (rows[0].seen_low, rows[0].seen_high, rows[0].inside) == (0.0, 1.2, False)
    assert all(env["DLNOTES_CALIBRATE"] == "1" for env in runs.environments)
    assert len(heard) == 4


def test_calibration_needs_another_processor_to_imitate(tmp_path, monkeypatch):
    monkeypatch.setattr(execute, "run_lesson", FakeRuns())
    monkeypatch.setattr(execute, "other_processor", dict)
    with pytest.raises(reports.CalibrationError, match="on an x86-64 processor"):
        reports.calibrate(LESSON, root=tmp_path)
    assert not (tmp_path / reports.CALIBRATION).exists()


def test_calibration_of_a_failing_lesson_records_nothing(tmp_path, monkeypatch):
    error = execute.CellError(2, "1/0", "ZeroDivisionError", "division by zero", "…")
    monkeypatch.setattr(execute, "run_lesson", FakeRuns(error))
    monkeypatch.setattr(execute, "other_processor", lambda: {"ONEDNN_MAX_CPU_ISA": "SSE41"})
    with pytest.raises(reports.CalibrationError, match="seed offset 0 on the native processor, ce"):
        reports.calibrate(LESSON, root=tmp_path)
    assert not (tmp_path / reports.CALIBRATION).exists()
    with pytest.raises(ValueError, match="`offsets` must name at least one"):
        reports.calibrate(LESSON, root=tmp_path, offsets=())
