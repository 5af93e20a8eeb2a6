"""What the committed notebooks must be, and what they do when a reader changes their settings."""

import ast
import os
import re
from pathlib import Path

import nbformat
import pytest
from jupyter_client.manager import start_new_kernel

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


# ----- other settings -------------------------------------------------------------------------------------------------

# few steps, so that trying other values takes little time
QUICK = {
    "1_bigrams": {},
    "2_mlp": {"overfit_steps": 20, "sweep_steps": 20, "sweep_runs": 2, "first_training": 3, "first_decay": 2,
              "wide_steps": 3, "max_steps": 5, "fast_steps": 3, "size_steps": 3, "bench_steps": 2, "bench_seeds": 2},
}
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
}
LARGE = {
    "1_bigrams": {"seed": 0, "n_names": 50, "fake_count": 10**9, "learning_rate": 1e5, "n_steps": 4, "penalty": 1e3,
                  "penalty_steps": 900, "split_seed": -1, "fractions": (0.998, 0.001, 0.001), "max_context": 12,
                  "strength": 1e9, "temperature": 1e3},
    "2_mlp": {"block_size": 10, "n_embd": 64, "n_hidden": 50, "batch_size": 4096, "overfit_rate": 1e4,
              "sweep_low": -1.0, "sweep_high": 6.0, "first_rate": 1e3, "wide_hidden": 1000, "wide_rate": 1e3,
              "wide_start": 100, "learning_rate": 1e4, "temperature": 100, "fast_batch": 4096, "fast_sgd_rate": 1e4,
              "fast_rate": 10, "small_size": (64, 1), "right_size": (1, 1000), "large_size": (1, 1)},
}
WRONG = {  # two at a time where one error would keep the other from being reached
    "1_bigrams": [{"fake_count": -1, "n_steps": -1, "max_context": 13, "temperature": 0},
                  {"fractions": (1, 0, 0), "penalty_steps": -1, "strength": 0}],
    "2_mlp": [{"block_size": 0, "max_steps": -1, "wide_rate": -0.1, "fast_batch": 2.5},
              {"n_hidden": "200", "sweep_runs": 0, "overfit_rate": float("nan"), "wide_steps": -20_000},
              {"temperature": 0, "bench_steps": -1}],
}


def errors_with(path, settings, *, go_on=False):
    """Execute a notebook with other values in its settings cells, as a reader would: no figure is insisted on.

    Returns the errors as (name, message); stops at the first one unless go_on.
    """
    notebook = nbformat.read(path, as_version=4)
    found = set()
    for cell in notebook.cells:
        if "parameters" in tags(cell):
            for name, value in settings.items():                            # a name may be set again further down
                value = f"float('{value}')" if value != value else repr(value)
                cell.source, n = re.subn(rf"^{name} = .*$", f"{name} = {value}", cell.source, flags=re.M)
                if n:
                    found.add(name)
    assert found == settings.keys(), f"there are no settings {sorted(settings.keys() - found)}"
    manager, client = start_new_kernel(kernel_name="python3", cwd=str(path.parent),
                                       env=os.environ | {"MMUTILS_TEST": "tell"})
    errors = []
    try:
        for cell in code_cells(notebook):
            reply = client.execute_interactive(cell.source, timeout=300, output_hook=lambda message: None,
                                               stop_on_error=False)["content"]
            if reply["status"] == "error":
                errors.append((reply["ename"], reply["evalue"]))
                if not go_on:
                    break
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    return errors


@pytest.mark.parametrize("settings", [SMALL, LARGE], ids=["small", "large"])
@each_notebook
def test_runs_through_with_odd_settings(path, settings):
    assert errors_with(path, QUICK[path.stem] | settings[path.stem]) == []


@pytest.mark.parametrize("path, wrong", [(path, wrong) for path in NOTEBOOKS for wrong in WRONG[path.stem]],
                         ids=lambda value: value.stem if isinstance(value, Path) else ", ".join(value))
def test_a_wrong_setting_is_named_in_a_clear_error(path, wrong):
    errors = errors_with(path, QUICK[path.stem] | wrong, go_on=True)
    assert "AssertionError" not in [name for name, _ in errors]
    messages = "\n".join(message for name, message in errors if name == "ValueError")
    for name in wrong:
        assert ("max_steps" if name.endswith("_steps") else name) in messages, name
