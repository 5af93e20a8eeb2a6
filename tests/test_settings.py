"""What the notebooks do when a reader changes their settings: they run on.

tests/settings/*.toml has, for each notebook, two other values for each of its settings. Every training loop stops after
a few steps, through the code that ■ takes; the list is short; figures are drawn, letters and all, but not painted.
"""

import contextlib
import functools
import re
import tomllib

import nbformat
import pytest
from jupyter_client.manager import start_new_kernel

from tests.test_notebooks import ROOT, code_cells, each_notebook, tags

START = """%reset -f
import sys
import mmutils
from mmutils import figures
some_words = mmutils.data.load_words()[::40]
mmutils.load_words = lambda: list(some_words)
sys.modules["mmutils.steps"]._bar = lambda max_steps, losses, label: range(min(max_steps, 3))
def draw(figure):
    figure.set_layout_engine("none")
    figure.draw_without_rendering()
figures._retina = draw
"""


@pytest.fixture(scope="module")
def kernels():
    """A kernel for each notebook, used for all its runs: starting one, torch included, takes longer than many a run."""
    with contextlib.ExitStack() as stack:
        @functools.cache
        def kernel_for(path):
            manager, client = start_new_kernel(kernel_name="python3", cwd=str(path.parent))
            stack.callback(manager.shutdown_kernel, now=True)
            stack.callback(client.stop_channels)
            return client
        yield kernel_for


def with_settings(cell, settings):
    """The source of a settings cell with other values, and the names of those that it has."""
    source, names = cell.source, []
    for name, value in settings.items() if "parameters" in tags(cell) else ():
        source, n = re.subn(rf"^{name} = .*$", f"{name} = {value!r}", source, flags=re.M)
        names += [name] * n
    return source, names


def error_in(client, source):
    """Execute a cell: its error as (name, message, source), or None."""
    reply = client.execute_interactive(source, timeout=300, output_hook=lambda message: None,
                                       stop_on_error=False)["content"]
    return (reply["ename"], reply["evalue"], source) if reply["status"] == "error" else None


def other_settings(path):
    return tomllib.loads((ROOT / "tests" / "settings" / f"{path.stem}.toml").read_text(encoding="utf-8"))


@each_notebook
def test_every_setting_has_two_other_values(path):
    given = {}
    for cell in code_cells(nbformat.read(path, as_version=4)):
        if "parameters" in tags(cell):
            given |= {name: eval(value, {}) for name, value in
                      re.findall(r"^(\w+) = (.+?)  # ", cell.source, re.M)}
    others = other_settings(path)
    assert given and set(others) == {"small", "large"}
    for values in others.values():
        assert set(values) == set(given)
        assert not [name for name, value in values.items() if value == given[name]]
    assert not [name for name in given if others["small"][name] == others["large"][name]]


@each_notebook
@pytest.mark.parametrize("which", ["small", "large"])
def test_runs_through_with_other_settings(kernels, path, which):
    client, settings, found = kernels(path), other_settings(path)[which], set()
    assert error_in(client, START) is None
    for cell in code_cells(nbformat.read(path, as_version=4)):
        source, names = with_settings(cell, settings)
        found.update(names)
        assert error_in(client, source) is None
    assert found == settings.keys()
