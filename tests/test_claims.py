"""The claims on the notebooks: that a wrong one is found, wherever it is wrong, and that all files are in order."""

import json
import re

import pytest
from jupyter_client.manager import start_new_kernel

from tests import claims
from tests.claims import ClaimError, Page, claims_of, solution_after
from tests.test_notebooks import NOTEBOOKS, each_notebook


@each_notebook
def test_every_claim_hangs_on_a_cell(path):
    assert len(claims_of(path)) >= 10


def test_every_claims_file_belongs_to_a_notebook():
    stems = {path.stem for path in claims.CLAIMS.glob("[0-9]*.toml")}
    assert stems == {path.stem for path in NOTEBOOKS}


def notebook(folder, *ids, kind="code"):
    path = folder / "9_test.ipynb"
    path.write_text(json.dumps({"cells": [{"id": i, "cell_type": kind, "source": "1"} for i in ids]}))
    return path


@pytest.mark.parametrize("ids, toml, told", [
    (["a"], '["b"]\n"one" = { holds = "True" }', "9_test.toml: there is no code cell 'b' in 9_test.ipynb"),
    (["a", "a"], "", "9_test.ipynb: the cell id 'a' stands twice"),
    (["a"], '["a"]\n"one" = { value = "1" }', "cell 'a': 'one' needs value and within, or holds"),
    (["a"], '["a"]\n"one" = { value = "1", within = [2, 1] }', "cell 'a': 'one' has bounds the wrong way round"),
    (["a"], '["a"]\n"one" = { hold = "1" }', "cell 'a': 'one' needs value and within, or holds"),
    (["a"], '["a"\n', "9_test.toml: "),
])
def test_a_claims_file_that_cannot_be_right_is_an_error(tmp_path, monkeypatch, ids, toml, told):
    monkeypatch.setattr(claims, "CLAIMS", tmp_path)
    (tmp_path / "9_test.toml").write_text(toml)
    with pytest.raises(ClaimError, match=re.escape(told)):
        claims_of(notebook(tmp_path, *ids))


def test_a_claim_on_prose_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(claims, "CLAIMS", tmp_path)
    (tmp_path / "9_test.toml").write_text('["a"]\n"one" = { holds = "True" }')
    with pytest.raises(ClaimError, match="no code cell 'a'"):
        claims_of(notebook(tmp_path, "a", kind="markdown"))


@pytest.fixture(scope="module")
def page():
    manager, client = start_new_kernel(kernel_name="python3")
    page = Page(client, "9_test.ipynb")
    page.ask("import random, torch\n"
             "g = torch.Generator().manual_seed(1)\n"
             "answer, x, p = None, 2, torch.tensor([0.5], requires_grad=True)\n"
             "def check(answer):\n    print('it is', answer)\n    return None if answer is None else answer == 4")
    yield page
    client.stop_channels()
    manager.shutdown_kernel(now=True)


@pytest.mark.parametrize("claim", [
    {"value": "x", "within": [2, 2]}, {"value": "p", "within": [0.49, 0.51]}, {"value": "p.mean()", "within": [0, 1]},
    {"holds": "x > 1"}, {"holds": "torch.equal(p, p)"}, {"holds": "(p > 0).all()"}])
def test_a_true_claim_says_nothing(page, claim):
    assert page.check("a", {"one": claim}, within=True) is None


@pytest.mark.parametrize("claim, told", [
    ({"value": "x + 1", "within": [1, 2]}, "one: x + 1 = 3, which is not within 1 to 2"),
    ({"value": "float('nan')", "within": [1, 2]}, "= nan, which is not within 1 to 2"),
    ({"holds": "x > 2"}, "one: x > 2 does not hold"),
    ({"holds": "y > 2"}, "one: NameError: name 'y' is not defined"),
    ({"value": "[1, 2]", "within": [1, 2]}, "one: ")])
def test_a_claim_that_is_not_true_names_notebook_cell_sentence_value_and_bounds(page, claim, told):
    with pytest.raises(ClaimError, match=re.escape("9_test.ipynb, cell 'a': ") + ".*" + re.escape(told)):
        page.check("a", {"one": claim, "right": {"holds": "True"}}, within=True)


def test_bounds_are_asked_of_the_lectures_list_only(page):
    page.check("a", {"one": {"value": "x", "within": [5, 6]}}, within=False)
    with pytest.raises(ClaimError):
        page.check("a", {"one": {"holds": "False"}}, within=False)


@pytest.mark.parametrize("solution, told", [
    ("answer = 5", "the check says False"), ("x = 1", "the check says None"), ("answer = 1 / 0", "ZeroDivisionError")])
def test_a_solution_that_is_wrong_is_found(page, solution, told):
    with pytest.raises(ClaimError, match=f"(?s)cell 'a': its folded solution is not right: .*{told}"):
        page.solve("a", "check(answer)", solution, {}, within=True)


def test_a_claim_may_be_about_what_a_solution_came_to(page):
    true = {"one": {"value": "answer", "within": [4, 4], "solved": True}, "two": {"holds": "x == 3", "solved": True}}
    page.check("a", true, within=True)
    page.solve("a", "check(answer)", "x, answer = 3, 4", true, within=True)
    for claim in ({"value": "answer", "within": [5, 6]}, {"holds": "answer > 4"}):
        with pytest.raises(ClaimError, match="cell 'a': one: .*answer"):
            page.solve("a", "check(answer)", "answer = 4", {"one": claim | {"solved": True}}, within=True)


def test_a_solution_leaves_the_page_as_it_was(page):
    page.ask("random.seed(1); torch.manual_seed(1); g.manual_seed(1)")
    draw = {"drawn": "(random.random(), torch.rand(1).item(), torch.rand(1, generator=g).item(), answer, x)"}
    before = page.ask("", draw)[0]["user_expressions"]
    page.ask("random.seed(1); torch.manual_seed(1); g.manual_seed(1)")
    page.solve("a", "y = 0\ncheck(answer + y)",
               "def double(n):\n    return n + x\nx = random.choice([2, 2]) + 0 * torch.rand(1, generator=g).item()\n"
               "torch.rand(1)\nanswer = double(2)", {}, within=True)
    assert page.ask("", draw)[0]["user_expressions"] == before


def test_a_solution_is_what_is_folded_right_after_its_check():
    folded = "<details><summary>Solution</summary>\n\n```python\na = 1\n```\nand\n```python\nb = 2\n```\n</details>"
    hint = "<details><summary>Hint</summary>\n\n```python\na = 0\n```\n</details>"
    cells = [{"cell_type": "code", "source": "check(a)"}, {"cell_type": "markdown", "source": hint + "\n" + folded},
             {"cell_type": "code", "source": "1"}, {"cell_type": "markdown", "source": hint}]
    assert solution_after(cells, 0) == "a = 1\n\nb = 2\n"
    assert solution_after(cells, 2) is None
    assert solution_after(cells[:1], 0) is None
