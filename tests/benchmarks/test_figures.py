"""Figures of the documents: one source, rendered; what disagrees or is made up fails."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

import figure_tables as tables  # noqa: E402
import figures  # noqa: E402
from figure_list import FIGURES, Figure  # noqa: E402

# A cell that is nothing but a number with its spread and its unit.
NUMBER = re.compile(
    r"[*≤<~-]*\d[\d.,]*( ?(±|–|to) ?[\d.,]+)?( \[.*\])?( ?(%|×|px|[kMG]i?B|m?s|minutes|hours))?\**"
)
# In prose, what is measured more often than set.
MEASURED = re.compile(
    r"(?<![\w-])\d[\d.,]*(?: ?%| (?:s|seconds|minutes|hours|times)\b| ?[kMG]i?B\b| ± \d)"
)
# Tables of numbers that nobody measured, by document and start of the header.
GIVEN_TABLES = {
    ("docs/models.md", "| file in"),  # tests/test_documents.py compares it with the files
}
# Settings, sizes of bundled files, limits, and what papers state.
GIVEN = {
    "docs/comparison.md": ("about 6 GB", "12 GB"),
    "docs/models.md": ("19 MB together",),
    "docs/papers/README.md": ("an error of 1 %",),
    "docs/papers/geometric_style_transfer.md": ("a 95 % bootstrap interval",),
    "docs/papers/perceptual_losses.md": ("The file has 1.0 MB.",),
    "docs/papers/texture_networks.md": ("have 0.16 MB each", "(the paper: 170 MB)"),
    "docs/reliability.md": (
        "10 s of CPU time, 1.5 GB more memory",
        "50 times at random moments and 25 times",
    ),
    "docs/texture.md": ("at least 1.1 times as fast",),
    "docs/training.md": ("70 to 100 %", "±8 %", "2.2 MB each", "101 kB each; 0.4 GB"),
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project with one figure, measured, and a document that shows it."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "code.py").write_text('"""Docstring."""\n\n\ndef f():\n    return 1\n')
    rows = [("error", ("part/error", ".2f")), ("time", ("seconds", ".1f"))]
    table = tables.fixed(("what", "value"), *rows)
    known = {"speed": Figure("measure --root ROOT", ("code.py",), table)}
    monkeypatch.setattr(figures, "FIGURES", known)
    figures.record("speed", {"part": {"error": 0.126}, "seconds": 3.04}, tmp_path)
    (tmp_path / "README.md").write_text(
        "# Title\n\n<!-- table speed -->\n<!-- end -->\n\n"
        "It takes <!-- value speed seconds .1f -->9.9<!-- end --> s.\n"
    )
    yield tmp_path


def test_tables_and_values_are_written_between_their_markers(project: Path) -> None:
    text = figures.rendered((project / "README.md").read_text(), project)
    assert "| what | value |\n| --- | --- |\n| error | 0.13 |\n| time | 3.0 |\n\nMeasured" in text
    assert "It takes <!-- value speed seconds .1f -->3.0<!-- end --> s." in text
    assert figures.rendered(text, project) == text


def test_a_line_says_where_a_figure_is_from_and_whether_the_code_has_changed(
    project: Path,
) -> None:
    own = figures.load("speed", project)
    line = figures.rendered("<!-- about speed -->\n<!-- end -->", project).splitlines()[1]
    assert line.startswith("Measured by `measure --root ROOT`, commit ")
    assert f" of {own['date']}, {own['machine']['cpu']}" in line
    assert "thread" in line
    assert not line.endswith("changed since.")
    (project / "code.py").write_text("def f():\n    return 2\n")
    assert figures.about("speed", project) == line + " The code has changed since."


def test_a_figure_is_old_once_the_code_does_something_else(project: Path) -> None:
    own = figures.load("speed", project)["code"]
    code = project / "code.py"
    code.write_text('"""Another docstring."""\n\ndef f():\n    "More."\n    return 1  # why\n')
    assert figures.code_hash(["code.py"], project) == own
    code.write_text("def f():\n    return 2\n")
    assert figures.code_hash(["code.py"], project) != own


def test_parts_of_a_folder_may_be_left_out(tmp_path: Path) -> None:
    for name in ("a.py", "b_one.py", "b_two.py"):
        (tmp_path / "code").mkdir(exist_ok=True)
        (tmp_path / "code" / name).write_text(f"x = '{name}'\n")
    whole, part = (figures.code_hash(p, tmp_path) for p in (["code"], ["code", "!code/b"]))
    assert whole != part
    (tmp_path / "code" / "b_two.py").unlink()
    assert figures.code_hash(["code", "!code/b"], tmp_path) == part


def test_where_code_imports_does_not_matter_but_what_it_imports_does() -> None:
    above = "import torch\n\ndef f():\n    return torch.ones(1)\n"
    inside = "def f():\n    import torch\n    return torch.ones(1)\n"
    checked = "if TYPE_CHECKING:\n    import torch\n\ndef f():\n    return torch.ones(1)\n"
    other = above.replace("import torch", "import jax as torch")
    assert figures.bare(above) == figures.bare(inside) == figures.bare(checked)
    assert figures.bare(above) != figures.bare(other)


def test_files_say_where_values_come_from_without_paths(project: Path) -> None:
    document = json.loads((project / "docs/figures/speed.json").read_text())
    assert document["command"] == "measure --root ROOT"
    assert set(document["machine"]) == {"cpu", "flags", "threads", "gpu", "torch"}
    for path in ("/home/someone/a.jpg", "made by a --root /home/someone", "C:\\a.jpg"):
        with pytest.raises(SystemExit, match="names instead of paths"):
            figures.record("speed", {"file": path}, project)


def test_places_are_recorded_by_their_names(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHOTOS", str(project))
    values = json.loads(figures.record("speed", {"file": f"{project}/a.jpg"}, project).read_text())[
        "values"
    ]
    assert values == {"file": "PHOTOS/a.jpg"}


def test_make_measures_what_is_missing_and_nothing_twice(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "measure.py").write_text(
        "import sys\nopen('calls', 'a').write('x')\n"
        'open(sys.argv[1], \'w\').write(\'{"part": {"error": 2}, "seconds": 5}\')\n'
    )
    figure = figures.FIGURES["speed"]
    for variable in ("GEOSTYLE_DATA", *figures.PLACES):
        monkeypatch.delenv(variable, raising=False)
    known = {
        "speed": Figure("python measure.py FILE", ("code.py",), figure.table),
        "other": Figure("python measure.py FILE --photos PHOTOS", ("code.py",)),
        "ours": Figure("make all", ("code.py",), by_hand="takes days"),
        "broken": Figure("python -c 'raise SystemExit(3)'", ("code.py",)),
    }
    monkeypatch.setattr(figures, "FIGURES", known)
    (project / figures.FOLDER / "speed.json").unlink()
    for _ in range(2):
        assert figures.make([], project) == 1
    assert (project / "calls").read_text() == "x"
    assert "| time | 5.0 |" in (project / "README.md").read_text()
    said = capsys.readouterr().out
    assert "other: left out: no PHOTOS" in said
    assert "ours: left out: takes days" in said
    assert "broken: exit status 3" in said
    assert not (project / figures.FOLDER / "broken.json").exists()


def test_tables_hold_records_layers_keypoints_and_grid_errors() -> None:
    values = {"rows": [{"name": "a", "n": 1, "share": 0.5}, {"name": "b", "n": None, "share": 1}]}
    columns = (("", "name", "`{}`"), ("n", "n", "d"), ("share", "share", ".1%"))
    expected = [["", "n", "share"], ["`a`", "1", "50.0 %"], ["`b`", "–", "100.0 %"]]
    assert tables.records("rows", *columns)(values) == expected
    by_name = {"rows": {row["name"]: {"n": row["n"], "share": 1} for row in values["rows"]}}
    assert [row[0] for row in tables.records("rows", *columns)(by_name)] == ["", "`a`", "`b`"]
    by_layer = {"layers": {"relu1_1": {"median": 0.25}, "relu2_1": {"median": 0.5}}}
    assert tables.layers("layers", ("error", "median", ".1f"))(by_layer) == [
        ["", "relu1_1", "relu2_1"],
        ["error", "0.2", "0.5"],
    ]
    row = {"estimator": "x", "alpha": 0.1, "ci95": [1, 2]}
    found = {"rows": [{**row, "class": kind, "pck": 50} for kind in ("duck", "all")]}
    found["rows"].append({**row, "class": "all", "alpha": 0.05, "pck": 1})
    assert tables.keypoints({"x": "X", "y": "Y"})(found) == [
        ["", "all pairs", "duck"],
        ["X", "50.0 [1.0, 2.0]", "50.0"],
    ]
    cells = [("stylized", "all", 0.5), ("stylized", "affine", 0.25), ("plain", "all", 0.125)]
    grid = {"rows": [{"estimator": "x", "target": t, "family": f, "share": s} for t, f, s in cells]}
    assert tables.synthetic({"x": "X"})(grid) == [
        ["", "stylized", "of it affine", "plain"],
        ["X", "50.0 %", "25.0 %", "12.5 %"],
    ]


def test_values_are_found_by_keys_numbers_and_fields() -> None:
    values = {"a": [{"b": 1, "c": 0.1, "d": "no"}, {"b": 2, "c": 0.1, "d": "yes"}]}
    assert tables.value(values, "a/0/d") == "no"
    assert tables.value(values, "a/b=2,c=0.1/d") == "yes"


def test_make_goes_on_with_the_work_of_the_same_code_only(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command that is interrupted keeps what it has made, until the code changes."""
    (project / "measure.py").write_text(
        "import json, pathlib, sys\n"
        "work = pathlib.Path(sys.argv[1])\n"
        "work.mkdir(parents=True, exist_ok=True)\n"
        "(work / str(len(list(work.iterdir())))).touch()\n"
        "pathlib.Path(sys.argv[2]).write_text(json.dumps({'calls': len(list(work.iterdir()))}))\n"
    )
    known = {"calls": Figure("python measure.py WORK FILE", ("code.py",))}
    monkeypatch.setattr(figures, "FIGURES", known)
    (project / "README.md").write_text("<!-- value calls calls d -->0<!-- end -->\n")

    def calls() -> object:
        assert figures.measure("calls", {}, project) == ""
        return figures.load("calls", project)["values"]["calls"]

    assert [calls(), calls()] == [1, 2]
    (project / "code.py").write_text("def f():\n    return 2\n")
    assert calls() == 1
    assert len([path for path in (project / "runs/figures").iterdir() if path.is_dir()]) == 1


