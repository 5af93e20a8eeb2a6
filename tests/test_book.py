"""The web pages of `make book`: no dead link, nothing from elsewhere, and what a browser makes of them on a phone."""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output, writes

ROOT = Path(__file__).parent.parent
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NOTEBOOKS = [path.stem for path in sorted((ROOT / "notebooks").glob("[0-9]_*.ipynb"))]
DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    folder = tmp_path_factory.mktemp("book")
    made = subprocess.run([sys.executable, ROOT / "notebooks/book.py", folder], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    return folder


@pytest.fixture(scope="module")
def pages(book):
    return {path: parsed(path) for path in sorted(book.rglob("*.html"))}


def parsed(path):
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


def test_every_page_is_there_and_leads_to_its_neighbours(book, pages):
    assert book / "index.html" in pages
    for i, stem in enumerate(NOTEBOOKS):
        around = {f"{other}.html" for other in NOTEBOOKS[max(i - 1, 0):i + 2]} - {f"{stem}.html"} | {"../index.html"}
        lines = pages[book / f"notebooks/{stem}.html"]("nav")
        assert [{a["href"] for a in line("a")} for line in lines] == [around] * 2


def test_every_link_and_anchor_resolves(pages):
    ids = {path: [tag["id"] for tag in page(id=True)] for path, page in pages.items()}
    dead = [(path.name, "an id twice", name) for path, names in ids.items() for name in names if names.count(name) > 1]
    for path, page in pages.items():
        for tag in page(["a", "img", "link"]):
            where = tag.get("href") or tag.get("src") or "nowhere.html"
            if not re.match(r"https?:|mailto:|data:", where):
                file, _, anchor = unquote(where).partition("#")
                target = (path.parent / file).resolve() if file else path
                if not target.is_file() or anchor and anchor not in ids.get(target, ()):
                    dead.append((path.name, tag.name, where))
    assert not dead


def test_a_section_named_behind_a_link_is_linked(pages):
    """In [notebook 1](1_bigrams.ipynb), *Sampling*."""
    left = [(path.name, str(em)) for path, page in pages.items() for em in page("em")
            if em.previous_sibling and str(em.previous_sibling).strip() == ","
            and em.previous_sibling.previous_sibling and em.previous_sibling.previous_sibling.name == "a"]
    assert not left


def test_nothing_comes_from_elsewhere(book, pages):
    for path, page in pages.items():
        assert not page(["script", "iframe", "object", "embed", "video", "audio", "base"]), path.name
        for tag in page(["img", "link", "source"]):
            assert not re.match(r"\w+:(?!image/png;|,$)|//", tag.get("src") or tag.get("href")), str(tag)[:200]
            assert not tag.get("srcset")
        assert "url(" not in "".join(tag.get("style", "") for tag in page(True))
    styles = "".join(style.read_text(encoding="utf-8") for style in book.rglob("*.css"))
    assert re.findall(r"@import|url\(.*?\)", styles) == ["url(STIXTwoMath-Regular.ttf)"]


def test_no_formula_is_left_as_it_was_typed(pages):
    assert sum(len(page("math")) for page in pages.values()) >= 50
    for path, page in pages.items():
        assert not page("merror"), path.name
        text = " ".join(text for text in page.strings if not text.find_parent(["pre", "code"]))
        assert not re.findall(r".{0,40}(?:\$|\\[a-z]+\{).{0,40}", text), path.name


@pytest.fixture
def tool(tmp_path, monkeypatch):
    """notebooks/book.py, at work on a folder with a README.md, one notebook and a list."""
    spec = importlib.util.spec_from_file_location("book", ROOT / "notebooks/book.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(sys, "argv", ["book.py"])
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks/1_a.ipynb").write_text(writes(new_notebook(cells=[
        new_markdown_cell("# A & B\n\n[the course](../README.md)\n\nIn *What & why*, and *not* here: $a_b<c_d$.\n\n"
                          "| $x$ |\n|---|\n| `$y` |\n\n## What & why [▶ 0:00](https://example.org)"),
        new_code_cell("draw()", outputs=[new_output("display_data", {"image/png": DOT, "text/plain": ""},
                                                    metadata={"image/png": {"alt": 'a "dot" < 1', "width": 8}})])])))
    (tmp_path / "a list.txt").write_text("~~~\n<b>&amp;\n")
    (tmp_path / "README.md").write_text("# R\n\n[one](notebooks/1_a.ipynb),\n*What\n& why*\n\n[list](a%20list.txt)\n\n"
                                        "[above](#r)\n\n[it](notebooks/1_a.ipynb#What-&-why)")
    return module


