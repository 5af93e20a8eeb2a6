"""Lists of words in other letters, made from the names of the stand-in; and a notebook run on a list.

    python -m tests.lists hyphens > my_words.txt      a list as a file: 32,000 words
"""

import json
import sys
from pathlib import Path

import nbformat

from tests.claims import ClaimError, Page, claims_of, solution_after

NAMES = Path(__file__).parent.parent / "data" / "sampled_names.txt"
CONSONANTS = dict(zip("bcdfghjklmnpqrstvwxyz", "बचदफगहजकलमनपखरसतवशषयझ", strict=True))
VOWELS = {"a": "अा", "e": "एे", "i": "इि", "o": "ओो", "u": "उु"}      # at the start or after a vowel; as a sign


def halved(name, between, change=str):
    """A name as it is, or with something between its halves if it is long."""
    middle = len(name) // 2 if len(name) > 5 else len(name)
    return between.join(change(half) for half in (name[:middle], name[middle:]) if half)


def devanagari(name):
    return "".join(CONSONANTS.get(ch) or VOWELS[ch][before in CONSONANTS]
                   for before, ch in zip(" " + name, name, strict=False))


# name of the list: what becomes of a name, None if it is left out
LISTS = {
    "hyphens": lambda name: halved(name, "-"),
    "capitals": lambda name: halved(name, " ", str.capitalize),
    "no-q-no-x": lambda name: name if not set(name) & set("qx") else None,
    "turkish": lambda name: name.translate(str.maketrans("cgqwxy", "çğüşöı")),
    "devanagari": devanagari,
    "few": str,
}


def words_of(which, n=None):
    """The first n words of a list, all if None; 300 of "few"."""
    words = filter(None, map(LISTS[which], NAMES.read_text(encoding="utf-8").split()))
    return list(words)[:300 if which == "few" else n]


# Before the first cell: training loops end early, through the code that ■ takes; figures are laid out, not painted.
START = """%reset -f
import sys
import mmutils
from mmutils import figures
sys.modules["mmutils.steps"]._bar = lambda max_steps, losses, label: range(min(max_steps, {steps}))
def draw(figure):
    figure.set_layout_engine("none")
    figure.draw_without_rendering()
figures._retina = draw
"""


class OnList(Page):
    """A notebook in a kernel, on a list of one's own: each `load_words()` in it is given the path of that list."""

    def __init__(self, client, path, file):
        super().__init__(client, path.name)
        self.path, self.file, self.heads = path, str(file), 0

    def own(self, code):
        return code.replace("load_words()", f"load_words({self.file!r})")

    def problems(self, steps=20):
        """Run all cells; what stopped, was warned of or did not hold, as (cell id, what)."""
        found, cells = [], nbformat.read(self.path, as_version=4).cells
        claims = json.loads(self.own(json.dumps(claims_of(self.path))))
        for cell, source in [("start", START.format(steps=steps)),
                             *((cell, self.own(cell.source)) for cell in cells if cell.cell_type == "code")]:
            name = cell if cell == "start" else cell.id
            self.heads += name != "start" and source != cell.source
            stderr = []
            reply = self.client.execute_interactive(
                source, timeout=300, stop_on_error=False, allow_stdin=False,
                output_hook=lambda message, kept=stderr: kept.append(message["content"]["text"])
                if message["content"].get("name") == "stderr" else None)["content"]
            if reply["status"] == "error":
                found.append((name, f"{reply['ename']}: {reply['evalue']}"))
            if stderr:
                found.append((name, "".join(stderr)))
            if name == "start":
                continue
            try:
                its_claims = claims.get(name, {})
                self.check(name, its_claims, within=False)
                if solution := solution_after(cells, cells.index(cell)):
                    self.solve(name, source, self.own(solution), its_claims, within=False)
            except ClaimError as error:
                found.append((name, str(error)))
        return found


if __name__ == "__main__":
    print("\n".join(words_of(sys.argv[1])))
