"""Lecture 4's cards and bugs: each has what a learner needs, takes right answers and refuses wrong ones."""

import ast
import contextlib
import inspect
import io
import re

import nbformat
import pytest
from jupyter_client.manager import start_new_kernel

from mmutils.exercises import lecture4
from tests.claims import solution_after
from tests.test_notebooks import ROOT, code_cells
from tests.test_settings import START

BACKPROP = ROOT / "notebooks" / "4_backprop.ipynb"
CELLS = nbformat.read(BACKPROP, as_version=4).cells
NUMBERS = {name: k for k, name in enumerate(lecture4._CARDS, 1)}


def tasks(kind):
    """(id, text, work cell, check cell, solution) of each task whose check cell has an id of this kind."""
    found = [i for i, cell in enumerate(CELLS) if re.fullmatch(rf"{kind}-check", cell.id)]
    for i in found:
        text, place, check, solution = CELLS[i - 2:i + 2]
        assert [cell.cell_type for cell in (text, place, check, solution)] == ["markdown", "code", "code", "markdown"]
        assert place.source.startswith("# your work: ") and place.id == check.id.removesuffix("-check")
        yield place.id, text.source, place, check, solution_after(CELLS, i)


CARDS, BUGS = list(tasks(r"card-\d+(-first|-second)?")), list(tasks(r"bug-\d"))
EXERCISES = list(tasks(r"e0\d"))


def names_of(place):
    """The names that a work cell sets to None."""
    return re.findall(r"^(\w+) = None$", place.source, re.M)


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


def test_there_is_a_card_for_each_gradient_with_the_number_that_the_map_has(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "imgs"))
    import draw
    assert draw.CARDS == NUMBERS and len(NUMBERS) == 26
    seen = []
    for _, text, place, *_ in CARDS:
        heading = re.search(r"^### Cards? ([\d, and]+) · (.+?)  \[▶ ", text, re.M)
        numbers = [int(n) for n in re.findall(r"\d+", heading[1])]
        names = [name.removesuffix("_1") for name in names_of(place)]
        assert [NUMBERS[name.removeprefix("my_d")] for name in names] == numbers
        assert len(names) > 1 or heading[2].startswith(f"`{names[0].removeprefix('my_')}`")
        seen += numbers
    assert sorted(set(seen)) == list(range(1, 27))
    assert {n for n in seen if seen.count(n) == 2} == {NUMBERS["counts"], NUMBERS["bndiff"]}  # a share each


def test_every_card_has_a_hint_a_place_a_check_and_a_folded_solution():
    for _, text, place, check, solution in CARDS:
        names = names_of(place)
        assert re.search(r"<details><summary>Hint.*?</summary>\n\n.+?\n\n</details>", text, re.S)
        for name in names:
            assert f"{name[3:]} = lecture4.right(" in check.source and f'"{name}"' in check.source
        assert stored(solution) - {"k", "j"} == set(names) and not re.search(r"\.grad\b", solution)
        printed = check.outputs[0].text.splitlines()
        assert [line.startswith(f"{name}: not tried yet") for name, line in zip(names, printed, strict=True)]


def test_nothing_before_a_card_gives_its_answer_away():
    """Neither in text that is open, nor in code, nor in an output."""
    def squeezed(text):
        return re.sub(r"\s|\b1\.0\b|\bmy_", "", text)
    for _, _, place, _, solution in CARDS + EXERCISES[:2]:
        before = CELLS[:CELLS.index(place)]
        opened = "\n".join(re.sub(r"<details>.*?</details>", "", cell.source, flags=re.S) for cell in before)
        printed = "\n".join(output.get("text", "") for cell in before for output in cell.get("outputs", []))
        for line in solution.splitlines():
            formula = line.partition("=")[2].strip()
            if formula and not re.fullmatch(r"\w+(\.clone\(\))?|torch\.zeros_like\(\w+\)", formula):
                assert len(formula) < 12 or squeezed(formula) not in squeezed(opened + printed), formula


def test_cards_can_be_filled_in_after_all_has_run():
    """What the answers are made of is not given another value by any cell further down."""
    cells = code_cells(nbformat.read(BACKPROP, as_version=4))
    first = next(i for i, cell in enumerate(cells) if cell.id == "card-1")
    needed = set().union(*(loaded(code) for *_, check, solution in CARDS + EXERCISES
                           for code in (check.source, solution)))
    given = set().union(*(stored(cell.source) for cell in cells[:first]))
    by_checks = {}
    for *_, check, _ in CARDS:
        by_checks |= dict.fromkeys(stored(check.source), check.id)
    assert {"loss", "n", "Xb", "Yb", "W2", "h", "logits"} <= needed & given
    assert {"dlogits", "dh", "dhprebn"} <= needed & by_checks.keys()
    own = {name for _, _, place, *_ in CARDS + EXERCISES for name in names_of(place)}
    for cell in cells[first:]:
        taken_over = stored(cell.source) & needed & (given | by_checks.keys()) - own
        assert all(by_checks.get(name) == cell.id for name in taken_over), (cell.source, taken_over)


def told(source, space):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(source, space)
    return out.getvalue()


@pytest.fixture(scope="module")
def forward():
    """The page's names before card 1."""
    cells = code_cells(nbformat.read(BACKPROP, as_version=4))
    space = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(BACKPROP.parent)
        patch.setenv("MMUTILS_TEST", "1")
        for cell in cells[:next(i for i, cell in enumerate(cells) if cell.id == "card-1")]:
            told(cell.source, space)
    yield space
    told("lecture4.start_over()", space)