def test_pages_of_a_small_course(tool, tmp_path):
    tool.main()
    names = "index.html", "notebooks/1_a.html", "a list.txt.html"
    start, page, text = (parsed(tmp_path / "book" / name) for name in names)
    section = "notebooks/1_a.html#what--why"
    assert [a["href"] for a in start.main("a")] == [section, section, "a list.txt.html", "index.html#r", section]
    assert [em.parent.name for em in start("em") + page("em")] == ["a", "a", "p"]
    assert page.title.text == "A & B" and page.find(id="what--why").name == "h2"
    assert page.img["alt"] == 'a "dot" < 1' and page.img["width"] == "8"
    assert len(page("math")) == 2 and page.td.code.text == "$y"
    assert text.pre.text.strip() == "~~~\n<b>&amp;"


# What Chromium says of each page, in a frame as wide as a phone: lists of what is wrong.
MEASURE = """
<meta charset="utf-8"><body><script>
const found = {};
async function look(address) {
    const frame = document.createElement("iframe"), mine = found[address] = {}, name = e => e.outerHTML.slice(0, 160);
    frame.style = "border: 0; width: 375px; height: 800px";
    const loaded = new Promise(done => frame.onload = done);
    frame.src = address;
    document.body.append(frame);
    await loaded;
    const page = frame.contentDocument, box = e => e.getBoundingClientRect();
    const all = (what, wrong = () => true) => [...page.querySelectorAll(what)].filter(wrong);
    const style = (e, what) => frame.contentWindow.getComputedStyle(e).getPropertyValue(what);
    await page.fonts.ready;
    mine.colours = [style(page.body, "background-color"), style(page.querySelector("h1"), "color")];
    mine.unfolded = all("details", e => e.lastElementChild.checkVisibility()).map(name);
    all("details").forEach(e => e.open = true);
    mine.stays_folded = all("details", e => !e.lastElementChild.checkVisibility()).map(name);
    mine.width = page.documentElement.scrollWidth;
    all("pre, math[display=block]", e => style(e, "overflow-x") == "auto").forEach(e => e.classList.add("scrolls"));
    mine.too_wide = all("main *", e => box(e).right > 376 && !e.parentElement.closest(".scrolls")).map(name);
    mine.cut_off = all("main *", e => e.scrollWidth > e.clientWidth && style(e, "overflow-x") == "hidden").map(name);
    mine.pictures = all("img", e => !e.naturalWidth || !box(e).height).map(name);
    mine.formulas = all("math", e => !box(e).height).map(name);
    mine.fractions = all("mfrac", e => box(e.children[0]).bottom > box(e.children[1]).top + 1).map(name);
    mine.brackets = all("mtable", e => box(e.previousElementSibling).height < box(e).height * .9).map(name);
    mine.from = [...new Set(frame.contentWindow.performance.getEntriesByType("resource").map(
        e => e.name.split(":")[0]))].filter(e => !["file", "data"].includes(e));
    frame.remove();
}
(async () => {
    for (const address of ADDRESSES) await look(address);
    document.body.innerHTML = "<pre></pre>";
    document.querySelector("pre").textContent = JSON.stringify(found);
})();
</script></body>
"""


@pytest.mark.skipif(not CHROMIUM, reason="needs Chromium")
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_in_a_browser_as_wide_as_a_phone(book, pages, tmp_path, dark):
    addresses = [path.relative_to(book).as_posix() for path in pages]
    (book / "measure.html").write_text(MEASURE.replace("ADDRESSES", json.dumps(addresses)), encoding="utf-8")
    done = subprocess.run([CHROMIUM, "--headless", "--no-sandbox", "--hide-scrollbars", f"--user-data-dir={tmp_path}",
                           "--allow-file-access-from-files", "--host-resolver-rules=MAP * ~NOTFOUND",
                           f"--blink-settings=preferredColorScheme={0 if dark else 1}", "--enable-logging=stderr",
                           "--virtual-time-budget=60000", "--dump-dom", (book / "measure.html").as_uri()],
                          capture_output=True, text=True, timeout=55)
    assert not re.findall(r"CONSOLE.*", done.stderr)
    found = json.loads(BeautifulSoup(done.stdout, "html.parser").pre.text)
    assert list(found) == addresses
    for address, measured in found.items():
        assert measured.pop("width") == 375, (address, measured["too_wide"])
        page, text = (sum(map(int, re.findall(r"\d+", colour)[:3])) / 3 for colour in measured.pop("colours"))
        assert page < 60 and text > 180 if dark else page > 240 and text < 80, address
        assert not [(what, seen) for what, seen in measured.items() if seen], address
