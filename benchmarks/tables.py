"""Writes what benchmarks/results.json holds into the tables of README.md and data/README.md.

A table stands there between `<!-- measured: name -->` and `<!-- end -->`. run.py calls write() whenever it has measured
something; tests/test_notebooks.py holds that no table says anything else.
"""

import json
import re
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parent.parent
READMES = [ROOT / "README.md", ROOT / "data" / "README.md"]

# notebook, title, video, its length, what is built, parameters, dev loss in the video
LECTURES = [
    ("1_bigrams", "Bigrams", "PaCmpygFfXo", "1 h 57", "a table of counts, and a net of one layer that learns it",
     "729", "2.45 on the whole list"),
    ("2_mlp", "MLP", "TCH_1BHY58I", "1 h 15", "embeddings and a hidden layer (Bengio et al. 2003)", "11,897", "2.17"),
    ("3_activations_batchnorm", "Activations, BatchNorm", "P6sfmUTpUmc", "1 h 56",
     "four pictures of the inside of a net; BatchNorm", "47,024", "2.10; its deep net stops early"),
    ("4_backprop", "Backprop by hand", "q8SA3rM6ckI", "1 h 55", "every gradient, and a training without autograd",
     "12,297", "2.11"),
    ("5_wavenet", "WaveNet", "t3YJ5hKiMQ0", "56 min",
     "a tree over eight characters; an answer to the video's challenge", "76,579", "1.99"),
]

# the logs of lectures 3 and 5: a log's name in results.json; where its notebook shows what its own runs came to: cell,
# column and its heading; each net's dev loss in the video
LOGS = [
    ("batchnorm_log", "3_activations_batchnorm", "log-table", 4, "on this page",
     {"start": "2.1682", "softmax fixed": "2.13", "tanh fixed": "2.1027", "Kaiming": "2.1070", "BatchNorm": "2.1048"}),
    ("wavenet_log", "5_wavenet", "harness-table", 2, "dev",
     {"three characters, flat": "2.105", "eight characters, flat": "2.027", "tree, with the bug": "2.029",
      "tree": "2.022", "tree, scaled up": "1.993"}),
]


def table(headings, rows):
    """A Markdown table."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def lectures(r):
    """The five lectures: what each is about, and its dev loss in the video and here."""
    counts, mlp, by_hand, wavenet = r["counts"], r["mlp"], r["by_hand"], r["wavenet"]
    here = [f"{counts['bigram']['dev']:.2f}; four characters, backing off: "
            f"{counts['four characters, backing off']['dev']:.2f}",
            f"{mlp['fast']['dev']:.2f}; longer: {mlp['10,000 steps of 256']['dev']:.2f}",
            f"{r['deep_net']['8,000 steps of 512']['dev']:.2f}, the deep net trained to the end",
            f"{by_hand['hand']['val']:.2f}",
            f"{wavenet['fast']['dev']:.2f}; the challenge: {r['wavenet_challenge']['dev']:.2f}"]
    rows = [[f"[{name[0]} {title}](notebooks/{name}.ipynb)", f"[{length}](https://www.youtube.com/watch?v={video})",
             built, size, loss, ours, f"{r['notebooks'][name]['seconds'] / 60:.1f}"]
            for (name, title, video, length, built, size, loss), ours in zip(LECTURES, here, strict=True)]
    headings = ["notebook", "video", "what you build", "parameters", "dev loss in the video", "here", "minutes"]
    return table(headings, rows)


def on_page(notebook, cell_id, column, heading):
    """A column of a table that a notebook shows."""
    cells = nbformat.read(ROOT / "notebooks" / f"{notebook}.ipynb", as_version=4).cells
    shown = {cell.id: cell for cell in cells}[cell_id].outputs[0]["data"]["text/plain"]
    rows = [re.split(r"\s{2,}", row.strip()) for row in shown.splitlines()]
    if rows[0][column] != heading:
        raise KeyError(f"{heading} of {notebook}")
    return [row[column] for row in rows[2:]]


def logs(r):
    """The logs of lectures 3 and 5: in the video, in full with standard errors, in the notebook's shorter runs."""
    rows = [[notebook[0], net, video, f"{r[log][net]['dev']:.4f} ± {r[log][net]['dev_error']:.4f}", ours]
            for log, notebook, *where, nets in LOGS if log in r
            for (net, video), ours in zip(nets.items(), on_page(notebook, *where), strict=True)]
    return table(["lecture", "net", "in the video", "here, in full", "on the page"], rows)