def test_a_figure_that_nobody_measured_is_refused(project: Path) -> None:
    with pytest.raises(SystemExit, match="expected a figure that was measured"):
        figures.rendered("<!-- value other seconds .1f -->1<!-- end -->", project)


def test_the_documents_agree_with_their_figures() -> None:
    disagreeing: list[str] = []
    figures.each_document(lambda path, old, new: disagreeing.extend([path.name] * (old != new)))
    assert not disagreeing, "run `python benchmarks/figures.py render`"


def test_every_file_is_a_figure_that_a_document_shows() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in figures.documents())
    shown = {found["name"] for found in figures.MARKED.finditer(text)}
    assert {path.stem for path in (ROOT / figures.FOLDER).glob("*.json")} == shown
    assert shown <= set(FIGURES)


def unmarked(path: Path) -> str:
    """A document without figures, code and comments."""
    text = figures.MARKED.sub("FIGURE", path.read_text(encoding="utf-8"))
    for pattern in (r"^```.*?^```", r"^ {4}.*$", r"`[^`\n]*`"):
        text = re.sub(pattern, "", text, flags=re.MULTILINE | re.DOTALL if "`" in pattern else re.M)
    return text


def numeric_tables(text: str) -> list[str]:
    """The headers of tables in which a cell is a number."""
    found = []
    for table in re.findall(r"(?:^\|.*\n?)+", text, re.MULTILINE):
        header, _, *rows = table.splitlines()
        cells = [cell.strip() for row in rows for cell in row.strip("|").split("|")]
        if any(NUMBER.fullmatch(cell) for cell in cells):
            found.append(header)
    return found


