import pytest

from dlnotes import datasets
from dlnotes.datasets import load_registry, overview, render_cards
from dlnotes.runtime import repository_root


@pytest.mark.skipif(repository_root() is None, reason="checks the checkout's file")
def test_data_readme_is_current():
    path = repository_root() / "data" / "README.md"
    assert path.read_text(encoding="utf-8") == render_cards(), (
        'data/README.md is out of date. Write it again with: python -c "from dlnotes import '
        "datasets; open('data/README.md', 'w', encoding='utf-8').write(datasets.render_cards())\""
    )


def test_every_dataset_has_a_card_with_licence_source_and_hashes():
    text = render_cards()
    assert text.startswith("<!-- Generated from dlnotes/datasets/registry.toml by ")
    for info in load_registry().values():
        card = text.split(f"\n## {info.name}\n")[1].split("\n## ")[0]
        assert f"- Licence: {info.license}\n" in card + "\n"
        assert f"- Source: {info.source}" in card
        assert f"`dlnotes.datasets.{info.loader}`" in card
        for file in info.files:
            assert file.sha256 in card
            assert f"{file.size:,} bytes" in card


def test_card_of_placements_counts_the_faults():
    card = render_cards().split("\n## placements\n")[1].split("\n## ")[0]
    table = [[c.strip() for c in line.split("|")[1:-1]] for line in card.splitlines()]
    counts = {(r[0], r[2]): int(r[3]) for r in table if len(r) == 4 and r[3].isdigit()}
    faults = datasets.load_placements().faults
    expected = faults.groupby(["kind", "column"]).size().to_dict()
    assert counts == {(k, c or "whole row"): n for (k, c), n in expected.items()}
    assert f"{sum(counts.values())} planted faults" in card


def test_card_of_placements_lists_every_fault():
    card = render_cards().split("\n## placements\n")[1].split("\n## ")[0]
    table = [[c.strip() for c in line.split("|")[1:-1]] for line in card.splitlines()]
    listed = [row for row in table if len(row) == 6 and row[0].isdigit()]
    faults = datasets.load_placements().faults.to_dict("records")
    assert len(faults) == 100
    for row, fault in zip(listed, faults, strict=True):
        if fault["kind"].endswith("duplicate"):
            rest = ["whole row", fault["kind"], f"copy of row {fault['copy_of']}", "no such row"]
        else:
            entries = [f"`{fault[key]}`" if fault[key] else "empty" for key in ("dirty", "true")]
            rest = [fault["column"], fault["kind"], *entries]
        assert row == [str(fault["row"]), fault["student_id"], *rest]


def test_overview(tmp_path):
    lines = overview(directory=tmp_path)
    assert [line["name"] for line in lines] == list(load_registry())
    for line in lines:
        info = load_registry()[line["name"]]
        assert (line["licence"], line["source"]) == (info.license, info.source)
        assert (line["title"], line["kind"]) == (info.title, info.kind)
    keys = ["name", "title", "kind", "size", "licence", "source", "state"]
    assert all(list(line) == keys for line in lines)
    states = {line["name"]: line["state"] for line in lines}
    assert states["iris"] == states["placements"] == states["xor"] == "ready"
    assert states["mnist"] == "not downloaded"
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist" / "mnist.npz").write_bytes(b"not it")
    states = {line["name"]: line["state"] for line in overview(directory=tmp_path)}
    assert states["mnist"] == "damaged"
    assert next(line for line in lines if line["name"] == "mnist")["size"] == 11490434
    assert next(line for line in lines if line["name"] == "iris")["size"] == 0
