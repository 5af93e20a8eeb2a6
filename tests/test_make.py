"""What the Makefile promises: its list, JupyterLab on notebook 1, blank copies, a notebook brought back.

And what people use who have no make, or another system.
"""

import importlib.util
import json
import os
import re
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import nbformat
import pytest
import torch
import yaml  # jupyterlab brings it
from packaging.requirements import Requirement

import mmutils

ROOT = Path(__file__).parent.parent
MADE_FOR = ROOT / ".venv/made-for"
MADE_OF = [(ROOT / name).read_text("utf-8") for name in ("requirements.txt", "pyproject.toml")]
WANTED = "".join([f"{ROOT.resolve()}\n", *MADE_OF])
needs_make = pytest.mark.skipif(not shutil.which("make") or not MADE_FOR.exists() or
                                MADE_FOR.read_text("utf-8") != WANTED,
                                reason="needs make, and a .venv that `make test` has set up")


def make(*args, **kwargs):
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(["make", *args], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, **kwargs)


@pytest.fixture
def tool(tmp_path, monkeypatch):
    """notebooks/make.py, at work in a folder of its own with a copy of notebook 1."""
    spec = importlib.util.spec_from_file_location("make_notebooks", ROOT / "notebooks/make.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (tmp_path / "notebooks").mkdir()
    shutil.copy(ROOT / "notebooks/1_bigrams.ipynb", tmp_path / "notebooks")
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "HERE", tmp_path / "notebooks")
    return module


@needs_make
def test_help_lists_every_target():
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text("utf-8"), re.M)[1].split()
    listed = re.findall(r"^  make (\w+)", make("help").stdout, re.M)
    assert sorted(listed) == sorted(set(phony) - {"setup"})


def test_the_readme_has_the_plain_command_of_every_target():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    readme = (ROOT / "README.md").read_text("utf-8")
    recipes = re.findall(r"^(\w+): setup  ##.*\n\t@\$\(PY\) (.+)$", makefile, re.M)
    assert len(recipes) == len(re.findall(r"^\w+: setup", makefile, re.M))
    for target, command in recipes:
        number = "NB" in command
        plain = re.sub(r" \$\((AS_ROOT|TEST_ARGS|LAB_ARGS|BENCH)\)", "", command)
        plain = plain.replace("$(NB)", "1").replace("$(URL)", re.search("^URL := (.+)", makefile, re.M)[1])
        plain = f"python {plain}".replace("python -m jupyterlab", "jupyter lab")
        assert f"| `make {target}{' NB=1' * number}` | `{plain}` |" in readme


@pytest.mark.parametrize("system, machine, version", [
    ("linux", "x86_64", "2.13.0"), ("linux", "aarch64", "2.13.0"), ("win32", "AMD64", "2.13.0"),
    ("darwin", "arm64", "2.13.0"), ("darwin", "x86_64", "2.2.2")])
def test_each_system_gets_one_torch(system, machine, version):
    lines = re.sub(r"(^|\s)#.*", "", (ROOT / "requirements.txt").read_text("utf-8"), flags=re.M).splitlines()
    wanted = [Requirement(line) for line in lines if line.strip() and not line.startswith("-")]
    environment = {"sys_platform": system, "platform_machine": machine}
    taken = {r.name: str(r.specifier) for r in wanted if r.marker is None or r.marker.evaluate(environment)}
    assert taken["torch"] == f"=={version}" and ("numpy" in taken) == (version == "2.2.2")
    assert all(pin.startswith("==") for pin in taken.values())


def test_an_optimiser_of_an_old_torch_does_without_its_fused_form():
    class Old(torch.optim.AdamW):
        def __init__(self, params, lr=1e-3, *, fused=None):
            assert fused is None, "this torch has none on a CPU"
            super().__init__(params, lr)

    p = torch.ones(2, requires_grad=True)
    mmutils._ignore_fused(Old)
    assert Old([p], 0.1, fused=True).defaults["lr"] == 0.1
    assert torch.optim.AdamW([p], fused=True).defaults["fused"]


def test_the_workflow_and_the_issue_form_can_be_read():
    workflow = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text("utf-8"))
    matrix = workflow["jobs"]["test"]["strategy"]["matrix"]
    assert [name.split("-")[0] for name in matrix["os"]] == ["ubuntu", "macos", "windows"]
    assert matrix["python"] == ["3.11", "3.13"]
    form = yaml.safe_load((ROOT / ".github/ISSUE_TEMPLATE/number.yml").read_text("utf-8"))
    assert form["name"] and form["description"] and all("label" in part["attributes"] for part in form["body"])


@needs_make
def test_a_second_set_up_installs_nothing():
    before = MADE_FOR.stat().st_mtime_ns
    assert make("setup").stdout == ""
    assert MADE_FOR.stat().st_mtime_ns == before