@pytest.mark.parametrize("path", figures.documents(), ids=lambda p: p.stem)
def test_measured_values_stand_between_markers(path: Path) -> None:
    name, text = path.relative_to(ROOT).as_posix(), unmarked(path)
    given = tuple(start for document, start in GIVEN_TABLES if document == name)
    assert [h for h in numeric_tables(text) if not (given and h.startswith(given))] == []
    prose = " ".join(line for line in text.splitlines() if not line.startswith("|"))
    prose = re.sub(r"\s+", " ", prose)
    for phrase in GIVEN.get(name, ()):
        prose = prose.replace(phrase, "")
    assert [prose[m.start() - 40 : m.end()] for m in MEASURED.finditer(prose)] == []


def test_loose_tables_and_values_are_seen() -> None:
    table = "| what | s |\n|---|---|\n| a | {} |\n"
    for cell in ("0.13", "**12 %**", "3 ± 0.1 %", "50.3 [41.0, 60.9]", "1,234 ms", "1.5 ×"):
        assert numeric_tables(table.format(cell)) == ["| what | s |"], cell
    for cell in ("3 × 3 convolutions", "`--size 512`", "layer 3"):
        assert numeric_tables(table.format(cell)) == [], cell
    assert MEASURED.search("it takes 3 s.")
    assert MEASURED.search("falls by 93.5 %")


def test_no_line_begins_with_a_value() -> None:
    """A comment at the beginning of a line ends the paragraph in Markdown."""
    for page in figures.documents():
        assert "\n<!-- value " not in page.read_text(encoding="utf-8"), page.name
