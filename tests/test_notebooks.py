"""What the committed notebooks must be."""

import base64
import importlib.util
import io
import json
import re
from pathlib import Path

import nbformat
import pytest
from PIL import Image  # matplotlib brings it

from tests.claims import solution_after

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]_*.ipynb"))
TAGS = {"parameters", "nbval-ignore-output"}
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "data/README.md", "notebooks/definitions.md")]
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def tags(cell):
    return set(cell.metadata.get("tags", []))


@each_notebook
def test_was_run_from_top_to_bottom_without_errors_or_warnings(path):
    cells = code_cells(nbformat.read(path, as_version=4))
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        for output in cell.outputs:
            assert output.output_type != "error", cell.source
            assert output.get("name") != "stderr", cell.source


@each_notebook
def test_holds_no_stray_metadata_paths_widgets_or_bytes(path):
    notebook = nbformat.read(path, as_version=4)
    assert path.stat().st_size <= 2_500_000
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    for cell in notebook.cells:
        assert set(cell.metadata) <= {"tags", "alt"}
        assert tags(cell) <= TAGS
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            text = str(output.get("text", "")) + str({k: v for k, v in data.items() if k != "image/png"})
            assert not re.search(r"/(home|root|tmp|work|Users|usr)/", text), cell.source
            assert not [kind for kind in data if "widget" in kind or kind in ("image/svg+xml", "image/jpeg")]


@each_notebook
def test_pictures_are_whole_and_white(path):
    """Twice as many pixels as the figure has, for sharp screens, nothing cut off; and no dark page shines through."""
    seen = 0
    for cell in code_cells(nbformat.read(path, as_version=4)):
        for data in (output.get("data", {}) for output in cell.outputs):
            if "image/png" in data:
                picture = Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
                size = re.match(r"<Figure size ([\d.]+)x([\d.]+) with", data["text/plain"]).groups()
                assert all(abs(2 * float(a) - b) <= 2 for a, b in zip(size, picture.size, strict=True)), cell.source
                assert picture.convert("RGBA").getpixel((0, 0)) == (255, 255, 255, 255), cell.source
                seen += 1
    assert seen >= 5


@each_notebook
def test_every_picture_has_a_sentence_for_readers_who_cannot_see_it(path):
    """In the cell's metadata, which stay when somebody saves, and from there (make.py) in those of the picture."""
    seen = []
    for cell in nbformat.read(path, as_version=4).cells:
        alt = cell.metadata.get("alt", [])
        drawn = [output.metadata["image/png"].get("alt") for output in cell.get("outputs", [])
                 if "image/png" in output.get("data", {})]
        assert ([alt] if isinstance(alt, str) else alt) == drawn, cell.source
        drawings = re.findall(r"!\[(.*?)\]\(", cell.source, re.S) if cell.cell_type == "markdown" else []
        assert all(5 <= len(sentence.split()) <= 40 for sentence in drawn + drawings), drawn + drawings
        seen += drawn
    assert len(set(seen)) == len(seen)


@each_notebook
def test_the_first_cell_says_how_to_get_mmutils_only_where_it_is_missing(path, monkeypatch):
    first = code_cells(nbformat.read(path, as_version=4))[0].source
    assert first == code_cells(nbformat.read(NOTEBOOKS[0], as_version=4))[0].source
    exec(first, {})
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"%pip install -e"):
        exec(first, {})


@each_notebook
def test_the_still_picture_over_a_slider_is_compared(path):
    """A slider's own output is ignored and not stored; what it draws is drawn once by a cell that is compared."""
    cells = code_cells(nbformat.read(path, as_version=4))
    for cell in cells:
        if slider := re.search(r"interact\((\w+)", cell.source):
            assert "nbval-ignore-output" in tags(cell) and not cell.outputs
            compared = [other for other in cells if "nbval-ignore-output" not in tags(other)]
            assert any(re.search(rf"^\s*{slider[1]}\(", other.source, re.M) for other in compared), cell.source


@each_notebook
def test_no_code_on_the_page_is_there_for_a_test(path):
    code = "\n".join(cell.source for cell in code_cells(nbformat.read(path, as_version=4)))
    assert not re.findall(r"\bexpect\(|\bcheck_settings\(|\bisfinite\b|\bnan_to_num\b", code)
    assert len(re.findall(r"^\s*assert\b", code, re.M)) <= 4
    assert "in solution" not in code and "# solution of" not in code


