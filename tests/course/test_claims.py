"""The ledger and the decisions on it, on a made ledger of four claims."""

import re
from types import SimpleNamespace

import numpy as np
import pytest

from dlnotes.course import claims

CLAIM = {
    "id": "C001",
    "lesson": "one",
    "sources": ["000"],
    "statement": "Water is wet.",
    "verdict": "holds",
    "correction": "It is, above 0 °C.",
    "experiment": "Touch it.",
}
OTHERS = (
    {"id": "C002", "verdict": "wrong", "statement": "Ice < water."},
    {"id": "C003", "verdict": "depends"},
    {"id": "C004", "lesson": "two"},
    {"id": "C005", "lesson": "", "verdict": "unverifiable"},
)


def write(path, *entries, sources='[sources]\n000 = "notes"\n'):
    lines = [sources]
    for entry in entries:
        lines.append("[[claim]]")
        lines += [f"{key} = {value!r}" for key, value in entry.items()]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.fixture
def ledger(tmp_path, monkeypatch):
    """Use a made ledger in which nothing is decided yet."""
    path = write(tmp_path / "claims.toml", CLAIM, *(CLAIM | other for other in OTHERS))
    made = claims.load(path)
    monkeypatch.setattr(claims, "_load_own", lambda: made)
    monkeypatch.setattr(claims, "_decided", {})
    return made


@pytest.fixture
def emitted(monkeypatch):
    """Catch what would be shown: plain text, HTML and records."""
    calls = []
    keep = SimpleNamespace(emit=lambda *parts: calls.append(parts))
    monkeypatch.setattr(claims, "reporting", keep)
    return calls


def test_the_ledger_is_read(ledger):
    assert list(ledger) == ["C001", "C002", "C003", "C004", "C005"]
    assert ledger["C001"] == claims.Claim(**(CLAIM | {"sources": ("000",)}))
    assert [claim.id for claim in claims.of_lesson("one")] == ["C001", "C002", "C003"]
    assert claims.of_lesson("none") == ()


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([{k: v for k, v in CLAIM.items() if k != "verdict"}], "Claim C001: the key 'verdict' is"),
        ([{k: v for k, v in CLAIM.items() if k != "id"}], "Claim (without id): the key 'id' is"),
        ([CLAIM | {"reading": "x"}], "Claim C001: the key 'reading' is missing or unknown"),
        ([CLAIM | {"verdict": "true"}], "Claim C001: `verdict` must be one of ('holds', 'wrong'"),
        ([CLAIM | {"sources": ["009"]}], "Claim C001: unknown source '009'"),
        ([CLAIM | {"statement": " "}], "Claim C001: `statement` must be a sentence"),
        ([CLAIM | {"correction": 3}], "Claim C001: `correction` must be a sentence"),
        ([CLAIM | {"experiment": ""}], "Claim C001: `experiment` must be a sentence"),
        ([CLAIM, CLAIM], "Claim C001: the id stands twice"),
    ],
)
def test_a_mistake_is_reported_with_its_claim(tmp_path, entries, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        claims.load(write(tmp_path / "claims.toml", *entries))


def test_a_missing_ledger_is_reported(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"claims\.toml"):
        claims.load(tmp_path / "claims.toml")


def test_a_decision_is_printed_and_recorded(ledger, emitted):
    claims.decide("C001", holds=True, because="the hand was wet")
    ((plain, rich, records),) = emitted
    assert plain.splitlines() == [
        "C001 holds: Water is wet.",
        "  because the hand was wet",
    ]
    assert "<b>C001 — holds</b>" in rich
    assert records == [{"kind": "claim", "id": "C001", "verdict": "holds"}]


def test_html_is_escaped(ledger, emitted):
    claims.decide("C002", holds=False, because="ice & water float")
    assert "Ice &lt; water." in emitted[0][1]
    assert "ice &amp; water" in emitted[0][1]


def test_each_case_is_printed(ledger, emitted):
    claims.decide("C003", holds={"above 0 °C": True, "below": np.bool_(False)}, because="of ice")
    plain, rich, _ = emitted[0]
    assert plain.splitlines()[1:3] == ["  true  for above 0 °C", "  false for below"]
    assert "<br>✓ true for above 0 °C<br>✗ false for below<br>" in rich


@pytest.mark.parametrize(
    ("outcomes", "verdict"),
    [([True], "holds"), ([True, True], "holds"), ([False], "wrong"), ([True, False], "depends")],
)
def test_the_verdict_follows_from_the_outcomes(outcomes, verdict):
    assert claims.measured_verdict(outcomes) == verdict


@pytest.mark.parametrize(
    ("name", "holds", "measured"),
    [
        ("C001", False, "wrong"),
        ("C001", {"a": True, "b": False}, "depends"),
        ("C002", True, "holds"),
        ("C003", True, "holds"),
        ("C005", True, "holds"),
    ],
)
def test_a_measurement_against_the_ledger_raises(ledger, emitted, name, holds, measured):
    message = (
        f"Claim {name}: the ledger says {ledger[name].verdict!r}, the measurement says {measured!r}"
    )
    with pytest.raises(claims.ClaimError, match=re.escape(message)):
        claims.decide(name, holds=holds, because="x")
    assert emitted == []


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            ("C099", True, "x"),
            ValueError,
            "must be in the ledger, C001 to C005. Received: claim_id='C099'",
        ),
        (("C001", True, " "), ValueError, "`because` must be a sentence. Received: because=' '"),
        (("C001", True, 3), ValueError, "`because` must be a sentence. Received: because=3"),
        (("C001", 1, "x"), TypeError, "`holds` must be a bool, or map the name of each case"),
        (("C001", "yes", "x"), TypeError, "`holds` must be a bool"),
        (("C001", {"a": 0.9}, "x"), TypeError, "Received: holds={'a': 0.9}"),
        (("C001", {1: True}, "x"), TypeError, "Received: holds={1: True}"),
        (("C001", {}, "x"), ValueError, "`holds` must name at least one case"),
    ],
)
def test_decide_refuses(ledger, emitted, arguments, error, message):
    name, holds, because = arguments
    with pytest.raises(error, match=re.escape(message)):
        claims.decide(name, holds=holds, because=because)
    assert emitted == []


def test_the_summary_lists_what_was_decided(ledger, emitted):
    claims.decide("C004", holds=True, because="x")
    claims.summary("two")
    plain, rich, records = emitted[-1]
    assert plain == "C004  holds     Water is wet."
    assert "<td>C004</td>" in rich
    assert "It is, above 0 °C." in rich
    assert records == []


def test_the_summary_names_what_is_still_open(ledger, emitted):
    claims.decide("C002", holds=False, because="x")
    with pytest.raises(claims.ClaimError, match="'one' has not decided: C001, C003"):
        claims.summary("one")


def test_the_summary_of_a_lesson_without_claims_is_refused(ledger):
    message = "`lesson` must own claims: one of one, two. Received: lesson='three'"
    with pytest.raises(ValueError, match=re.escape(message)):
        claims.summary("three")
