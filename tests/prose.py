"""Which numbers in prose nothing holds.

A number in the prose of a notebook, or in a title of one of its figures, is held by
- an output, or a number in the code, of the same section (from one heading of the first or second level to the next);
  or of any settings cell; before the first section, and in a section called "Summary" or "In the video, and here", of
  the whole notebook;
- a claim on that notebook that says it in its sentence or in `numbers`; with `within` it must lie inside the bounds;
- benchmarks/results.json, if its paragraph or table speaks of `make bench` or says "in full";
- the list of the videos' figures, claims/video.toml.
Evidence may have more digits: 2.1054 holds 2.11 and 2.105. A percentage is held by a share, too.

Exempt are whole numbers up to 12, which are used as words; years; numbers in code, formulas and addresses; how long a
video or an exercise takes; and numbers that are names, such as lecture 3, E01, layer 14, ResNet-50.
"""

import ast
import json
import re
import tomllib

import nbformat

from tests.claims import CLAIMS, read

NUMBER = r"(?<![\w.,/])(?<![A-Za-z]-)(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?![\w⁰¹²³⁴⁵⁶⁷⁸⁹⁻]|,\d{3})"
NAMED = (r"\b(?:lectures?|notebooks?|exercises?|cells?|bugs?|cards?|layers?|seeds?|weights?|components?|dimensions?"
         r"|Python|torch|PyTorch|macOS|version)\s+(?:\d[\d.]*(?:,| to| and| or)?\s*)+")
TIMES = r"\b\d+ h(?: \d+)?(?: min)?\b|\b\d+ min\b|\babout \d+ minutes"
EXEMPT = "|".join([
    r"^```.*?^```", r"\$\$.+?\$\$", r"\$[^$\n]+\$", r"``.+?``", r"`[^`]+`", r"<!--.*?-->", r"<[^>]+>",
    r"\]\([^)]*\)", r"▶ [\d:]+", r"https?://\S+", NAMED, TIMES])
SLACK = 1e-9


def prose(text):
    """Markdown without what is no prose: code, formulas, links, tags, names with a number."""
    return re.sub(EXEMPT, " ", text, flags=re.S | re.M | re.I)


def numbers(text):
    """The numbers of a prose that must be held: (as printed, is it a percentage?)."""
    for found in re.finditer(NUMBER, text):
        printed, percent = found[0], re.match(r"\s?(?:%|percent)", text[found.end():]) is not None
        whole = "." not in printed
        value = float(printed.replace(",", ""))
        if not (whole and (value <= 12 or re.fullmatch(r"(19[89]|20[0-3])\d", printed)) and not percent):
            yield printed, percent


def says(evidence, printed, percent=False):
    """Whether a number of the evidence is, rounded, the printed one."""
    value, digits = float(printed.replace(",", "")), len(printed.partition(".")[2])
    return any(abs(abs(e) * factor - value) <= 0.5 * 10**-digits + SLACK
               for e in evidence for factor in ((1, 100) if percent else (1,)))


def printed_numbers(text):
    """The values of all numbers in an output."""
    return {float(n.replace(",", "")) for n in
            re.findall(r"(?<![\w.])(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?", text)}


def in_code(source):
    """The numbers of a cell's code, and its titles and labels: (set of values, text)."""
    tree = ast.parse("\n".join("pass" if line.startswith("%") else line for line in source.splitlines()))
    values = {float(node.value) for node in ast.walk(tree) if isinstance(node, ast.Constant)
              and isinstance(node.value, (int, float)) and not isinstance(node.value, bool)}
    titles = []
    for call in ast.walk(tree):
        if isinstance(call, ast.Call):
            named = [k.value for k in call.keywords if k.arg in ("title", "label", "xlabel", "ylabel", "mark")]
            if isinstance(call.func, ast.Attribute) and re.match("set_(title|[xy]label)|suptitle", call.func.attr):
                named += call.args
            titles += [part.value for value in named for part in ast.walk(value)
                       if isinstance(part, ast.Constant) and isinstance(part.value, str)]
    return values, "\n".join(titles)


