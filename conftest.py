"""How the tests run: which list they have, and whether the notebooks' outputs are compared.

Strict, on x86-64 Linux with the lecture's list in data/: nbval compares every output. Lax, elsewhere: every cell runs,
and every assertion holds, on the stand-in data/sampled_names.txt if there is no other list. STRICT=1 in the environment
insists on the first.
"""

import os
import platform
import re
import warnings

import pytest
from xdist.scheduler import LoadFileScheduling

os.environ["OMP_NUM_THREADS"] = "1"      # before torch is imported, here and in the kernels: two processes, two cores


def pytest_configure(config):
    """Fetch the list once, and set nbval to strict or lax. The -n 2 worker processes inherit what was found."""
    if not hasattr(config, "workerinput"):
        from mmutils import load_words
        from mmutils.data import fetch
        why_not = fetch()
        if why_not:
            why_not = f"the lecture's list is not in data/names.txt ({why_not})"
        os.environ["MMUTILS_TEST"] = "tell" if why_not else "raise"
        try:
            with warnings.catch_warnings(action="ignore"):  # of the stand-in: the header tells
                load_words()
        except (ValueError, FileNotFoundError) as unusable:
            raise pytest.UsageError(str(unusable)) from None
        if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
            why_not = why_not or f"this is {platform.system()} {platform.machine()}, they were made on Linux x86_64"
        os.environ["MMUTILS_LAX"] = "" if os.environ.get("STRICT") == "1" else why_not or ""
    config.option.nbval = not os.environ["MMUTILS_LAX"]
    config.option.nbval_lax = not config.option.nbval


def pytest_report_header(config):
    why_not = os.environ["MMUTILS_LAX"]
    return f"notebooks: outputs are not compared, because {why_not}" if why_not else "notebooks: outputs are compared"


def pytest_collection_modifyitems(items):
    """The long ones first, so that both processes end at about the same time."""
    long = ("notebooks/", "tests/test_makemore.py", "tests/test_notebooks.py")
    items.sort(key=lambda item: not item.nodeid.startswith(long))


def pytest_xdist_make_scheduler(config, log):
    """A file runs in one process as a whole, but the runs of tests/test_notebooks.py: each notebook's in one."""
    class ByFileAndNotebook(LoadFileScheduling):
        def _split_scope(self, nodeid):
            notebook = re.search(r"\[(\d_\w+)[]-]", nodeid)
            return super()._split_scope(nodeid) + (f" {notebook[1]}" if notebook else "")

    return ByFileAndNotebook(config, log)
