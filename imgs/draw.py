"""Draws the pictures in this folder: `make imgs`. On one machine the bytes are the same each time."""

import json
import math
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import torch
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch

from mmutils import use_style
from mmutils.figures import BLUE, GREY, ORANGE

HERE = Path(__file__).resolve().parent


def main():
    matplotlib.use("Agg")
    use_style()
    for name, draw in {"road.png": road, "1_next_character.png": next_character, "2_network.png": network,
                       "2_strides.png": strides, "3_batchnorm.png": batchnorm, "4_atoms.png": atoms,
                       "4_broadcast.png": broadcast, "5_flat_and_tree.png": flat_and_tree,
                       "5_dilated_stack.png": dilated_stack}.items():
        fig = draw()
        fig.savefig(HERE / name, dpi=150, metadata={"Software": None})
        plt.close(fig)
        print(f"imgs/{name}: {(HERE / name).stat().st_size // 1024} KB")


def box(ax, x, y, text, *, face="white", edge="#94a4a2", color="black"):
    """A letter in a square box around (x, y)."""
    ax.add_patch(FancyBboxPatch((x - 0.38, y - 0.36), 0.76, 0.72, boxstyle="round,pad=0,rounding_size=0.12",
                                facecolor=face, edgecolor=edge))
    ax.text(x, y - 0.02, text, ha="center", va="center", color=color, fontsize=12)


def road():
    """The dev losses of the course from the bigram to the Transformer, from what `make bench` has measured."""
    measured = json.loads((HERE.parent / "benchmarks" / "results.json").read_text())
    stops = [  # name, the dev loss in the lecture's video (None: it has none on this split), ours
        ("1 · Bigrams", "pairs, counted", None, measured["counts"]["bigram"]["dev"]),
        ("2 · MLP", "3 characters", 2.170, measured["mlp"]["fast"]["dev"]),
        ("3 · BatchNorm", "6 layers deep", 2.105, measured["deep_net"]["8,000 steps of 512"]["dev"]),
        ("4 · Backprop", "by hand", 2.110, measured["by_hand"]["hand"]["val"]),
        ("5 · WaveNet", "8 characters", 1.993, measured["wavenet"]["fast"]["dev"]),
        ("5 · challenge", "whole names", None, measured["wavenet_challenge"]["dev"]),
        *(("makemore.py", name, None, measured["makemore"][f"lecture split: {name.lower()}"]["val"])
          for name in ("Transformer", "GRU", "LSTM"))]
    fig, ax = plt.subplots(figsize=(9, 3.7))
    ours = [stop[3] for stop in stops]
    ax.plot(ours[:6], color=BLUE, linewidth=2, alpha=0.5, zorder=1)
    ax.plot(range(6, len(ours)), ours[6:], color=ORANGE, linewidth=2, alpha=0.5, zorder=1)
    for k, (name, what, video, loss) in enumerate(stops):
        ax.plot(k, loss, "o", color=ORANGE if name == "makemore.py" else BLUE, markersize=9, zorder=3)
        below = video is not None and video > loss + 0.02  # the ring would be in the way
        ax.text(k + 0.1, loss - 0.05 if below else loss + 0.022, f"{loss:.2f}", va="bottom", fontsize=10, weight="bold",
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5}, zorder=1)
        ax.text(k, 1.79, f"{name}\n{what}", ha="center", va="center", fontsize=8.5, linespacing=1.5)
        if video is not None:
            ax.plot(k, video, "o", markerfacecolor="none", markeredgecolor="#4a5553", markersize=13, zorder=4)
    counted = measured["counts"]["four characters, backing off"]["dev"]
    ax.axhline(counted, color=GREY, linestyle="--", linewidth=1.2, zorder=0)
    ax.text(-0.35, counted - 0.012, f"four characters, counted: {counted:.2f}", va="top", fontsize=9, color="#4a5553")
    ax.text(-0.35, 2.565, f"↑ knowing nothing: ln 27 = {math.log(27):.2f}", fontsize=9, color="#4a5553", va="center")
    for label, style in (("a lecture, here", {"color": BLUE, "markersize": 8}),
                         ("in its video", {"markerfacecolor": "none", "markeredgecolor": "#4a5553", "markersize": 11}),
                         ("makemore.py", {"color": ORANGE, "markersize": 8})):
        ax.plot([], [], "o", label=label, **style)
    ax.legend(loc="upper right", ncols=3, fontsize=9, handletextpad=0.3)
    ax.set(xlim=(-0.55, len(stops) - 0.45), ylim=(1.72, 2.6), xticks=[], yticks=[1.9, 2.0, 2.1, 2.2, 2.3, 2.4, 2.5],
           ylabel="dev loss (nats per character)",
           title="How surprised each model is by what comes next (lower is better)")
    ax.grid(axis="x", visible=False)
    return fig


