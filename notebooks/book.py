"""Write the course as web pages into book/: python notebooks/book.py [FOLDER], which is what `make book` calls.

nbconvert makes the pages, and math-core the formulas: as MathML, which browsers draw themselves. So no page has a
script, and none fetches anything. From README.md and the notebooks on, each link is followed: a notebook or an .md
becomes a page, a picture is copied, and any other file of the repository becomes a page that shows its text.
"""
import os
import re
import shutil
import sys
from copy import copy
from html import escape
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote

from bs4 import BeautifulSoup
from math_core import LatexToMathML
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from pygments.formatters import HtmlFormatter

ROOT = Path(__file__).resolve().parent.parent
START, PICTURES = Path("README.md"), {".png", ".svg", ".jpg", ".gif"}
PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><link rel="icon" href="data:,">
<title>{title}</title><meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="{top}code.css"><link rel="stylesheet" href="{top}book.css"></head>
<body><header><a href="{top}index.html">The makemore course</a></header><main>{body}</main></body></html>
"""


class Renderer(IPythonRenderer):
    def inline_math(self, body, displaystyle=False):
        return LatexToMathML().convert_with_local_state(body, displaystyle=displaystyle)

    def block_math(self, body):
        return self.inline_math(body, displaystyle=True)


def to_html(markdown):
    return MarkdownWithMath(Renderer(escape=False, exclude_anchor_links=True)).render(markdown)


EXPORTER = HTMLExporter(template_name="basic", filters={"markdown2html": to_html, "clean_html": str.strip},
                        exclude_input_prompt=True, exclude_output_prompt=True)


def main():
    out = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "book")
    pages, waiting = {}, [START, *(path.relative_to(ROOT) for path in ROOT.glob("notebooks/[0-9]_*.ipynb"))]
    while waiting:
        if (path := waiting.pop()) not in pages:
            pages[path] = read(path)
            waiting += [file for _, file, _ in links(path, pages[path]) if file.suffix not in PICTURES]
    ids = {path: {tag["id"] for tag in page(id=True)} for path, page in pages.items()}
    for path, page in pages.items():
        for em in page("em"):   # *Sampling* or [notebook 1](1_bigrams.ipynb), *Sampling*: a section, here or there
            comma, a = [*em.previous_siblings, None, None][:2]
            where, section = a["href"] if str(comma).strip() == "," and a and a.name == "a" else "", slug(em.text)
            if section in ids.get(resolve(path, where)[0], ()):
                em.wrap(page.new_tag("a", href=f"{where}#{section}"))
                if where:
                    a["href"] += f"#{section}"
        for tag, file, section in list(links(path, page)):
            if file.suffix in PICTURES:
                (out / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / file, out / file)
            else:
                tag["href"] = address(file, path.parent) + (f"#{slug(section)}" if section else "")
        (out / path.parent).mkdir(parents=True, exist_ok=True)
        (out / address(path)).write_text(PAGE.format(
            title=escape(page.h1.text), top="../" * (len(path.parts) - 1), body=page), encoding="utf-8")
    light, dark = (HtmlFormatter(style=style).get_style_defs(".highlight") for style in ("default", "github-dark"))
    (out / "code.css").write_text(f"{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}\n", encoding="utf-8")
    shutil.copy(Path(__file__).with_suffix(".css"), out)
    shutil.copy(Path(find_spec("ziamath").origin).parent / "fonts/STIXTwoMath-Regular.ttf", out)
    print(f"{len(pages)} pages. Open {out / 'index.html'} in a browser.")


def read(path):
    """A file of the repository as a page: with ids at its headings, and its contents."""
    if path.suffix == ".ipynb":
        html, _ = EXPORTER.from_filename(ROOT / path)
    else:
        text, language = (ROOT / path).read_text(encoding="utf-8"), "python" if path.suffix == ".py" else "text"
        html = to_html(text if path.suffix == ".md" else f"# {path.name}\n\n~~~~~{language}\n{text}\n~~~~~\n")
    page, entries = BeautifulSoup(html, "html.parser"), ""
    for heading in page(["h1", "h2", "h3"]):
        text = "".join(text for text in heading.strings if not text.find_parent("a")).strip()
        heading["id"] = slug(text)
        if heading.name != "h3" and heading is not page.h1:
            entries += f'<li class="{heading.name}"><a href="#{slug(text)}">{escape(text)}</a></li>'
    for row in page("tr"):      # on a phone, a wide table's cells stand under each other, each with its column's name
        if len(row.text) > 70:
            row.find_parent("table")["class"] = "wide"
        for cell, name in zip(row("td"), row.find_parent("table")("th"), strict=False):
            cell["data-name"] = name.text
    head, line = page.h1, page.h1.find_next("p")
    if line and line.a and not line.find_all(string=re.compile(r"[^\s·]"), recursive=False):
        line.name, head = "nav", line       # ← before · the course · next →, at the end again
        page.append(copy(line))
    if entries:
        head.insert_after(BeautifulSoup(
            f'<details class="contents"><summary>Contents</summary><ul>{entries}</ul></details>', "html.parser"))
    return page


def links(path, page):
    """A page's links to files of the repository: (tag, file, section)."""
    for tag in page(["a", "img"]):
        if not re.match(r"\w+:", where := tag.get("href") or tag.get("src")):
            yield tag, *resolve(path, where)


def resolve(path, where):
    file, _, section = unquote(where).partition("#")
    return Path(os.path.relpath(ROOT / path.parent / (file or path.name), ROOT)), section


def address(path, start="."):
    """Where the page of a file stands in the book, seen from a folder of the book."""
    page = path.with_suffix(".html") if path.suffix in (".md", ".ipynb") else Path(f"{path}.html")
    return os.path.relpath("index.html" if path == START else page, start).replace(os.sep, "/")


def slug(text):
    """A heading as it stands in an address on GitHub."""
    return re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", text.lower()).strip())


if __name__ == "__main__":
    main()
