"""What each notebook says, checked in its kernel after the cell that it is about: tests/claims/*.toml.

    ["gains"]                           # the id of a cell
    "std of the first tanh layer" = { value = 'stats["std"][0]', within = [0.72, 0.78] }
    "the two ways agree"          = { holds = 'torch.allclose(a, b, atol=1e-5)' }

`within` belongs to the lecture's list and the given settings, `holds` to every list. `numbers` names numbers in prose
that the claim holds although its sentence does not say them (tests/prose.py). With `solved = true`, on the check of an
exercise, the claim is about what its folded solution came to.
"""

import json
import re
import tomllib
from pathlib import Path

CLAIMS = Path(__file__).parent / "claims"
VALUE = "float(__import__('torch').as_tensor({value}, dtype=__import__('torch').float64).detach())"
HOLDS = "bool({holds})"


class ClaimError(Exception):
    """A claims file that cannot be right, or a claim that is not true. Says which notebook, cell and sentence."""


def claims_of(notebook):
    """The claims on a notebook (a path), by cell id: {id: {sentence: claim}}, each checked for its form.

    Raises ClaimError for a claim on a cell that is not there, an id that stands twice, and a claim of another form.
    """
    notebook = Path(notebook)
    file = CLAIMS / f"{notebook.stem}.toml"
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    ids = [cell["id"] for cell in cells]
    if twice := sorted({i for i in ids if ids.count(i) > 1}):
        raise ClaimError(f"{notebook.name}: the cell id {twice[0]!r} stands twice.")
    claims = read(file)
    code = {cell["id"] for cell in cells if cell["cell_type"] == "code"}
    if missing := sorted(claims.keys() - code):
        raise ClaimError(f"{file.name}: there is no code cell {missing[0]!r} in {notebook.name}.")
    return claims


def read(file):
    """A claims file as {cell id: {sentence: claim}}. Raises ClaimError for what is no claim."""
    try:
        claims = tomllib.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    except tomllib.TOMLDecodeError as error:
        raise ClaimError(f"{file.name}: {error}") from None
    for cell, its_claims in claims.items():
        for sentence, claim in its_claims.items():
            if set(claim) - {"numbers", "solved"} not in ({"value", "within"}, {"holds"}):
                raise ClaimError(f"{file.name}, cell {cell!r}: {sentence!r} needs value and within, or holds.")
            low, high = claim.get("within", (0, 0))
            if low > high:
                raise ClaimError(f"{file.name}, cell {cell!r}: {sentence!r} has bounds the wrong way round.")
    return claims


def solution_after(cells, i):
    """The code of the folded solution that follows the code cell i at once, or None. cells: of nbformat."""
    if i + 1 >= len(cells) or cells[i + 1]["cell_type"] != "markdown":
        return None
    folded = re.search(r"<details><summary>Solution.*?</details>", cells[i + 1]["source"], re.S)
    blocks = re.findall(r"^```python\n(.*?)^```", folded[0], re.S | re.M) if folded else []
    return "\n".join(blocks) or None


# Runs in the kernel, in a copy of the page's names: what a reader would get who pasted the solution in.
SOLVE = """
import ast, json, random, torch
page = get_ipython().user_ns
space = dict(page)
generators = [g for g in page.values() if isinstance(g, torch.Generator)]
kept = random.getstate(), torch.get_rng_state(), [g.get_state() for g in generators]
try:
    exec(solution, space)
    *before, last = ast.parse(check).body
    exec(compile(ast.Module(before, []), "<check>", "exec"), space)
    verdict = eval(compile(ast.Expression(last.value), "<check>", "eval"), space)
finally:
    random.setstate(kept[0])
    torch.set_rng_state(kept[1])
    for g, state in zip(generators, kept[2]):
        g.set_state(state)
if verdict is not True:
    raise AssertionError(f"with the solution the check says {verdict}")
print("\\x1e" + json.dumps({sentence: eval(asked, space) for sentence, asked in expressions.items()}))
"""


class Page:
    """A notebook in a kernel that has run some of its cells. client: a blocking client of that kernel."""

    def __init__(self, client, name):
        self.client, self.name = client, name

    def ask(self, code, expressions=None):
        """Run code silently and without history: (reply, what it printed)."""
        printed = []
        reply = self.client.execute_interactive(
            code, silent=not code, store_history=False, user_expressions=expressions or {}, allow_stdin=False,
            stop_on_error=False, timeout=600,
            output_hook=lambda message: printed.append(message["content"].get("text", "")))["content"]
        return reply, "".join(printed)

    def check(self, cell, claims, *, within):
        """Check the claims on a cell that has just run. within: also those that need the lecture's list."""
        asked = expressions(claims, within, solved=False)
        if asked:
            answers = self.ask("", asked)[0]["user_expressions"]
            self.judge(cell, claims, {sentence: f"{answer['ename']}: {answer['evalue']}" if answer["status"] != "ok"
                                      else json.loads(re.sub("nan|inf", "NaN", answer["data"]["text/plain"].lower()))
                                      for sentence, answer in answers.items()})

    def solve(self, cell, check, solution, claims, *, within):
        """Run a folded solution, and the check with it, which must say True; then the claims on what it came to."""
        asked = expressions(claims, within, solved=True)
        reply, printed = self.ask(f"exec({SOLVE!r}, "
                                  f"{{'solution': {solution!r}, 'check': {check!r}, 'expressions': {asked!r}}})")
        if reply["status"] != "ok":
            raise ClaimError(f"{self.name}, cell {cell!r}: its folded solution is not right: "
                             f"{reply['ename']}: {reply['evalue']}\n{printed}")
        self.judge(cell, claims, json.loads(printed.rpartition("\x1e")[2]))

    def judge(self, cell, claims, answers):
        """Raise ClaimError for each claim that its answer does not bear out: a bool, a number, or an error (str)."""
        wrong = []
        for sentence, answer in answers.items():
            claim = claims[sentence]
            if isinstance(answer, str):
                wrong.append(f"{sentence}: {answer}")
            elif "holds" in claim and answer is not True:
                wrong.append(f"{sentence}: {claim['holds']} does not hold")
            elif "within" in claim and not claim["within"][0] <= answer <= claim["within"][1]:
                low, high = claim["within"]
                wrong.append(f"{sentence}: {claim['value']} = {answer:.6g}, which is not within {low:g} to {high:g}")
        if wrong:
            raise ClaimError("\n".join(f"{self.name}, cell {cell!r}: {told}" for told in wrong))


def expressions(claims, within, *, solved):
    """What to ask the kernel: {sentence: expression}. within: also what needs the lecture's list."""
    return {sentence: (VALUE if "value" in claim else HOLDS).format(**claim) for sentence, claim in claims.items()
            if claim.get("solved", False) == solved and ("holds" in claim or within)}