def next_character():
    """Which characters each model of the course sees when it predicts the one after '.isabe'."""
    fig, ax = plt.subplots(figsize=(8, 2.7))
    seen = "...isabe"
    models = [("lecture 1: bigram", 1), ("lectures 2 to 4: MLP", 3), ("lecture 5: WaveNet", 8),
              ("makemore.py: RNN, LSTM, Transformer", None)]
    for row, (name, context) in enumerate(models):
        y = len(models) - 1 - row
        ax.text(-0.8, y, name, ha="right", va="center", fontsize=10)
        first = len(seen) - context if context else seen.rindex(".")
        for i, ch in enumerate(seen):
            if i >= first:
                box(ax, i, y, ch, face="#dbe9f6", edge=BLUE)
            elif i >= seen.rindex("."):
                box(ax, i, y, ch, color="#c3cbca", edge="#e3e8e7")
        ax.add_patch(FancyArrowPatch((len(seen) - 0.5, y), (len(seen) + 0.5, y), arrowstyle="->", mutation_scale=12))
        box(ax, len(seen) + 1, y, "?", face="#fff1d6", edge=ORANGE)
    ax.text(3.5, len(models) - 0.3, "the characters so far, and what each model sees of them", ha="center", fontsize=9)
    ax.text(len(seen) + 1, len(models) - 0.3, "next?", ha="center", fontsize=9)
    ax.set(xlim=(-6.4, len(seen) + 1.7), ylim=(-0.6, len(models)), aspect="equal")
    ax.axis("off")
    return fig


def network():
    """The network of Bengio et al. 2003, with the lecture's sizes."""
    fig, ax = plt.subplots(figsize=(8, 5.2))
    trained = {"facecolor": "#dbe9f6", "edgecolor": BLUE}
    columns = [-3.0, 0.0, 3.0]

    def slab(x, y, width, text, **style):
        ax.add_patch(FancyBboxPatch((x - width / 2, y - 0.3), width, 0.6,
                                    boxstyle="round,pad=0,rounding_size=0.1", **style))
        ax.text(x, y - 0.02, text, ha="center", va="center", fontsize=10)

    def arrow(x0, y0, x1, y1, **style):
        ax.add_patch(FancyArrowPatch((x0, y0), (x1, y1), arrowstyle="->", mutation_scale=12, color="#4a5553", **style))

    plain = {"facecolor": "white", "edgecolor": GREY}
    for x, ch, index in zip(columns, "emm", (5, 13, 13), strict=True):
        box(ax, x, 0, ch)
        ax.text(x + 0.5, -0.02, f"= {index}", va="center", fontsize=10)
        arrow(x, 0.4, x, 1.0)
        ax.text(x + 0.12, 0.66, f"row {index}", va="center", fontsize=9, color="#4a5553")
        slab(x, 1.4, 1.7, f"C[{index}]", **trained)
        arrow(x, 1.75, x, 2.4)
    ax.plot([columns[0] + 0.9, columns[-1] - 0.9], [1.4, 1.4], color=BLUE, linestyle=":", zorder=0)
    slab(0, 2.75, 7.8, "the three embeddings side by side: 3 × 2 = 6 numbers", **plain)
    arrow(0, 3.1, 0, 3.75)
    slab(0, 4.1, 7.8, "hidden layer: tanh(emb @ W1 + b1), 100 neurons", **trained)
    arrow(0, 4.45, 0, 5.1)
    slab(0, 5.45, 7.8, "output layer: h @ W2 + b2, 27 logits", **trained)
    arrow(0, 5.8, 0, 6.45)
    slab(0, 6.8, 7.8, "softmax: the probability of each next character", facecolor="#fff1d6", edgecolor=ORANGE)
    for y, text in ((0, "context: three characters"), (1.4, "one table C (27, 2),\nshared by all places"),
                    (4.1, "W1 (6, 100), b1 (100)"), (5.45, "W2 (100, 27), b2 (27)"),
                    (6.8, "for “emma”, the next\nshould be “a”")):
        ax.text(4.4, y, text, va="center", fontsize=9.5)
    ax.set(xlim=(-4.2, 7.6), ylim=(-0.5, 7.3), aspect="equal")
    ax.axis("off")
    return fig


