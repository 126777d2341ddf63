"""Generated documents: headers, prompts, tables, and the README's own code."""

import dataclasses
import re

import pytest

from dlnotes import runtime
from dlnotes.cli import app
from dlnotes.course import readme
from dlnotes.course.claims import Claim
from dlnotes.course.lessons import Lesson, Part, Store
from dlnotes.exercises import Exercise

FIRST = Lesson(
    id="one",
    number=41,
    part=Part(1, "Foundations"),
    title="The first",
    question="Is it one?",
    goals=("count", "stop"),
    prerequisites=(),
    datasets=("iris", "xor"),
    sources=("a book", "a paper"),
    minutes=30,
    budget_s=20,
)
SECOND = dataclasses.replace(
    FIRST,
    id="two",
    number=42,
    part=Part(2, "Further"),
    title="The second",
    question="Is it two?",
    prerequisites=("one",),
    datasets=(),
)
STORE = Store((FIRST, SECOND), "")
LEDGER = {
    name: Claim(name, owner, ("000",), "S.", "holds", "C.", "E.")
    for name, owner in (("C001", "one"), ("C002", "two"), ("C003", "later"))
}
EXERCISE = Exercise(
    "41.2", "Draw a line", "\nReturn `w`.\n", ("a", "b"), print, max, "Because.", ()
)

LESSONS_TOML = """
repository = ""
[[part]]
number = 1
title = "Foundations"
[[lesson]]
id = "one"
number = 41
part = 1
title = "The first"
question = "Is it one?"
goals = ["count"]
prerequisites = []
datasets = ["iris"]
sources = ["a book"]
minutes = 30
budget_s = 20
"""
CLAIMS_TOML = """
[sources]
000 = "notes"
[[claim]]
id = "C001"
lesson = "one"
sources = ["000"]
statement = "One is one."
verdict = "holds"
correction = "It is."
experiment = "Count."
"""


@pytest.fixture
def checkout(tmp_path):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "lessons.toml").write_text(LESSONS_TOML, encoding="utf-8")
    (tmp_path / "notebooks" / "claims.toml").write_text(CLAIMS_TOML, encoding="utf-8")
    (tmp_path / "notebooks" / "41_one.ipynb").write_text("{}", encoding="utf-8")
    (tmp_path / "README.md").write_text(
        f"# Top\n\n{readme.BEGIN}\nold\n{readme.END}\n\nbottom\n", encoding="utf-8"
    )
    return tmp_path


def test_the_header_states_every_fact_of_the_lesson():
    header = readme.render_header(FIRST, STORE)
    lines = header.splitlines()
    assert lines[0] == "# 41 · The first"
    assert "**Is it one?**" in lines
    for line in ("- count", "- stop", "- a book", "- a paper", "| **Before** | no other lesson |"):
        assert line in lines
    assert "| **Data** | iris, xor |" in lines
    assert "about 30 minutes" in header
    assert "under 20 seconds" in header


def test_the_header_links_the_prerequisites():
    header = readme.render_header(SECOND, STORE)
    assert "| **Before** | [41 The first](41_one.ipynb) |" in header
    assert "| **Data** | none |" in header


def test_an_unpublished_project_shows_the_wheel_route_and_no_address():
    header = readme.render_header(FIRST, STORE)
    assert "`make wheel`" in header
    assert "`%pip install dlnotes-*.whl`" in header
    assert "http" not in header


@pytest.mark.parametrize("suffix", ["", "/", ".git"])
def test_a_published_project_shows_the_badge_and_the_install_line(suffix):
    header = readme.render_header(
        FIRST, Store(STORE.lessons, f"https://github.com/a-b/c.d{suffix}")
    )
    notebook = "github/a-b/c.d/blob/main/notebooks/41_one.ipynb)"
    assert f"(https://colab.research.google.com/{notebook}" in header
    assert "`%pip install git+https://github.com/a-b/c.d`" in header
    assert "wheel" not in header


