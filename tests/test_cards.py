"""Lecture 4's cards and bugs: each has what a learner needs, takes right answers and refuses wrong ones."""

import ast
import contextlib
import io
import re

import nbformat
import pytest

from tests.claims import solution_after
from tests.test_notebooks import ROOT, code_cells

BACKPROP = ROOT / "notebooks" / "4_backprop.ipynb"


def parts_of(heading):
    """(match, text, work cell, check cell, solution) of each part whose heading matches."""
    cells = nbformat.read(BACKPROP, as_version=4).cells
    for i, cell in enumerate(cells):
        found = list(re.finditer(heading, cell.source if cell.cell_type == "markdown" else "", re.M))
        if found:
            assert len(found) == 1 and [c.cell_type for c in cells[i + 1:i + 4]] == ["code", "code", "markdown"]
            yield found[0], cell.source[found[0].start():], cells[i + 1], cells[i + 2], solution_after(cells, i + 2)


def cards():
    return list(parts_of(r"^### Card (\d+) · `(d\w+)`.*$"))


def bugs():
    return list(parts_of(r"^### Bug (\d) · "))


def wrong_lines(text):
    """The code of a bug, as its task shows it."""
    return re.search(r"^```python\n(.*?)^```", text, re.S | re.M)[1]


def stored(source):
    """The names that code gives a value to at its top level: not inside functions, classes and comprehensions."""
    inside = (ast.Lambda, ast.ListComp, ast.GeneratorExp, ast.DictComp, ast.SetComp)
    names, todo = set(), list(ast.parse(source).body)
    while todo:
        node = todo.pop()
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif not isinstance(node, inside):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                names.add(node.id)
            todo += ast.iter_child_nodes(node)
    return names


def loaded(source):
    return {node.id for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}


def test_every_card_has_a_place_a_check_a_hint_and_a_folded_solution():
    assert [int(match[1]) for match, *_ in cards()] == list(range(1, 27))
    for match, text, place, check, solution in cards():
        number, name = match[1], match[2]
        assert re.search(r"<details><summary>Hint</summary>\n\n.+?\n\n</details>", text, re.S)
        assert re.fullmatch(rf"# your work: card {number}\b.*\nmy_{name} = None", place.source)
        assert re.fullmatch(rf"{name} = {name[1:]}\.grad\.clone\(\)(  # .+)?\n"
                            rf'lecture4\.gradient\(my_{name}, {name[1:]}, loss, "my_{name}"\)', check.source)
        assert check.outputs[0].text.startswith(f"my_{name}: not tried yet")
        assert stored(solution) == {f"my_{name}"} and not re.search(r"\.grad\b", solution)


def test_every_bug_can_be_looked_for_before_its_verdict_is_seen():
    assert [int(match[1]) for match, *_ in bugs()] == list(range(1, 7))
    for match, text, place, check, solution in bugs():
        number, names = match[1], stored(wrong_lines(text))
        assert place.source.startswith(f"# your work: bug {number}.") and stored(place.source) == names
        assert all(re.match(rf"bug{number}_d\w+$", name) for name in names)
        assert set(re.findall(r"^(bug\d_\w+) = None$", place.source, re.M)) == names == stored(solution)
        assert all(line.startswith("bug") for line in solution.splitlines())
        assert {name: f"{name}: not tried yet" in check.outputs[0].text for name in names} == dict.fromkeys(names, True)


def test_cards_and_bugs_can_be_filled_in_after_all_has_run():
    """What the answers are made of is not given another value by any cell further down."""
    cells = code_cells(nbformat.read(BACKPROP, as_version=4))
    first = next(i for i, cell in enumerate(cells) if cell.id == "card-1")
    parts = cards() + bugs()
    needed = set().union(*(loaded(code) for *_, check, solution in parts for code in (check.source, solution)))
    given = set().union(*(stored(cell.source) for cell in cells[:first]))
    assert {"loss", "n", "V", "Xb", "Yb", "W2", "h", "logits"} <= needed & given
    by_checks = {match[2]: check.id for match, _, _, check, _ in cards()}
    assert {"dlogits", "dh", "dhprebn"} <= needed & by_checks.keys()
    for cell in cells[first:]:
        taken_over = stored(cell.source) & needed & (given | by_checks.keys())
        assert all(by_checks.get(name) == cell.id for name in taken_over), cell.source


def told(source, space):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(source, space)
    return out.getvalue()


def test_cards_and_bugs_as_a_reader_fills_them_in():
    """Some right, some wrong, some not tried, some twice; each goes on from right gradients, whatever came before."""
    cells = code_cells(nbformat.read(BACKPROP, as_version=4))
    space, first = {}, next(i for i, cell in enumerate(cells) if cell.id == "card-1")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(BACKPROP.parent)
        patch.setenv("MMUTILS_TEST", "tell")
        for cell in cells[:first]:
            told(cell.source, space)
    for k, (match, _, place, check, solution) in enumerate(cards()):
        name, mine = match[2], f"my_{match[2]}"
        attempts = (solution, "right"), (f"{solution}\n{mine} = {mine} + 1", "not yet"), (place.source, "not tried yet")
        for attempt, verdict in (attempts[k % 3], attempts[0]):
            told(attempt, space)
            kept = space[name[1:]].grad.clone()
            assert told(check.source, space).startswith(f"{mine}: {verdict}")
            space[name] += 1                            # a reader's += on what the page goes on with: it does no harm,
            assert space[name[1:]].grad.equal(kept)
            told(check.source, space)                   # and the check sets it right again
            assert space[name].equal(kept)
    for _, text, place, check, solution in bugs():
        verdicts = told(f"{place.source}\n{check.source}", space)
        assert verdicts.count("not tried yet") == verdicts.count("\n")
        verdicts = told(wrong_lines(text) + check.source, space)
        assert "not yet" in verdicts.splitlines()[-1]                   # what the folded solution is tried with
        verdicts = told(f"{solution}\n{check.source}", space)
        assert verdicts.count(": right") == verdicts.count("\n") > 0
