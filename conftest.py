"""How the tests run: which list they have, whether outputs are compared, and what is asked after a cell.

Strict, on x86-64 Linux with the lecture's list in data/ and the torch of requirements.txt: nbval compares every output
(tests/outputs.py). Lax, elsewhere: every cell runs, on the stand-in data/sampled_names.txt if there is no other list.
In both, what a notebook says is checked in its kernel (tests/claims.py), but for figures that belong to that list and
that torch. STRICT=1 in the environment insists on the first.
"""

import os
import platform
import re
import signal
import warnings
from importlib.metadata import version
from pathlib import Path

import pytest
from nbval.plugin import IPyNbCell
from xdist.scheduler import LoadFileScheduling

from tests.claims import ClaimError, Page, claims_of, solution_after
from tests.outputs import Output

PINNED = re.search(r"^torch==([\d.]+)", (Path(__file__).parent / "requirements.txt").read_text("utf-8"), re.M)[1]
os.environ["OMP_NUM_THREADS"] = "1"      # before torch is imported, here and in the kernels: two processes, two cores


def pytest_configure(config):
    """Fetch the list once, and set nbval to strict or lax. The -n 2 worker processes inherit what was found."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:       # a shell's background job, and all that it starts
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if not hasattr(config, "workerinput"):
        from mmutils import is_lecture_list, load_words
        from mmutils.data import fetch
        torch = version("torch").split("+")[0]
        why_not = fetch()
        if why_not:
            why_not = f"the lecture's list is not in data/names.txt ({why_not})"
        elif torch != PINNED:
            why_not = f"this is torch {torch}, they were made with torch {PINNED}"
        elif (platform.system(), platform.machine()) != ("Linux", "x86_64"):
            why_not = f"this is {platform.system()} {platform.machine()}, they were made on Linux x86_64"
        os.environ["MMUTILS_TEST"] = "1"
        try:
            with warnings.catch_warnings(action="ignore"):  # of the stand-in: the header tells
                within = is_lecture_list(load_words()) and torch == PINNED      # another torch draws other samples
        except (ValueError, FileNotFoundError) as unusable:
            raise pytest.UsageError(str(unusable)) from None
        os.environ["MMUTILS_WITHIN"] = "1" if within else ""
        os.environ["MMUTILS_LAX"] = "" if os.environ.get("STRICT") == "1" else why_not or ""
    config.option.nbval = not os.environ["MMUTILS_LAX"]
    config.option.nbval_lax = not config.option.nbval


def pytest_report_header(config):
    import torch
    why_not = os.environ["MMUTILS_LAX"]
    return [f"notebooks: outputs are not compared, because {why_not}" if why_not else "notebooks: outputs are compared",
            f"code path: {torch.backends.cpu.get_cpu_capability()}, torch {torch.__version__}" + "".join(
                f", {name}={os.environ[name]}" for name in ("MKL_CBWR", "ONEDNN_MAX_CPU_ISA") if name in os.environ)]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """After a cell of a notebook has run: its claims, and its folded solution if it is the check of an exercise."""
    if not isinstance(item, IPyNbCell):
        return (yield)
    sanitize = item.sanitize
    item.sanitize = lambda text: Output(sanitize(text)) if isinstance(text, str) else text
    result = yield
    cells, cell, name = item.parent.nb.cells, item.cell, item.parent.path.name
    page, within = Page(item.parent.kernel.kc, name), bool(os.environ["MMUTILS_WITHIN"])
    try:
        claims = claims_of(item.parent.path).get(cell.id, {})
        page.check(cell.id, claims, within=within)
        if solution := solution_after(cells, cells.index(cell)):
            page.solve(cell.id, cell.source, solution, claims, within=within)
    except ClaimError as error:
        item.raise_cell_error(str(error))
    return result


def pytest_collection_modifyitems(items):
    """The long ones first, so that both processes end at about the same time."""
    long = ("notebooks/", "tests/test_makemore.py", "tests/test_settings.py")
    items.sort(key=lambda item: not item.nodeid.startswith(long))


def pytest_xdist_make_scheduler(config, log):
    """A file runs in one process as a whole, but the runs of tests/test_settings.py: each notebook's in one."""
    class ByFileAndNotebook(LoadFileScheduling):
        def _split_scope(self, nodeid):
            notebook = re.search(r"\[(\d_\w+)[]-]", nodeid)
            return super()._split_scope(nodeid) + (f" {notebook[1]}" if notebook else "")

    return ByFileAndNotebook(config, log)