@pytest.mark.parametrize(
    "address",
    ["github.com/a/b", "http://github.com/a/b", "https://example.org/a/b", "https://github.com/a"],
)
def test_another_address_is_refused(address):
    message = (
        "`repository` must be empty or look like https://github.com/OWNER/NAME. "
        f"Received: repository={address!r}"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        readme.render_header(FIRST, Store(STORE.lessons, address))


def test_the_prompt_of_an_exercise():
    assert readme.render_exercise(EXERCISE).splitlines() == [
        "### Exercise 41.2 · Draw a line",
        "",
        "Return `w`.",
        "",
        '`exercises.hint("41.2")` gives a hint, one more each time; '
        '`exercises.solution("41.2")` shows an answer and why it is right.',
    ]


def test_the_prompt_refuses_what_is_no_exercise():
    with pytest.raises(
        TypeError, match=r"`exercise` must be an Exercise\. Received: exercise='41\.2'"
    ):
        readme.render_exercise("41.2")


def test_the_lesson_table_links_counts_and_sums(monkeypatch):
    asked = {"41": (EXERCISE, EXERCISE), "42": ()}
    monkeypatch.setattr(readme.exercises, "of_lesson", asked.get)
    table = readme.render_lesson_table(STORE, LEDGER).splitlines()
    assert "| 41 | [The first](notebooks/41_one.ipynb) | Is it one? | 30 |" in table
    assert "| 42 | [The second](notebooks/42_two.ipynb) | Is it two? | 30 |" in table
    assert table[-1] == "2 lessons, 2 exercises; 2 of the notes' 3 claims decided by experiment."


def test_the_index_goes_part_by_part():
    index = readme.render_index(STORE)
    assert re.findall(r"^## .*|^\| 4\d .*", index, flags=re.MULTILINE) == [
        "## Part I · Foundations",
        "| 41 | [The first](41_one.ipynb) | Is it one? | 30 | iris, xor |",
        "## Part II · Further",
        "| 42 | [The second](42_two.ipynb) | Is it two? | 30 | none |",
        "## How to start",
    ]
    assert "`make study LESSON=one`" in index


def test_refresh_writes_once_and_then_finds_nothing_to_do(checkout):
    wanted = [checkout / "README.md", checkout / "notebooks" / "README.md"]
    assert readme.refresh(checkout) == wanted
    text = (checkout / "README.md").read_text(encoding="utf-8")
    assert text.startswith(f"# Top\n\n{readme.BEGIN}\n| |")
    assert text.endswith(
        f"1 of the notes' 1 claims decided by experiment.\n{readme.END}\n\nbottom\n"
    )
    assert "old" not in text
    assert "[The first](41_one.ipynb)" in wanted[1].read_text(encoding="utf-8")
    assert readme.refresh(checkout) == readme.refresh(checkout, check=True) == []
    assert sorted(path.name for path in checkout.iterdir()) == ["README.md", "notebooks"]


def test_refresh_with_check_changes_nothing(checkout):
    before = (checkout / "README.md").read_bytes()
    assert len(readme.refresh(checkout, check=True)) == 2
    assert (checkout / "README.md").read_bytes() == before
    assert not (checkout / "notebooks" / "README.md").exists()


@pytest.mark.parametrize(
    "text",
    ["none", readme.BEGIN, f"{readme.END} {readme.BEGIN}", f"{readme.BEGIN * 2} {readme.END}"],
)
def test_refresh_refuses_a_readme_without_the_markers(checkout, text):
    (checkout / "README.md").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"README\.md must hold <!-- lessons:begin --> and"):
        readme.refresh(checkout)
    assert (checkout / "README.md").read_text(encoding="utf-8") == text
    assert not (checkout / "notebooks" / "README.md").exists()


def test_refresh_needs_a_checkout(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"lessons\.toml"):
        readme.refresh(tmp_path)
    monkeypatch.setattr(readme.runtime, "repository_root", lambda: None)
    with pytest.raises(FileNotFoundError, match="`root` must be given"):
        readme.refresh()


def test_the_command_checks_and_writes(checkout, monkeypatch, capsys):
    monkeypatch.setattr(readme.runtime, "repository_root", lambda: checkout)
    assert readme.main(["--check"]) == 1
    assert capsys.readouterr().out.count("out of date: ") == 2
    assert readme.main([]) == 0
    assert capsys.readouterr().out.count("written: ") == 2
    assert readme.main(["--check"]) == 0


def test_the_readme_is_short_and_its_python_runs(capsys):
    text = (runtime.repository_root() / "README.md").read_text(encoding="utf-8")
    written = re.sub(r"<!-- lessons:begin -->.*<!-- lessons:end -->", "", text, flags=re.DOTALL)
    assert len(written.splitlines()) <= 135
    blocks = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert blocks
    with runtime.quiet_start():
        exec(compile("\n".join(blocks), "README.md", "exec"), {})
    expected = re.findall(r"^print\(.*\)  # (.*)$", "\n".join(blocks), flags=re.MULTILINE)
    assert expected
    assert capsys.readouterr().out.splitlines() == expected


DOCUMENTS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "notebooks/README.md")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_names_only_what_exists(name):
    root = runtime.repository_root()
    text = (root / name).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        if not target.startswith("https://"):
            assert ((root / name).parent / target).exists(), target
    for target in re.findall(r"`((?:dlnotes|notebooks|tests|data)/[\w/.]*\w)`", text):
        assert "03_losses" in target or "losses.py" in target or (root / target).exists(), target
    known = {command.name or command.callback.__name__ for command in app.registered_commands}
    known |= {group.name for group in app.registered_groups}
    used = set(re.findall(r"(?:^|`|\| |&& )dlnotes ([a-z]+)", text, flags=re.MULTILINE))
    assert used <= known
    targets = set(re.findall(r"^([a-z-]+):", (root / "Makefile").read_text(), flags=re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", text, flags=re.MULTILINE)) <= targets