def test_cards_as_a_reader_fills_them_in(forward):
    """Some right, some wrong, some not tried, some twice; each goes on from right gradients, whatever came before."""
    space = dict(forward)
    for k, (_, _, place, check, solution) in enumerate(CARDS):
        names = names_of(place)
        spoiled = solution + "".join(f"\n{name} = {name} + 1" for name in names)
        attempts = (solution, "right"), (spoiled, "not yet"), (place.source, "not tried yet")
        for attempt, verdict in (attempts[k % 3], attempts[0]):
            told(attempt, space)
            verdicts = told(check.source, space).splitlines()
            assert all(line.startswith(f"{name}: {verdict}") for name, line in zip(names, verdicts, strict=True))
            for name in names:
                kept = space[name[3:]].clone()
                space[name[3:]] += 1                        # a reader's += on what the page goes on with: the check
                told(check.source, space)                   # sets it right again,
                assert space[name[3:]].equal(kept)
                space[name] = space[name[3:]]               # and handing it back is no answer
                assert f"{name}: not yet. This is the gradient that autograd" in told(check.source, space)
            told(attempt, space)
            told(check.source, space)
    assert told(CARDS[-1][3].source, space).endswith(" 26 of 26 right: all cards are done.\n")
    start_over = next(cell for cell in code_cells(nbformat.read(BACKPROP, as_version=4)) if cell.id == "start-over")
    assert told(start_over.source, space) == "0 of 26 right.\n"
    assert all(space[name] is None for _, _, place, *_ in CARDS for name in names_of(place))
    assert stored(start_over.source) == {name for _, _, place, *_ in CARDS for name in names_of(place)}


def test_the_page_s_own_gradients_are_no_answers_to_exercises_2_and_3(forward):
    space = dict(forward)
    for *_, check, _ in CARDS:
        told(check.source, space)
    for (_, _, place, check, solution), given in zip(EXERCISES[:2], ("dlogits", "dhprebn"), strict=True):
        told(f"{names_of(place)[0]} = {given}", space)
        assert "autograd has computed" in told(check.source, space)
        told(solution, space)
        assert ": right" in told(check.source, space)


def test_exercise_4_s_solution_is_what_trains_where_nothing_was_tried():
    solution = EXERCISES[2][-1]
    assert solution.strip() == inspect.getsource(lecture4.gradients_by_hand).strip().replace(
        "gradients_by_hand", "my_gradients")


@pytest.mark.parametrize("k", range(6))
def test_a_bug_stands_in_the_line_that_is_wrong_and_in_no_other(forward, k):
    _, text, place, check, solution = BUGS[k]
    assert [place.source, check.source] == [f"# your work: bug {k + 1}\nbug{k + 1}_line = None",
                                            f"lecture4.bug({k + 1}, bug{k + 1}_line);"]
    assert check.outputs[0].text.startswith(f"Bug {k + 1}: not tried yet") and len(check.outputs) == 1
    lines = [line[3:] for line in re.search(r"^```text\n(.*?)^```", text, re.S | re.M)[1].splitlines()]
    folded = CELLS[CELLS.index(check) + 1].source
    mended = re.search(r"^```text\n(.*?)^```", folded, re.S | re.M)[1].strip()
    wrong = int(re.fullmatch(rf"bug{k + 1}_line = (\d)\n", solution)[1])
    assert lecture4._BUGS[k + 1][0] == wrong and f"Line {wrong}." in folded

    def verdicts(lines):
        space = dict(forward)
        for *_, card, _ in CARDS:
            told(card.source, space)
        with space["torch"].no_grad():
            told("\n".join(lines), space)
        names = sorted({re.match(r"d\w+", line)[0] for line in lines})
        return [name for name in names
                if ": right" not in told(f'lecture4.gradient({name}, {name[1:]}, loss, "{name}")', space)]
    right = [*lines[:wrong - 1], mended, *lines[wrong:]]
    assert verdicts(lines) and not verdicts(right)
    assert re.match(r"d\w+", lines[wrong - 1])[0] in verdicts(lines)


def test_with_every_answer_in_its_place_the_notebook_runs_and_trains_what_the_reader_wrote():
    """In a kernel, with few steps and a short list, as in test_settings."""
    answers = {place.id: solution for _, _, place, _, solution in CARDS + EXERCISES + BUGS}
    manager, client = start_new_kernel(kernel_name="python3", cwd=str(BACKPROP.parent))
    try:
        outputs = {}
        for cell_id, source in [("", START)] + [(cell.id, answers.get(cell.id, cell.source)) for cell in
                                                code_cells(nbformat.read(BACKPROP, as_version=4))]:
            printed = []
            reply = client.execute_interactive(
                source, timeout=300, stop_on_error=False,
                output_hook=lambda message, to=printed: to.append(message["content"].get("text", "")))["content"]
            assert reply["status"] == "ok", (cell_id, reply.get("evalue"))
            outputs[cell_id] = "".join(printed)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    for task, _, place, check, _ in CARDS + EXERCISES + BUGS:
        lines = outputs[check.id].splitlines()
        assert lines and all(": right" in line for line in lines), outputs[check.id]
        assert len(lines) == len(names_of(place)), task
    assert outputs["card-26-check"].endswith("26 of 26 right: all cards are done.\n")
    assert "Your own gradients will train the net." in outputs["run-net"]
