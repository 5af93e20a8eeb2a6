"""Lecture 4's cards and bugs: each has what a learner needs, and takes right and wrong answers."""

import ast
import contextlib
import io
import re

import nbformat
import pytest

from tests.test_notebooks import ROOT, code_cells


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