@needs_make
def test_lab_opens_on_notebook_1():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    args = f"--no-browser --ServerApp.ip=127.0.0.1 --ServerApp.port={port} --IdentityProvider.token=abc"
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    lab = subprocess.Popen(["make", "lab", f"LAB_ARGS={args}"], cwd=ROOT, env=env, start_new_session=True,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        answer = None
        deadline = time.monotonic() + 60
        while answer is None and time.monotonic() < deadline and lab.poll() is None:
            try:
                answer = urllib.request.urlopen(f"http://127.0.0.1:{port}/?token=abc", timeout=10)
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.3)
        assert answer is not None, "JupyterLab did not answer"
        assert "/lab/tree/notebooks/1_bigrams.ipynb" in answer.url
        for path in ("notebooks/1_bigrams.ipynb", "imgs/1_next_character.png"):     # its root is the project's
            address = f"http://127.0.0.1:{port}/api/contents/{path}?content=0&token=abc"
            found = urllib.request.urlopen(address, timeout=10)
            assert json.load(found)["path"] == path
    finally:
        os.killpg(lab.pid, 15)
        lab.wait(20)


def test_blank_copies_have_empty_code_cells_and_are_never_overwritten(tool, tmp_path, capsys):
    path = tmp_path / "notebooks/1_bigrams.ipynb"
    assert tool.blank(path)
    copy = tmp_path / "blank/1_bigrams.ipynb"
    original, blank = nbformat.read(path, as_version=4), nbformat.read(copy, as_version=4)
    nbformat.validate(blank)
    assert [c.cell_type for c in blank.cells] == [c.cell_type for c in original.cells]
    for old, new in zip(original.cells, blank.cells, strict=True):
        if new.cell_type == "code":
            assert new.source == "" and new.outputs == [] and new.execution_count is None
        else:
            assert new.source == old.source
    copy.write_text("somebody's work")
    assert tool.blank(path)
    assert copy.read_text() == "somebody's work"
    assert "left alone" in capsys.readouterr().out


def test_fresh_brings_a_notebook_back_and_keeps_the_readers(tool, tmp_path, capsys):
    path = tmp_path / "notebooks/1_bigrams.ipynb"
    assert not tool.fresh(path)                             # no git here yet: nothing is touched
    assert "git" in capsys.readouterr().out
    committed = path.read_bytes()
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "one"]):
        subprocess.run([*git, *command], cwd=tmp_path, check=True)
    assert tool.fresh(path) and not (tmp_path / "kept").exists()
    path.write_text("changed")
    assert tool.fresh(path)
    assert path.read_bytes() == committed
    assert [kept.read_text() for kept in (tmp_path / "kept").iterdir()] == ["changed"]


def test_run_strips_metadata_but_tags_sizes_and_alts_and_keeps_a_failing_notebook_as_it_was(tool, tmp_path, capsys):
    nb = nbformat.v4.new_notebook(metadata={"widgets": {"a": 1}, "kernelspec": {"name": "other", "display_name": "x"}})
    nb.cells = [nbformat.v4.new_code_cell("print(1)", metadata={"tags": ["parameters"], "collapsed": True}),
                nbformat.v4.new_code_cell("import matplotlib.pyplot as plt, mmutils\nmmutils.use_style()\n"
                                          "plt.plot([1, 2])\nplt.show()",
                                          metadata={"jupyter": {"source_hidden": True}, "alt": "a line that rises"}),
                nbformat.v4.new_code_cell("plt.plot([1, 2])\nplt.show()\nplt.plot([2, 1])\nplt.show()",
                                          metadata={"alt": ["up", "down"]}),
                nbformat.v4.new_code_cell("import ipywidgets\nipywidgets.IntSlider()")]
    path = tmp_path / "notebooks/7_small.ipynb"
    nbformat.write(nb, path)
    assert tool.run(path)
    done = nbformat.read(path, as_version=4)
    assert done.metadata == tool.METADATA
    assert [dict(cell.metadata) for cell in done.cells] == [{"tags": ["parameters"]}, {"alt": "a line that rises"},
                                                           {"alt": ["up", "down"]}, {}]
    assert done.cells[0].outputs[0].text == "1\n"
    assert done.cells[1].outputs[0].data["image/png"] and not done.cells[3].outputs
    assert [output.metadata for cell in done.cells[1:3] for output in cell.outputs] == [
        {"image/png": {"width": 864, "height": 326, "alt": alt}} for alt in ("a line that rises", "up", "down")]
    assert [cell.execution_count for cell in done.cells] == [1, 2, 3, 4]

    done.cells[0].source = "1 / 0"
    nbformat.write(done, path)
    before = path.read_bytes()
    assert not tool.run(path)
    assert path.read_bytes() == before
    assert "ZeroDivisionError" in capsys.readouterr().out


def test_rerun_finds_a_cell_that_gives_another_output_the_second_time(tool, tmp_path, capsys):
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("n = 0"), nbformat.v4.new_code_cell("print(n)")])
    path = tmp_path / "notebooks/7_small.ipynb"
    nbformat.write(nb, path)
    assert tool.rerun(path)
    nb.cells[1].source = "n += 1\nprint(n)"
    nbformat.write(nb, path)
    assert not tool.rerun(path)
    assert "code cell 2" in capsys.readouterr().out