def speed(r):
    """Ours against the lecture's own way, and how many times as fast it is."""
    one, mlp, by_hand, wavenet, names = (r[name] for name in ("one_layer_step", "mlp", "by_hand", "wavenet",
                                                              "makemore_speed"))
    loops, ours = r["build_dataset"]["block_size_3"], names["names_a_second"]

    def training(run):
        seconds = f"{run['seconds']:.{0 if run['seconds'] >= 10 else 1}f} s"
        return f"{run['steps']:,} steps of {run['batch']}: dev {run['dev']:.2f} in {seconds}"

    rows = [
        ["1", "a step of the one-layer net", f"one-hot vectors: {one['milliseconds_one_hot']:.0f} ms",
         f"from the counts: {one['milliseconds_from_counts']:.2f} ms", f"{one['ratio']:,}"],
        ["2", "the list as a dataset", f"a loop in a loop: {loops['double_loop_seconds']:.2f} s",
         f"`build_dataset`: {loops['seconds']:.2f} s", f"{loops['ratio']:.0f}"],
        ["2", "training the MLP", training(mlp["lecture"]), training(mlp["fast"]),
         f"{mlp['lecture']['seconds'] / mlp['fast']['seconds']:.0f}"],
        ["4", f"{by_hand['hand']['steps']:,} steps", f"with autograd: {by_hand['autograd']['seconds']:.0f} s",
         f"gradients by hand: {by_hand['hand']['seconds']:.0f} s", f"{by_hand['ratio']:.1f}"],
        ["5", "training the tree of 76,579", training(wavenet["lecture"]), training(wavenet["fast"]),
         f"{wavenet['ratio']:.0f}"],
        *(["", f"`makemore.py`, names a second{what}", f"batches of 32, padded: {names[way]:,}",
           f"256 names of like length: {ours:,}", f"{ours / names[way]:.1f}"]
          for what, way in (("", "padded_32_names_a_second"),
                            (", our model both times", "same_model_padded_32_names_a_second")))]
    return table(["lecture", "what", "the lecture's way", "here", "times as fast"], rows)


def makemore(r):
    """What the recipes of makemore.py reach."""
    runs = sorted(r["makemore"].values(), key=lambda run: ("--split" in run["command"], run["val"]))
    return table(["command", "parameters", "val", "test", "minutes"],
                 [[f"`{run['command']}`", f"{run['parameters']:,}", f"{run['val']:.3f}", f"{run['test']:.3f}",
                   f"{max(0.1, run['seconds'] / 60):.1f}"] for run in runs])


def growth(r):
    """How a step of makemore.py grows with the list, and with one long line in a list of 1,000 names."""
    types = r["makemore_growth"]
    columns = list(next(iter(types.values())))
    return table(["type", *(column.removeprefix("a line of ") for column in columns)],
                 [[kind, *(f"{steps[column]['milliseconds_a_step']:,.0f} ms, {steps[column]['peak_megabytes']:,} MB"
                           for column in columns)] for kind, steps in types.items()])


def stand_in(r):
    """Losses on the stand-in list beside those on the lecture's."""
    names = {"bigram": "bigram", "mlp": "MLP", "lstm": "LSTM (one layer of 128 units, 1,000 steps)"}
    return table(["model", "the lecture's list", "the stand-in"],
                 [[title, *(f"{r['stand_in'][name][which]:.3f}" for which in ("list", "stand_in"))]
                  for name, title in names.items()])


def machine(r):
    m = r["machine"]
    return f"{m['system']}, {m['cores']} cores, shared with others, Python {m['python']}, torch {m['torch']}"


TABLES = {f.__name__: f for f in (lectures, logs, speed, makemore, growth, stand_in, machine)}


def filled(text, results):
    """The text of a README with its tables as results has them. A table that lacks a result stays, and it is said."""
    def fill(found):
        try:
            return f"{found[1]}\n\n{TABLES[found[2]](results)}\n\n{found[4]}"
        except KeyError as missing:
            print(f"The table {found[2]!r} stays as it is: {missing} has not been measured yet.")
            return found[0]

    return re.sub(r"(<!-- measured: (\w+) -->)\n((?!<!--).*\n)*(<!-- end -->)", fill, text)


def write(results):
    for path in READMES:
        path.write_text(filled(path.read_text(encoding="utf-8"), results), encoding="utf-8")


if __name__ == "__main__":
    write(json.loads((ROOT / "benchmarks" / "results.json").read_text()))