def in_outputs(cell):
    """The numbers of what a cell has printed or shown as text."""
    texts = [output.get("text", "") + "\n" + "\n".join(
        re.sub(r"<[^>]+>", " ", text) for kind, text in output.get("data", {}).items()
        if kind in ("text/plain", "text/html", "text/markdown")) for output in cell.outputs]
    return printed_numbers("\n".join(texts))


def in_results(results):
    """All numbers of benchmarks/results.json, those in its names too."""
    return printed_numbers(json.dumps(results))


def claimed(claims):
    """What a file of claims holds: (numbers as printed, bounds or None) of every claim."""
    for its_claims in claims.values():
        for sentence, claim in its_claims.items():
            for text in (sentence, *claim.get("numbers", [])):
                for printed in re.findall(NUMBER, text):
                    yield printed, claim.get("within")


def holds(claims, printed, percent):
    value = float(printed.replace(",", ""))
    for said, within in claims:
        if said.replace(",", "") == printed.replace(",", "") and (within is None or any(
                within[0] - SLACK <= sign * v <= within[1] + SLACK for sign in (1, -1)
                for v in ((value, value / 100) if percent else (value,)))):
            return True
    return False


def video(lecture=None):
    """The figures of one video and those of all; of all videos if lecture is None."""
    tables = tomllib.loads((CLAIMS / "video.toml").read_text(encoding="utf-8"))
    return {float(number.replace(",", "")) for name, table in tables.items()
            if lecture is None or name in ("all", lecture) for number in table}


def sections(cells):
    """The cells of each section, with whether it may use the evidence of the whole notebook."""
    found = [([], True)]
    for cell in cells:
        heading = re.search(r"^##? (.+)", cell.source, re.M) if cell.cell_type == "markdown" else None
        if heading and re.match(r"##? ", cell.source.lstrip()):
            found.append(([], re.search(r"summary|in the video, and here", heading[1], re.I) is not None))
        found[-1][0].append(cell)
    return found


def unheld(path, results):
    """(number, the paragraph that it stands in) of every number in a notebook's prose and titles that nothing holds."""
    cells = nbformat.read(path, as_version=4).cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    evidence = {cell.id: in_code(cell.source)[0] | in_outputs(cell) for cell in code}
    everywhere = set().union(*evidence.values())
    settings = set().union(*(in_code(c.source)[0] for c in code if "parameters" in c.metadata.get("tags", [])))
    known = video(path.name[0]) | settings
    claims, measured = list(claimed(read(CLAIMS / f"{path.stem}.toml"))), in_results(results)
    loose = []
    for k, (part, whole) in enumerate(sections(cells)):
        here = known | set().union(*(evidence[cell.id] for cell in part if cell.cell_type == "code"))
        here |= everywhere if whole or k <= 1 else set()
        for cell in part:
            text = cell.source if cell.cell_type == "markdown" else in_code(cell.source)[1]
            for block in re.split(r"\n\s*\n", re.sub(r"^```.*?^```", "", text, flags=re.S | re.M)):
                full = measured if re.search(r"make bench|in full", block) else set()
                loose += [(printed, block) for printed, percent in numbers(prose(block))
                          if not says(here | full, printed, percent) and not holds(claims, printed, percent)]
    return loose


def unheld_in_page(path, claims, results):
    """The same for a page of markdown such as the README: all of results.json and of the videos may hold it."""
    text = re.sub(r"<!-- measured: .*?<!-- end -->", "", path.read_text(encoding="utf-8"), flags=re.S)
    text = re.sub(r"^```.*?^```", "", text, flags=re.S | re.M)
    evidence, claims = in_results(results) | video(), list(claimed(claims))
    return [(printed, block) for block in re.split(r"\n\s*\n", text) for printed, percent in numbers(prose(block))
            if not says(evidence, printed, percent) and not holds(claims, printed, percent)]