def strides():
    """One storage, and shapes and strides that walk it: with the numbers that torch gives."""
    fig, ax = plt.subplots(figsize=(8, 5.4))
    a = torch.arange(18)
    shades = ["#dbe9f6", "#fff1d6", "#e5dcf3"]

    def cell(x, y, value, size=0.72):
        ax.add_patch(FancyBboxPatch((x - size / 2, y - size / 2), size, size, edgecolor="#94a4a2",
                                    boxstyle="round,pad=0,rounding_size=0.08", facecolor=shades[value // 6]))
        ax.text(x, y - 0.02, str(value), ha="center", va="center", fontsize=10)

    def caption(x, y, view, what):
        ax.text(x, y, f"{what}\nshape {tuple(view.shape)}, strides {view.stride()}", fontsize=9.5, va="bottom")

    ax.text(-0.4, 0.75, "storage: 18 numbers in a row, in memory", fontsize=9.5, va="bottom")
    for i, value in enumerate(a.tolist()):
        cell(i * 0.95, 0, value)
    views = [(0, a.view(9, 2), "a.view(9, 2)"), (5.2, a.view(3, 3, 2), "a.view(3, 3, 2): like emb"),
             (11.2, a.view(3, 6), "… .view(3, 6): like the input of W1")]
    top = -2.8
    for x, view, what in views:
        caption(x - 0.4, top + 0.65, view, what)
        if view.dim() == 2:
            for r, row in enumerate(view.tolist()):
                for c, value in enumerate(row):
                    cell(x + 0.8 * c, top - 0.8 * r, value)
        else:
            for b, block in enumerate(view.tolist()):
                for r, row in enumerate(block):
                    for c, value in enumerate(row):
                        cell(x + 0.8 * c, top - 0.8 * r - 2.7 * b, value)
                ax.text(x + 1.5, top - 0.8 - 2.7 * b, f"example {b}:\n3 characters,\n2 numbers each", fontsize=8.5,
                        va="center", color="#4a5553")
    ax.text(11.2 - 0.4, top - 3.0, "Row 1 of it is 6 7 8 9 10 11:\nthe same six numbers, in the\nsame order. Nothing "
            "has moved;\nonly the note of shape and\nstrides is another one.", fontsize=9.5, va="top")
    ax.set(xlim=(-0.7, 17), ylim=(top - 2.7 * 2 - 2.2, 1.4), aspect="equal")
    ax.axis("off")
    return fig


def batchnorm():
    """Lecture 3: the four steps of BatchNorm on one neuron's column of numbers."""
    fig, ax = plt.subplots(figsize=(8, 3.4))
    column = torch.tensor([5.0, 1.0, 4.0, 2.0, 3.0])
    centred = column - column.mean()
    standard = centred / column.std()
    stages = [("hpreact", column, "one neuron,\nfive examples"), ("− mean", centred, f"mean {column.mean():.1f}"),
              ("÷ std", standard, f"std {column.std():.2f}"), ("× gain", 2 * standard, "gain 2"),
              ("+ bias", 2 * standard + 1, "bias 1")]
    for k, (name, values, note) in enumerate(stages):
        x, learned = 2.6 * k, k > 2
        for i, value in enumerate(values.tolist()):
            ax.add_patch(FancyBboxPatch((x - 0.62, -0.62 * i - 0.24), 1.24, 0.48, facecolor="#dbe9f6" if k < 3 else
                                        "#fff1d6", edgecolor=BLUE if k < 3 else ORANGE,
                                        boxstyle="round,pad=0,rounding_size=0.08"))
            ax.text(x, -0.62 * i - 0.02, f"{value:.2f}".replace("-", "−"), ha="center", va="center", fontsize=10)
        ax.text(x, 0.62, name, ha="center", fontsize=11)
        ax.text(x, -3.15, note, ha="center", va="top", fontsize=9, color="#7a5200" if learned else "#4a5553")
        if k:
            ax.add_patch(FancyArrowPatch((x - 1.85, -1.24), (x - 0.75, -1.24), arrowstyle="->", mutation_scale=12,
                                         color="#4a5553"))
    ax.text(3.9, -4.15, "from the batch, at each step anew", ha="center", fontsize=9.5, color="#4a5553")
    ax.text(9.1, -4.15, "parameters: learned by gradients", ha="center", fontsize=9.5, color="#7a5200")
    ax.set(xlim=(-0.9, 11.3), ylim=(-4.4, 1.0))
    ax.axis("off")
    return fig


def atoms():
    """Lecture 4: the forward pass as a graph of atoms, with the shapes of its small net; the tensors used twice."""
    fig, ax = plt.subplots(figsize=(9, 6.5))
    shapes = {"Xb": "(32, 3)", "C": "(27, 10)", "emb": "(32, 3, 10)", "embcat": "(32, 30)", "W1": "(30, 64)",
              "b1": "(64,)", "hprebn": "(32, 64)", "bnmeani": "(1, 64)", "bndiff": "(32, 64)", "bndiff2": "(32, 64)",
              "bnvar": "(1, 64)", "bnvar_inv": "(1, 64)", "bnraw": "(32, 64)", "bngain": "(1, 64)",
              "bnbias": "(1, 64)", "hpreact": "(32, 64)", "h": "(32, 64)", "W2": "(64, 27)", "b2": "(27,)",
              "logits": "(32, 27)", "logit_maxes": "(32, 1)", "norm_logits": "(32, 27)", "counts": "(32, 27)",
              "counts_sum": "(32, 1)", "counts_sum_inv": "(32, 1)", "probs": "(32, 27)", "logprobs": "(32, 27)",
              "loss": "one number"}
    trained, twice = {"C", "W1", "b1", "W2", "b2", "bngain", "bnbias"}, {"hprebn", "bndiff", "logits", "counts"}
    half, wide_by = 0.93, 1.1  # half a box's width; how far apart the columns stand

    def tensor(x, y, name, *, again=False):
        x *= wide_by
        face = "#dbe9f6" if name in trained else "#fff1d6" if name in twice else "white"
        edge = BLUE if name in trained else ORANGE if name in twice else GREY
        ax.add_patch(FancyBboxPatch((x - half, y - 0.33), 2 * half, 0.66, boxstyle="round,pad=0,rounding_size=0.1",
                                    facecolor=face, edgecolor=edge, linestyle="--" if again else "-"))
        ax.text(x, y + 0.1, name, ha="center", va="center", family="monospace",
                fontsize=7.6 if len(name) < 10 else 6 if len(name) < 14 else 5.2)
        ax.text(x, y - 0.16, shapes[name], ha="center", va="center", fontsize=6.8, color="#4a5553")

    def arrow(x0, y0, x1, y1, text="", *, dx=0.0, dy=0.14, ha="center", trim=0.0):
        x0, x1 = x0 * wide_by + trim, x1 * wide_by - trim
        ax.add_patch(FancyArrowPatch((x0, y0), (x1, y1), arrowstyle="->", mutation_scale=9, color="#4a5553",
                                     shrinkA=0, shrinkB=0))
        ax.text((x0 + x1) / 2 + dx, (y0 + y1) / 2 + dy, text, ha=ha, va="center", fontsize=7.2)

    def along(x0, x1, y, text=""):
        arrow(x0, y, x1, y, text, trim=half)

    def down(x0, y0, x1, y1, text, **place):
        arrow(x0, y0 - 0.33, x1, y1 + 0.33, text, **place)

    # embedding and linear layer 1
    y = 0.0
    for x, name in ((0, "Xb"), (3, "emb"), (6, "embcat"), (10, "hprebn")):
        tensor(x, y, name)
    for x, name in ((3, "C"), (9, "W1"), (11, "b1")):
        tensor(x, y + 1.15, name)
    along(0, 3, y, "look up")
    along(3, 6, y, "view")
    along(6, 10, y, "@ W1 + b1")
    arrow(3, y + 0.82, 3, y + 0.33)
    arrow(9, y + 0.82, 9.6, y + 0.33)
    arrow(11, y + 0.82, 10.4, y + 0.33)

    def detour(y, names, texts, last):
        """A line with two detours below it: the shape that BatchNorm and softmax have in common."""
        start, first, middle, wide, second, third, end = names
        tensor(0, y, start, again=True)
        for x, name in ((4, middle), (12, end)):
            tensor(x, y, name)
        tensor(2, y - 1.2, first)
        for x, name in zip((6, 8, 10), (wide, second, third), strict=True):
            tensor(x, y - 1.2, name) if name != "counts" else tensor(6.5, y, name)
        along(0, 4, y, texts[0])
        down(0.3, y, 1.6, y - 1.2, texts[1], dx=-0.12, dy=-0.08, ha="right")
        arrow(2.4, y - 0.87, 3.6, y - 0.33)
        if wide == "counts":
            along(4, 6.5, y, texts[2])
            along(6.5, 12, y, "×")
            down(6.7, y, 7.6, y - 1.2, texts[3], dx=-0.12, dy=-0.08, ha="right")
        else:
            along(4, 12, y, "×")
            down(4.3, y, 5.6, y - 1.2, texts[2], dx=-0.12, dy=-0.08, ha="right")
            along(6, 8, y - 1.2, "")
            ax.text(7 * wide_by, y - 1.72, texts[3], ha="center", fontsize=7.2)
        along(8, 10, y - 1.2, "")
        ax.text(9 * wide_by, y - 1.72, texts[4], ha="center", fontsize=7.2)
        arrow(10.4, y - 0.87, 11.6, y - 0.33)
        tensor(15, y, last)
        along(12, 15, y, texts[5])

    # BatchNorm
    y = -1.6
    detour(y, ("hprebn", "bnmeani", "bndiff", "bndiff2", "bnvar", "bnvar_inv", "bnraw"),
           ("−", "sum · 1/n", "square", "sum · 1/(n−1)", "power −½", ""), "hpreact")
    for x, name in ((14.1, "bngain"), (15.9, "bnbias")):
        tensor(x, y + 1.15, name)
        arrow(x, y + 0.82, 15 + (x - 15) / 3, y + 0.33)
    ax.text(13.5 * wide_by, y + 0.14, "× +", ha="center", va="center", fontsize=7.2)

    # tanh and linear layer 2
    y = -5.05
    tensor(0, y, "hpreact", again=True)
    for x, name in ((4, "h"), (10, "logits")):
        tensor(x, y, name)
    for x, name in ((9, "W2"), (11, "b2")):
        tensor(x, y + 1.15, name)
    along(0, 4, y, "tanh")
    along(4, 10, y, "@ W2 + b2")
    arrow(9, y + 0.82, 9.6, y + 0.33)
    arrow(11, y + 0.82, 10.4, y + 0.33)

    # cross entropy
    y = -6.65
    detour(y, ("logits", "logit_maxes", "norm_logits", "counts", "counts_sum", "counts_sum_inv", "probs"),
           ("−", "max", "exp", "sum", "power −1", "log"), "logprobs")
    tensor(15, y - 1.2, "loss")
    down(15, y, 15, y - 1.2, "−mean at Yb", dx=-0.1, dy=0, ha="right")

    for row, text in ((0, "embedding,\nlinear layer 1"), (-1.6, "BatchNorm"), (-5.05, "tanh,\nlinear layer 2"),
                      (-6.65, "cross\nentropy")):
        ax.text(-1.25, row, text, ha="right", va="center", fontsize=8.5, color="#4a5553")
    for k, (face, edge, style, text) in enumerate((("#dbe9f6", BLUE, "-", "parameter"),
                                                   ("#fff1d6", ORANGE, "-", "used twice"),
                                                   ("white", GREY, "--", "from a row above"))):
        ax.add_patch(FancyBboxPatch((-3.3, 1.4 - 0.42 * k), 0.3, 0.3, facecolor=face, edgecolor=edge, linestyle=style,
                                    boxstyle="round,pad=0,rounding_size=0.05"))
        ax.text(-2.85, 1.53 - 0.42 * k, text, va="center", fontsize=8)
    ax.set(xlim=(-3.5, 18.7), ylim=(-8.5, 1.75))
    ax.axis("off")
    return fig


def broadcast():
    """Lecture 4: a broadcast goes back as a sum, and a sum as a broadcast."""
    fig, ax = plt.subplots(figsize=(8, 4.1))
    shades = ["#dbe9f6", "#fff1d6", "#e5dcf3"]

    def cells(x, y, texts):
        for i, row in enumerate(texts):
            for j, text in enumerate(row):
                ax.add_patch(FancyBboxPatch((x + 0.8 * j - 0.36, y - 0.8 * i - 0.36), 0.72, 0.72, edgecolor=GREY,
                                            facecolor=shades[i], boxstyle="round,pad=0,rounding_size=0.08"))
                ax.text(x + 0.8 * j, y - 0.8 * i - 0.02, text, ha="center", va="center", fontsize=9)

    def arrow(x0, x1, y, text):
        ax.add_patch(FancyArrowPatch((x0, y), (x1, y), arrowstyle="->", mutation_scale=12, color="#4a5553"))
        ax.text((x0 + x1) / 2, y + 0.14, text, ha="center", va="bottom", fontsize=9)

    column = [[f"$b_{i}$"] for i in (1, 2, 3)]
    copies = [[f"$b_{i}$"] * 3 for i in (1, 2, 3)]
    grid = [[f"$c_{{{i}{j}}}$" for j in (1, 2, 3)] for i in (1, 2, 3)]
    d = [[f"$d_{{{i}{j}}}$" for j in (1, 2, 3)] for i in (1, 2, 3)]
    sums = [[f"$s_{i}$"] for i in (1, 2, 3)]
    ds = [[f"$d_{i}$"] for i in (1, 2, 3)]
    for top, (left, right), (back, out), words in (
            (0, (column, copies), (d, None), ("copy", "sum")),
            (-4.1, (grid, sums), (ds, [[row[0]] * 3 for row in ds]), ("sum", "copy"))):
        cells(0, top, left)
        end = 0.8 * (len(left[0]) - 1)
        arrow(end + 0.55, 4.3 - 0.5, top - 0.8, words[0])
        cells(4.3, top, right)
        cells(9.0, top, back)
        end = 9.0 + 0.8 * (len(back[0]) - 1)
        arrow(end + 0.55, 13.2 - (0.5 if out else 0.35), top - 0.8, words[1])
        if out:
            cells(13.2, top, out)
        else:
            for i in range(3):
                ax.add_patch(FancyBboxPatch((12.95, top - 0.8 * i - 0.36), 3.0, 0.72, edgecolor=GREY,
                                            facecolor=shades[i], boxstyle="round,pad=0,rounding_size=0.08"))
                ax.text(14.45, top - 0.8 * i - 0.02, " + ".join(d[i]), ha="center", va="center", fontsize=9)
    for x, text in ((-0.36, "on the way forward"), (8.64, "on the way back: the gradients")):
        ax.text(x, 0.75, text, fontsize=10.5, weight="bold")
    for y, text in ((-2.35, "Broadcast: $b_1$ goes to three places …"),
                    (-6.45, "Sum: $s_1 = c_{11} + c_{12} + c_{13}$ …")):
        ax.text(-0.36, y, text, fontsize=9.5, va="top")
    for y, text in ((-2.35, "… so the gradients of the three places are added up."),
                    (-6.45, "… so each summand gets the whole gradient of $s_1$.")):
        ax.text(8.64, y, text, fontsize=9.5, va="top")
    ax.axvline(7.55, color="#e3e8e7", linewidth=1.5)
    ax.set(xlim=(-0.6, 16.3), ylim=(-7.0, 1.2), aspect="equal")
    ax.axis("off")
    return fig


def joined(ax, x, y, children, *, face="#dbe9f6", edge="#3f90da", size=0.2, color="#94a4a2", width=1.0):
    """A node at (x, y) with lines down to its children, each an (x, y)."""
    for cx, cy in children:
        ax.plot([cx, x], [cy, y], color=color, linewidth=width, zorder=1)
    ax.add_patch(Circle((x, y), size, facecolor=face, edgecolor=edge, zorder=2))


def flat_and_tree():
    """Eight characters crushed in one layer, and joined by a tree of three levels."""
    fig, ax = plt.subplots(figsize=(8, 2.7))
    joint = {"face": "#fff1d6", "edge": ORANGE, "size": 0.3}
    for left, title in ((0, "flat: eight at once"), (10.6, "tree: two at a time")):
        level = []
        for i, ch in enumerate("...isabe"):
            box(ax, left + i, 0, ch, face="#dbe9f6", edge=BLUE)
            level.append((left + i, 0.36))
        if left == 0:
            joined(ax, 3.5, 3.7, level, **joint)
            ax.text(4.0, 3.8, "one hidden layer", va="center", fontsize=8.5)
        else:
            for y, label, style in ((1.4, "a layer for pairs,\nused four times", {}),
                                    (2.5, "a layer for pairs of\npairs, used twice", {}),
                                    (3.7, "a layer for\nall eight", joint)):
                pairs = list(zip(level[::2], level[1::2], strict=True))
                level = [((a[0] + b[0]) / 2, y) for a, b in pairs]
                for node, pair in zip(level, pairs, strict=True):
                    joined(ax, *node, pair, **style)
                ax.text(left + 7.6, y, label, va="center", fontsize=8.5)
        ax.add_patch(FancyArrowPatch((left + 3.5, 4.05), (left + 3.5, 4.6), arrowstyle="->", mutation_scale=10))
        box(ax, left + 3.5, 5.0, "?", face="#fff1d6", edge=ORANGE)
        ax.text(left + 3.5, 5.9, title, ha="center", va="center", fontsize=10.5)
    ax.set(xlim=(-0.6, 22.4), ylim=(-0.5, 6.3), aspect="equal")
    ax.axis("off")
    return fig


def dilated_stack():
    """Three causal layers with dilations 1, 2, 4 on a line: the tree of one output, and what others share with it."""
    fig, ax = plt.subplots(figsize=(8, 2.65))
    text = "........isabella"
    n = len(text)
    heights = [0.0, 1.2, 2.4, 3.6]
    used = [set() for _ in heights]
    used[3].add(n - 4)
    for k, d in ((3, 4), (2, 2), (1, 1)):
        used[k - 1] = {i - step for i in used[k] for step in (0, d)}
    first = [0, 1, 3, 7]
    for k in (1, 2, 3):
        d = 2 ** (k - 1)
        for i in range(first[k], n):
            mine = i in used[k]
            for source in (i - d, i):
                ax.plot([source, i], [heights[k - 1] + (0.36 if k == 1 else 0.2), heights[k] - 0.2],
                        color=BLUE if mine else "#d5dbda", linewidth=1.8 if mine else 0.8, zorder=2 if mine else 1)
    for i, ch in enumerate(text):
        mine = i in used[0]
        box(ax, i, 0, ch, face="#dbe9f6" if mine else "white", edge=BLUE if mine else "#d5dbda",
            color="black" if mine else "#94a4a2")
    for k in (1, 2, 3):
        for i in range(first[k], n):
            mine = i in used[k]
            joined(ax, i, heights[k], [], face=("#fff1d6" if k == 3 else "#dbe9f6") if mine else "white",
                   edge=(ORANGE if k == 3 else BLUE) if mine else "#c3cbca")
        ax.text(-0.7, heights[k], f"dilation {2 ** (k - 1)}", ha="right", va="center", fontsize=10)
    ax.text(-0.7, 0, "characters", ha="right", va="center", fontsize=10)
    for i in range(7, n):
        target = (text + ".")[i + 1]
        mine = i == n - 4
        ax.add_patch(FancyArrowPatch((i, heights[3] + 0.22), (i, heights[3] + 0.72), arrowstyle="->", mutation_scale=9,
                                     color="black" if mine else "#94a4a2"))
        ax.text(i, heights[3] + 0.98, target, ha="center", va="center", fontsize=12,
                color="black" if mine else "#94a4a2", weight="bold" if mine else "normal")
    ax.text(-0.7, heights[3] + 0.98, "to predict", ha="right", va="center", fontsize=10)
    ax.set(xlim=(-3.4, n - 0.4), ylim=(-0.6, heights[3] + 1.4), aspect="equal")
    ax.axis("off")
    return fig


if __name__ == "__main__":
    main()
