"""What the committed notebooks must be, and what they do when a reader changes their settings."""

import ast
import base64
import contextlib
import functools
import importlib
import io
import json
import os
import re
from pathlib import Path

import nbformat
import pytest
from jupyter_client.manager import start_new_kernel
from PIL import Image  # matplotlib brings it

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]_*.ipynb"))
TAGS = {"parameters", "nbval-ignore-output"}
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
    assert path.stat().st_size <= 600_000
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    for cell in notebook.cells:
        assert set(cell.metadata) <= {"tags", "jupyter"}
        assert tags(cell) <= TAGS
        assert cell.metadata.get("jupyter", {"source_hidden": True}) == {"source_hidden": True}
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            text = str(output.get("text", "")) + str({k: v for k, v in data.items() if k != "image/png"})
            assert not re.search(r"/(home|root|tmp|work|Users|usr)/", text), cell.source
            assert not [kind for kind in data if "widget" in kind or kind in ("image/svg+xml", "image/jpeg")]


@each_notebook
def test_pictures_are_whole_and_white(path):
    """As large as the figure that was drawn: nothing was cut off or added; and no dark page shines through."""
    seen = 0
    for cell in code_cells(nbformat.read(path, as_version=4)):
        for data in (output.get("data", {}) for output in cell.outputs):
            if "image/png" in data:
                picture = Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
                size = re.match(r"<Figure size ([\d.]+)x([\d.]+) with", data["text/plain"]).groups()
                assert all(abs(float(a) - b) <= 1 for a, b in zip(size, picture.size, strict=True)), cell.source
                assert picture.convert("RGBA").getpixel((0, 0)) == (255, 255, 255, 255), cell.source
                seen += 1
    assert seen >= 5