@each_notebook
def test_is_readable(path):
    """Short cells, settings that each say what to try, headings that link to their second of the video."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert len(cell.source.splitlines()) <= 40, cell.source
        if "parameters" in tags(cell):
            first, *settings = cell.source.splitlines()
            assert first.startswith("# settings: ")
            assert settings and all(re.match(r"\w+ = .+  # .+", line) for line in settings), cell.source
        for shown, seconds in re.findall(r"\[▶ ([\d:]+)\]\(https://www\.youtube\.com/watch\?v=[\w-]{11}&t=(\d+)s\)",
                                         cell.source if cell.cell_type == "markdown" else ""):
            total = 0
            for part in shown.split(":"):
                total = 60 * total + int(part)
            assert total == int(seconds), shown


@each_notebook
def test_every_exercise_has_a_place_a_check_and_a_folded_solution(path):
    """A task, a cell to work in that sets names to None, the check, and the solution, which fills these names."""
    cells = nbformat.read(path, as_version=4).cells
    exercises = [i for i, cell in enumerate(cells) if cell.cell_type == "markdown"
                 and re.search(r"^### E\d\d · ", cell.source, re.M)]
    assert exercises
    for start, end in zip(exercises, exercises[1:] + [len(cells)], strict=True):
        check = next(i for i in range(start, end) if solution_after(cells, i))
        code = [cell for cell in cells[start:check + 1] if cell.cell_type == "code"]
        assert any(cell.source.startswith("# your work") for cell in code)
        assert re.search(r"^lecture\d\.\w+\(", code[-1].source, re.M)
        assert "not tried yet" in code[-1].outputs[0].text
        place = {name for cell in code for name in re.findall(r"^(\w+) = None$", cell.source, re.M)}
        solution = solution_after(cells, check)
        assert place and all(re.search(rf"\b{name}\b", solution) for name in place), place


@pytest.mark.parametrize("path", [*NOTEBOOKS, *PAGES], ids=lambda p: p.name)
def test_every_link_inside_the_repository_resolves(path):
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        text = "\n".join(c.source for c in nbformat.reads(text, as_version=4).cells if c.cell_type == "markdown")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" not in target:
            file, _, anchor = target.partition("#")
            page = path.parent / file if file else path
            assert page.exists(), target
            if page.suffix == ".md" and anchor:
                assert anchor in anchors(page), target
    if path.suffix == ".md":
        for target in re.findall(r"`((?:\w+/)+[\w.]*)`", text):
            assert (ROOT / target).exists() or target.split("/")[0] in ("kept", "blank", "book"), target


def anchors(page):
    """The anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def sections(path):
    """The headings of a notebook, without the link to the video."""
    source = "\n".join(c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == "markdown")
    return {heading.strip() for heading in re.findall(r"^#+ (.*?)(?:  \[▶.*)?$", source, re.M)}


@pytest.mark.parametrize("path", [*NOTEBOOKS, *PAGES], ids=lambda p: p.name)
def test_every_section_that_is_named_after_a_link_is_there(path):
    """([notebook 1](…), *The leak*): that notebook has a section of this name."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        text = "\n".join(c.source for c in nbformat.reads(text, as_version=4).cells if c.cell_type == "markdown")
    named = re.findall(r"\[notebook (\d)\]\(([\w/]+\.ipynb)\),\s+\*([^*]+)\*", text)
    assert named or path != ROOT / "README.md"
    assert len(named) == text.count("[notebook ") or path.name != "definitions.md"
    for number, target, section in named:
        assert Path(target).name.startswith(number)
        assert " ".join(section.split()) in sections(path.parent / target), section


def test_each_notebook_links_to_the_one_before_the_one_after_and_the_course():
    for i, path in enumerate(NOTEBOOKS):
        first = nbformat.read(path, as_version=4).cells[0].source.split("\n\n")[1]
        neighbours = [other.name for other in (NOTEBOOKS[i - 1:i] + NOTEBOOKS[i + 1:i + 2])]
        assert re.findall(r"\]\((\w+\.ipynb)\)", first) == neighbours and "](../README.md)" in first


# ----- what was measured ----------------------------------------------------------------------------------------------

MEASURED = json.loads((ROOT / "benchmarks" / "results.json").read_text())


def test_the_tables_of_the_readmes_are_what_was_measured(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    tables = importlib.import_module("tables")
    found = 0
    for path in tables.READMES:
        text = path.read_text(encoding="utf-8")
        found += text.count("<!-- measured: ")
        assert tables.filled(text, MEASURED) == text, "run benchmarks/tables.py"
        changed = json.loads(re.sub(r"\d(?=\d*\.)", "8", json.dumps(MEASURED)))
        assert tables.filled(text, changed) != text
    assert found == len(tables.TABLES)
