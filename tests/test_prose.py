"""Every number in the prose of the notebooks and of the README is held by something that is run or was measured."""

import re

import nbformat
import pytest

import makemore
import mmutils
from tests import claims, prose
from tests.test_notebooks import MEASURED, ROOT, each_notebook


def told(loose):
    """Each number with the words around it, a line each."""
    return "\n".join(f"  {printed}: …{' '.join(text[max(0, text.find(printed) - 80):][:180].split())}…"
                     for printed, text in loose)


@each_notebook
def test_every_number_in_prose_is_held(path):
    loose = prose.unheld(path, MEASURED)
    assert not loose, f"{path.name}: nothing holds\n{told(loose)}"


def test_every_number_of_the_readme_and_of_the_definitions_is_held():
    its_claims = claims.read(claims.CLAIMS / "README.toml")
    words = mmutils.load_words()
    train, val, _ = mmutils.split_words(words)
    space = {"ROOT": ROOT, "measured": MEASURED, "mmutils": mmutils, "makemore": makemore, "val": val,
             "in_train": set(train)}
    for sentence, claim in (its_claims["README"] | its_claims["definitions"]).items():
        if "holds" in claim:
            assert eval(claim["holds"], space), sentence
        elif mmutils.is_lecture_list(words):
            low, high = claim["within"]
            assert low <= eval(claim["value"], space) <= high, sentence
    for page in ("README.md", "notebooks/definitions.md"):
        loose = prose.unheld_in_page(ROOT / page, its_claims, MEASURED)
        assert not loose, f"{page}: nothing holds\n{told(loose)}"


def test_the_videos_figures_are_told_with_what_they_are():
    tables = prose.tomllib.loads((claims.CLAIMS / "video.toml").read_text(encoding="utf-8"))
    assert tables.keys() == {"all", "1", "2", "3", "4", "5"}
    for number, what in ((number, what) for table in tables.values() for number, what in table.items()):
        assert re.fullmatch(r"\d[\d,]*(\.\d+)?", number) and len(what) > 5


def notebook(folder, text, *, code="x = 1", output="", heading="## One", settings=""):
    cells = [nbformat.v4.new_markdown_cell(f"# Title\n\n{heading}"), nbformat.v4.new_markdown_cell("## Before"),
             nbformat.v4.new_code_cell(settings or "y = 1", metadata={"tags": ["parameters"]} if settings else {}),
             nbformat.v4.new_markdown_cell(heading),
             nbformat.v4.new_code_cell(code, outputs=[nbformat.v4.new_output("stream", text=output)] * bool(output)),
             nbformat.v4.new_markdown_cell(text),
             nbformat.v4.new_markdown_cell("## Next"), nbformat.v4.new_code_cell("z = 77.7")]
    path = folder / "9_test.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


@pytest.fixture
def loose(tmp_path, monkeypatch):
    """The numbers that nothing holds in a small notebook."""
    def loose(text, claim="", **how):
        monkeypatch.setattr(prose, "CLAIMS", tmp_path)
        (tmp_path / "video.toml").write_text('["all"]\n"32,033" = "words"\n["9"]\n"2.1682" = "val"\n["8"]\n"8.8" = "x"')
        (tmp_path / "9_test.toml").write_text(claim)
        return [printed for printed, _ in prose.unheld(notebook(tmp_path, text, **how), {"run": {"dev": 1.9876}})]
    return loose


@pytest.mark.parametrize("text, how", [
    ("It is 2.11.", {"output": "loss 2.1054"}), ("Some 21%.", {"output": "share 0.2101"}),
    ("After 200,000 steps", {"settings": "max_steps = 200_000  # as there"}), ("27 rows", {"code": "torch.zeros(27)"}),
    ("three of 12, in 2003", {}), ("the 32,033 words, 2.168 there", {}), ("`3.3` and $5.5$ and [x](8.8)", {}),
    ("Lecture 33, cards 13 to 15, E44, ResNet-50, W55, ▶ 1:13:53; 1 h 57 min. *About 20 minutes.*", {}),
    ("10⁻³, 17,000³", {}), ("−2.5", {"output": "-2.50"}),
    ("by `make bench` 1.99", {}), ("It is 77.7.", {"heading": "## In the video, and here"}),
    ("It is 2.10.", {"claim": '["a"]\n"loss 2.10" = { value = "x", within = [2.05, 2.15] }'}),
    ("It is 61%.", {"claim": '["a"]\n"saturated" = { value = "x", within = [0.6, 0.62], numbers = ["61"] }'}),
    ("It is 44.5.", {"claim": '["a"]\n"44.5 times" = { holds = "x" }'}),
])
def test_a_number_is_held(loose, text, how):
    assert loose(text, **how) == []


@pytest.mark.parametrize("text, how, told", [
    ("It is 2.12.", {"output": "loss 2.1054"}, ["2.12"]), ("It is 77.7.", {}, ["77.7"]), ("by 1.99", {}, ["1.99"]),
    ("13 of 8.8", {}, ["13", "8.8"]), ("9% of it", {"output": "9.4"}, []), ("9% of it", {}, ["9"]),
    ("It is 2.20.", {"claim": '["a"]\n"loss 2.20" = { value = "x", within = [2.05, 2.15] }'}, ["2.20"]),
    ("| a | 3.14 |", {}, ["3.14"]), ("<b>3.14</b>", {}, ["3.14"]), ("step 100", {}, ["100"]),
    ("", {"code": 'ax.set_title("loss 3.14")'}, ["3.14"]), ("", {"code": 'draw(title=f"{x} of 314")'}, ["314"]),
])
def test_a_number_that_nothing_holds_is_named(loose, text, how, told):
    assert loose(text, **how) == told
