"""The notebooks run on any list of words: every cell, and every claim that `holds`.

Each on two of six lists, so that each list is tried by at least one: short ones, made of the stand-in's names.
"""

import pytest
from jupyter_client.manager import start_new_kernel

from tests.lists import LISTS, OnList, words_of
from tests.test_notebooks import NOTEBOOKS

ON = {"1": ("devanagari", "few"), "2": ("hyphens", "no-q-no-x"), "3": ("capitals", "few"),
      "4": ("turkish", "devanagari"), "5": ("turkish", "capitals")}
RUNS = [(path, which) for path in NOTEBOOKS for which in ON[path.name[0]]]
STEPS = {"5": 40}       # else 20: E06's solution has to come below a uniform guess


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    """A kernel for all the runs: starting one, torch included, takes as long as many a run."""
    manager, client = start_new_kernel(kernel_name="python3", cwd=str(tmp_path_factory.mktemp("elsewhere")))
    yield client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


@pytest.mark.parametrize(("path", "which"), RUNS, ids=[f"{path.stem}-{which}" for path, which in RUNS])
def test_runs_on_a_list_of_ones_own_and_what_it_says_holds(kernel, tmp_path, path, which):
    file = tmp_path / "my_words.txt"
    file.write_text("\n".join(words_of(which, 600)), encoding="utf-8")
    page = OnList(kernel, path, file)
    problems = page.problems(STEPS.get(path.name[0], 20))
    assert not problems, "\n".join(f"cell {cell!r}: {what}" for cell, what in problems)
    assert page.heads == 1, "the list is named in one place"


def test_each_list_is_tried_and_holds_other_letters():
    assert {which for _, which in RUNS} == set(LISTS)
    letters = {which: set("".join(words_of(which))) for which in LISTS}
    assert "-" in letters["hyphens"] and {" ", "A", "z"} <= letters["capitals"]
    assert not letters["no-q-no-x"] & set("qx") and set("çğıöşü") <= letters["turkish"]
    assert not letters["devanagari"] & set("abcdefghijklmnopqrstuvwxyz") and len(words_of("few")) == 300