@each_notebook
def test_every_ignored_output_has_a_check_beside_it(path):
    cells = code_cells(nbformat.read(path, as_version=4))
    for i, cell in enumerate(cells):
        if "nbval-ignore-output" not in tags(cell):
            continue
        compared = [other for other in cells if "nbval-ignore-output" not in tags(other)]
        if slider := re.search(r"interact\((\w+)", cell.source):    # the callback runs in a cell that is compared
            assert any(re.search(rf"^\s*{slider[1]}\(", other.source, re.M) for other in compared), cell.source
            assert not cell.outputs
        else:
            beside = [other for other in cells[max(0, i - 1):i + 3] if other in compared]
            assert any(re.search(r"\bexpect\(|\bassert\b", other.source) for other in beside), cell.source


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
    cells = nbformat.read(path, as_version=4).cells
    exercises = [i for i, cell in enumerate(cells) if cell.cell_type == "markdown"
                 and re.search(r"^### E\d\d · ", cell.source, re.M)]
    assert exercises
    for start, end in zip(exercises, exercises[1:] + [len(cells)], strict=True):
        code = [cell for cell in cells[start:end] if cell.cell_type == "code"]
        assert code[0].source.startswith("# your work")
        assert code[1].source.startswith("checks.")
        assert "not tried yet" in code[1].outputs[0].text
        name = re.match(r"checks\.\w+\(", code[1].source)[0]
        solutions = [cell for cell in code if cell.source.startswith("# solution of E")]
        assert solutions and all(cell.metadata.jupyter.source_hidden for cell in solutions)
        assert any(f"assert {name}" in cell.source for cell in solutions)
        place = {target.id for node in ast.walk(ast.parse(code[0].source)) if isinstance(node, ast.Assign)
                 for t in node.targets for target in ast.walk(t) if isinstance(target, ast.Name)}
        for cell in solutions:                                      # a solution never overwrites the reader's names
            assigned = {node.id for node in ast.walk(ast.parse(cell.source))
                        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
            assert not assigned & place


@pytest.mark.parametrize("path", [*NOTEBOOKS, ROOT / "README.md", ROOT / "data/README.md"], ids=lambda p: p.name)
def test_every_link_inside_the_repository_resolves(path):
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        text = "\n".join(c.source for c in nbformat.reads(text, as_version=4).cells if c.cell_type == "markdown")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" not in target and not target.startswith("#"):
            assert (path.parent / target.split("#")[0]).exists(), target
    if path.suffix == ".md":
        for target in re.findall(r"`((?:\w+/)+[\w.]*)`", text):
            assert (ROOT / target).exists() or target in ("kept/", "blank/"), target


def sections(path):
    """The headings of a notebook, without the link to the video."""
    source = "\n".join(c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == "markdown")
    return {heading.strip() for heading in re.findall(r"^#+ (.*?)(?:  \[▶.*)?$", source, re.M)}


@pytest.mark.parametrize("path", [*NOTEBOOKS, ROOT / "README.md"], ids=lambda p: p.name)
def test_every_section_that_is_named_after_a_link_is_there(path):
    """([notebook 1](…), *The leak*): that notebook has a section of this name."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        text = "\n".join(c.source for c in nbformat.reads(text, as_version=4).cells if c.cell_type == "markdown")
    named = re.findall(r"\[notebook (\d)\]\(([\w/]+\.ipynb)\),\s+\*([^*]+)\*", text)
    assert named or path.name != "README.md"
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


@each_notebook
def test_losses_said_to_be_of_make_bench_stand_in_its_results(path):
    losses = {f"{loss:.{digits}f}" for digits in (2, 3)
              for loss in re.findall(r'"(?:train|dev|val|test)": ([\d.]+)', json.dumps(MEASURED))
              for loss in [float(loss)]}
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "markdown":
            for loss in re.findall(r"(\d\.\d+) (?:by|in) `make bench`", cell.source):
                assert loss in losses, loss


# ----- lecture 4: its cards and its bugs ------------------------------------------------------------------------------

def parts_of(path, heading):
    """The cells of each part whose heading matches (with its match): up to the next one, or the next cell of prose."""
    cells = nbformat.read(path, as_version=4).cells
    for i, cell in enumerate(cells):
        for match in re.finditer(heading, cell.source if cell.cell_type == "markdown" else "", re.M):
            code = []
            for other in cells[i + 1:]:
                if other.cell_type == "markdown" and re.search(r"^#", other.source, re.M):
                    break
                code += [other] if other.cell_type == "code" else []
            yield match, cell, code


def stored(cell):
    """The names that a cell gives a value to at its top level: not inside functions, classes and comprehensions."""
    inside = (ast.Lambda, ast.ListComp, ast.GeneratorExp, ast.DictComp, ast.SetComp)
    names, todo = set(), list(ast.parse(cell.source).body)
    while todo:
        node = todo.pop()
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif not isinstance(node, inside):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                names.add(node.id)
            todo += ast.iter_child_nodes(node)
    return names


BACKPROP = ROOT / "notebooks" / "4_backprop.ipynb"


def test_every_card_has_a_place_a_check_a_hint_and_a_folded_solution():
    cards = list(parts_of(BACKPROP, r"^### Card (\d+) · `(d\w+)`.*$"))
    assert [int(match[1]) for match, _, _ in cards] == list(range(1, 27))
    for match, text, (place, solution, *_) in cards:
        number, name = match[1], match[2]
        assert re.search(r"<details><summary>Hint</summary>\n\n.+?\n\n</details>", text.source[match.end():], re.S)
        assert place.source.startswith(f"# your work: card {number}")
        assert re.search(rf"^{name} = None$", place.source, re.M)
        assert place.source.endswith(f'\n{name} = card("{name}", {name}, {name[1:]})')
        assert stored(place) == {name}
        assert place.outputs[0].text.startswith(f"{name}: not tried yet")
        assert solution.source.startswith(f"# solution of card {number}") and solution.metadata.jupyter.source_hidden
        assert solution.source.endswith(f"\nassert checks.gradient(solution_{name}, {name[1:]}, loss, "
                                        f'"solution: {name}")')
        assert not re.search(r"\.grad\b", solution.source)
        assert stored(solution) == {f"solution_{name}"}
        assert solution.outputs[0].text.startswith(f"solution: {name}: right, ")


def test_every_bug_is_seen_and_has_a_folded_solution():
    bugs = list(parts_of(BACKPROP, r"^### Bug (\d) · "))
    assert [int(match[1]) for match, _, _ in bugs] == list(range(1, 7))
    for match, _, (place, solution) in bugs:
        assert place.source.startswith(f"# your work: bug {match[1]}.") and "not yet" in place.outputs[0].text
        assert solution.source.startswith(f"# solution of bug {match[1]}") and solution.metadata.jupyter.source_hidden
        assert "assert checks.gradient(" in solution.source and "not yet" not in solution.outputs[0].text
        assert stored(solution) == {f"solution_{match[1]}"}
        assert all(re.match(rf"bug{match[1]}_|answer|tensor|name", name) for name in stored(place))


def test_cards_can_be_filled_in_after_all_has_run():
    """What the answers are made of is not given another value by any cell further down."""
    cells = code_cells(nbformat.read(BACKPROP, as_version=4))
    first = next(i for i, cell in enumerate(cells) if cell.source.startswith("# your work: card 1."))
    needed = set()
    for cell in cells[first:]:
        if re.match(r"# (solution of|your work)", cell.source):
            needed |= {node.id for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.Name)
                       and isinstance(node.ctx, ast.Load)}
    given = set().union(*(stored(cell) for cell in cells[:first]))
    assert {"loss", "n", "V", "Xb", "Yb", "W2", "h", "logits"} <= needed & given
    for cell in cells[first:]:
        assert not stored(cell) & needed & (given - {"name"}), cell.source


def test_cards_take_right_answers_and_go_on_after_wrong_ones():
    """Run the cards as a reader would: some right, some wrong, some not tried, some twice."""
    cells = code_cells(nbformat.read(BACKPROP, as_version=4))
    cards = [cell for cell in cells if cell.source.startswith("# your work: card ")]
    solutions = [cell for cell in cells if cell.source.startswith("# solution of card ")]
    space, first = {}, cells.index(cards[0])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(BACKPROP.parent)
        patch.setenv("MMUTILS_TEST", "tell")
        for cell in cells[:first]:
            exec(cell.source, space)
        for k, (card, solution) in enumerate(zip(cards, solutions, strict=True)):
            name = re.search(r"^(d\w+) = None$", card.source, re.M)[1]
            formula = solution.source.split("assert")[0].replace(f"solution_{name}", name)
            wrong = f"{formula}\n{name} = {name} + 1"
            for attempt, right in (((formula, True), (wrong, False), (f"{name} = None", None))[k % 3], (formula, True)):
                with contextlib.redirect_stdout(io.StringIO()) as out:
                    exec(card.source.replace(f"{name} = None", attempt, 1), space)
                verdict = {True: "right", False: "not yet", None: "not tried yet"}[right]
                assert out.getvalue().startswith(f"{name}: {verdict}"), out.getvalue()
                assert space[name].allclose(space[name[1:]].grad, atol=1e-6)
                mine, kept = space[name].clone(), space[name[1:]].grad.clone()
                space[name] += 1                                                # in place, as the next card may do it
                assert space[name[1:]].grad.equal(kept)
                space[name] = mine


# ----- other settings -------------------------------------------------------------------------------------------------

SMALL = {
    "1_bigrams": {"seed": 1, "n_names": 1, "fake_count": 0, "learning_rate": 0.1, "n_steps": 0, "penalty": 0,
                  "penalty_steps": 0, "split_seed": 7, "fractions": (0.4, 0.3, 0.3), "max_context": 1,
                  "strength": 0.01, "temperature": 0.02},
    "2_mlp": {"block_size": 1, "n_embd": 1, "n_hidden": 1, "batch_size": 1, "overfit_steps": 0, "overfit_rate": 1e-6,
              "sweep_low": -6.0, "sweep_high": -6.0, "sweep_steps": 1, "sweep_runs": 1, "first_rate": 1e-6,
              "first_training": 0, "first_decay": 0, "wide_hidden": 1, "wide_steps": 0, "wide_rate": 1e-6,
              "wide_start": 0, "max_steps": 0, "learning_rate": 1e-6, "temperature": 0.01, "fast_steps": 0,
              "fast_batch": 1, "fast_sgd_rate": 1e-6, "fast_rate": 1e-6, "small_size": (1, 1), "right_size": (1, 2),
              "large_size": (2, 1), "size_steps": 0, "bench_steps": 0, "bench_seeds": 1},
    "3_activations_batchnorm": {"block_size": 1, "n_embd": 1, "n_hidden": 1, "log_steps": 0, "log_batch": 2,
                                "log_rate": 1e-6, "log_seeds": 1, "dead_neurons": 0, "dead_steps": 0, "deep_embd": 1,
                                "deep_hidden": 1, "deep_batch": 2, "deep_rate": 1e-6, "deep_steps": 0,
                                "deep_gain": 0.01, "desk_steps": 0, "desk_batch": 2, "full_steps": 0, "full_batch": 2,
                                "full_rate": 1e-6},
    "4_backprop": {"block_size": 1, "n_embd": 1, "n_hidden": 1, "batch_size": 2, "run_hidden": 1, "run_embd": 1,
                   "run_batch": 2, "max_steps": 0, "learning_rate": 1e-6, "mine_steps": 0, "bug_steps": 0},
    "5_wavenet": {"starter_context": 1, "n_embd": 1, "n_hidden": 1, "batch_size": 1, "max_steps": 0,
                  "learning_rate": 1e-6, "window": 1, "log_steps": 0, "log_batch": 1, "log_rate": 1e-9, "log_seeds": 1,
                  "block_size": 1, "factors": (1,), "tree_hidden": 1, "wide_embd": 1, "wide_hidden": 1, "channels": 1,
                  "ladder_channels": 1, "ladder_batch": 1, "dilations": (1,), "stack_batch": 1, "stack_rate": 1e-9,
                  "muon_rate": 0, "muon_decay": 0, "ladder_steps": 0, "ladder_seeds": 1, "challenge_steps": 0,
                  "dropout": 0},
}
LARGE = {
    "1_bigrams": {"seed": 0, "n_names": 50, "fake_count": 10**9, "learning_rate": 1e5, "n_steps": 4, "penalty": 1e3,
                  "penalty_steps": 900, "split_seed": -1, "fractions": (0.998, 0.001, 0.001), "max_context": 12,
                  "strength": 1e9, "temperature": 1e3},
    "2_mlp": {"block_size": 10, "n_embd": 32, "n_hidden": 50, "batch_size": 500, "overfit_rate": 1e4,
              "sweep_low": -1.0, "sweep_high": 6.0, "sweep_steps": 50, "sweep_runs": 10,
              "first_rate": 1e3, "wide_hidden": 500, "wide_rate": 1e3,
              "wide_start": 100, "learning_rate": 1e4, "temperature": 100, "fast_batch": 1000, "fast_sgd_rate": 1e4,
              "fast_rate": 10, "small_size": (64, 1), "right_size": (1, 500), "large_size": (1, 1)},
    "3_activations_batchnorm": {"block_size": 8, "n_embd": 20, "n_hidden": 300, "log_batch": 500, "log_rate": 1e3,
                                "dead_neurons": 10**6, "deep_embd": 20, "deep_hidden": 120, "deep_batch": 64,
                                "deep_rate": 1e4, "deep_gain": 50, "desk_batch": 64, "full_batch": 500,
                                "full_rate": 10},
    "4_backprop": {"block_size": 10, "n_embd": 64, "n_hidden": 500, "batch_size": 1024, "run_hidden": 400,
                   "run_embd": 16, "run_batch": 1024, "learning_rate": 1e5},
    "5_wavenet": {"starter_context": 12, "n_embd": 20, "n_hidden": 300, "batch_size": 500, "learning_rate": 1e4,
                  "window": 10**6, "log_batch": 500, "log_rate": 1e3, "block_size": 16, "factors": (4, 4),
                  "tree_hidden": 80, "wide_embd": 30, "wide_hidden": 70, "channels": 70,
                  "dilations": (1, 2, 4, 8, 16, 32), "stack_batch": 500, "ladder_channels": 60, "ladder_batch": 200,
                  "ladder_seeds": 2, "stack_rate": 1e3, "muon_rate": 10, "muon_decay": 10, "dropout": 0.9},
}
WRONG = {  # apart where one error would keep the other from being reached
    "1_bigrams": [{"fake_count": -1, "n_steps": -1, "max_context": 13, "temperature": 0},
                  {"fractions": (1, 0, 0), "penalty_steps": -1, "strength": 0}],
    "2_mlp": [{"block_size": 0, "n_hidden": "200", "sweep_runs": 0, "overfit_rate": float("nan"), "wide_rate": -0.1,
               "fast_batch": 2.5},
              {"max_steps": -1, "wide_steps": -20_000, "temperature": 0, "bench_steps": -1}],
    "3_activations_batchnorm": [
        {"block_size": "3", "n_embd": 0, "n_hidden": 2.5, "log_steps": -1, "log_batch": 1, "log_rate": 0,
         "log_seeds": 0, "dead_neurons": -1, "dead_steps": True, "deep_embd": 2.5, "deep_batch": 1, "deep_gain": 0,
         "deep_steps": -1, "deep_hidden": 0, "deep_rate": float("nan"), "desk_steps": 1.5, "desk_batch": 0,
         "full_rate": "1", "full_steps": -1, "full_batch": 1}],
    "4_backprop": [{"block_size": 0, "n_embd": True, "n_hidden": 2.5, "batch_size": 1, "run_hidden": 0,
                    "run_embd": "ten", "run_batch": 1, "learning_rate": float("nan")},
                   {"max_steps": -1, "mine_steps": -1, "bug_steps": -1}],
    "5_wavenet": [{"window": 0, "log_rate": float("nan"), "log_seeds": 0, "block_size": 0, "tree_hidden": 2.5,
                   "wide_embd": "24", "channels": 0, "stack_batch": 0.5, "dilations": (1, 0)},
                  {"max_steps": -1, "log_steps": -1, "factors": (2, 3), "dropout": 1.0, "ladder_steps": -1},
                  {"factors": "222", "muon_decay": -1, "challenge_steps": -1}],
}


# Every training loop stops after 3 steps, as if ■ were pressed. A figure is drawn, letters and all, but its margins are
# not made to fit, and it is not painted: that would take as long again.
START = """%reset -f
import sys
import mmutils
from IPython.core import pylabtools
some_words = mmutils.data.load_words()[::40]
mmutils.load_words = lambda: list(some_words)
sys.modules["mmutils.steps"]._bar = lambda max_steps, losses, label: range(min(max_steps, sys.stop_after))
def draw(figure, **how):
    figure.set_layout_engine("none")
    figure.draw_without_rendering()
    return "iVBORw0KGgo="
pylabtools.print_figure = draw
"""


@pytest.fixture(scope="module")
def kernels():
    """A kernel for each notebook, used for all its runs: starting one, torch included, takes longer than many a run."""
    with contextlib.ExitStack() as stack:
        @functools.cache
        def kernel_for(path):
            manager, client = start_new_kernel(kernel_name="python3", cwd=str(path.parent),
                                               env=os.environ | {"MMUTILS_TEST": "tell"})
            stack.callback(manager.shutdown_kernel, now=True)
            stack.callback(client.stop_channels)
            return client
        yield kernel_for


def with_settings(cell, settings):
    """The source of a settings cell with other values, and the names of those that it has."""
    source, names = cell.source, []
    for name, value in settings.items() if "parameters" in tags(cell) else ():
        value = f"float('{value}')" if value != value else repr(value)
        source, n = re.subn(rf"^{name} = .*$", f"{name} = {value}", source, flags=re.M)
        names += [name] * n
    return source, names


def error_in(client, source):
    """Execute a cell: its error as (name, message, source), or None. Solutions of exercises get 400 steps."""
    stop_after = 400 if source.startswith("# solution of") else 3
    reply = client.execute_interactive(f"__import__('sys').stop_after = {stop_after}\n{source}", timeout=300,
                                       output_hook=lambda message: None, stop_on_error=False)["content"]
    return (reply["ename"], reply["evalue"], source) if reply["status"] == "error" else None


def run_through(client, path, settings):
    """Execute a notebook with other values in its settings cells and a shorter list, and stop its training early, as a
    reader would: no figure of the lecture's is insisted on. Returns its code cells."""
    cells, found = code_cells(nbformat.read(path, as_version=4)), set()
    assert error_in(client, START) is None
    for cell in cells:
        source, names = with_settings(cell, settings)
        found.update(names)                                     # a name may be set again further down
        assert error_in(client, source) is None
    assert found == settings.keys(), f"there are no settings {sorted(settings.keys() - found)}"
    return cells


@each_notebook
def test_runs_through_with_large_settings(kernels, path):
    run_through(kernels(path), path, LARGE[path.stem])


@each_notebook
def test_runs_through_with_small_settings_and_names_a_wrong_one_in_a_clear_error(kernels, path):
    """After a whole run each settings cell gets wrong values, and the cells after it are run until all were named."""
    client = kernels(path)
    cells = run_through(client, path, SMALL[path.stem])
    for wrong in WRONG[path.stem]:
        found = set()
        for i, cell in enumerate(cells):
            source, names = with_settings(cell, wrong)
            found.update(names)
            told, tried = "", 0
            for other in [source, *(later.source for later in cells[i + 1:])]:
                if all(name in told or name.endswith("_steps") and "max_steps" in told for name in names):
                    break
                kind, message, _ = error_in(client, other) or ("", "", "")
                assert kind != "AssertionError", other
                told += message if kind == "ValueError" else ""
                tried += 1
            else:
                assert not names, f"not told: {names}, but: {told}"
            for again in cells[i:i + tried]:         # as they were, for the cells that come after
                assert error_in(client, with_settings(again, SMALL[path.stem])[0]) is None
        assert found == wrong.keys(), f"there are no settings {sorted(wrong.keys() - found)}"
