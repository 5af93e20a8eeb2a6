"""Draws the pictures in this folder: `make imgs`. On one machine the bytes are the same each time."""

import functools
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
                       **{f"4_atoms_{part}.png": functools.partial(atoms, (part,)) for part in PARTS},
                       "4_broadcast.png": broadcast, "4_batchnorm_graph.png": batchnorm_graph,
                       "5_flat_and_tree.png": flat_and_tree, "5_view.png": view,
                       "5_batchnorm_cells.png": batchnorm_cells, "5_dilated_stack.png": dilated_stack,
                       "5_gated_layer.png": gated_layer}.items():
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
    """The network of Bengio et al. 2003, with the lecture's sizes and, beside them, the paper's."""
    fig, ax = plt.subplots(figsize=(8, 5.2))
    trained, plain = {"facecolor": "#dbe9f6", "edgecolor": BLUE}, {"facecolor": "white", "edgecolor": GREY}
    columns = [-2.7, 0.0, 2.7]

    def slab(x, y, width, text, **style):
        ax.add_patch(FancyBboxPatch((x - width / 2, y - 0.3), width, 0.6,
                                    boxstyle="round,pad=0,rounding_size=0.1", **style))
        ax.text(x, y - 0.02, text, ha="center", va="center", fontsize=10.5)

    def arrow(x, y0, y1):
        ax.add_patch(FancyArrowPatch((x, y0), (x, y1), arrowstyle="->", mutation_scale=12, color="#4a5553"))

    for x, ch, index in zip(columns, "emm", (5, 13, 13), strict=True):
        box(ax, x, 0, ch)
        ax.text(x + 0.5, -0.02, f"= {index}", va="center", fontsize=10.5)
        arrow(x, 0.4, 1.05)
        ax.text(x + 0.12, 0.7, f"row {index}", va="center", fontsize=9.5, color="#4a5553")
        arrow(x, 1.75, 2.4)
        slab(x, 2.75, 2.4, "2 numbers", **plain)
    slab(0, 1.4, 7.8, "one table C for all three places", **trained)
    arrow(0, 3.1, 3.75)
    slab(0, 4.1, 7.8, "hidden layer of tanh neurons", **trained)
    arrow(0, 4.45, 5.1)
    slab(0, 5.45, 7.8, "output layer: logits", **trained)
    arrow(0, 5.8, 6.45)
    slab(0, 6.8, 7.8, "softmax: the probability of each next character", facecolor="#fff1d6", edgecolor=ORANGE)
    for y, here, paper in ((0, "3 characters", "3 words"), (1.4, "27 rows of 2", "17,000 rows of 30"),
                           (2.75, "6 numbers", "90 numbers"), (4.1, "100 neurons", ""),
                           (5.45, "27", "17,000"), (6.8, "27", "17,000")):
        ax.text(4.35, y, here, va="center", fontsize=10)
        ax.text(6.75, y, paper, va="center", fontsize=10, color="#4a5553")
    ax.text(4.35, 7.6, "here", va="center", fontsize=10, weight="bold")
    ax.text(6.75, 7.6, "in the paper", va="center", fontsize=10, weight="bold", color="#4a5553")
    ax.set(xlim=(-4.2, 9.4), ylim=(-0.5, 7.9), aspect="equal")
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


SHAPES = {"Xb": "(32, 3)", "C": "(27, 10)", "emb": "(32, 3, 10)", "embcat": "(32, 30)", "W1": "(30, 64)",
          "b1": "(64,)", "hprebn": "(32, 64)", "bnmeani": "(1, 64)", "bndiff": "(32, 64)", "bndiff2": "(32, 64)",
          "bnvar": "(1, 64)", "bnvar_inv": "(1, 64)", "bnraw": "(32, 64)", "bngain": "(1, 64)", "bnbias": "(1, 64)",
          "hpreact": "(32, 64)", "h": "(32, 64)", "W2": "(64, 27)", "b2": "(27,)", "logits": "(32, 27)",
          "logit_maxes": "(32, 1)", "norm_logits": "(32, 27)", "counts": "(32, 27)", "counts_sum": "(32, 1)",
          "counts_sum_inv": "(32, 1)", "probs": "(32, 27)", "logprobs": "(32, 27)", "loss": "one number"}
TRAINED, TWICE = {"C", "W1", "b1", "W2", "b2", "bngain", "bnbias"}, {"hprebn", "bndiff", "logits", "counts"}
CARDS = {name: number for number, name in enumerate((
    "logprobs", "probs", "counts_sum_inv", "counts", "counts_sum", "norm_logits", "logit_maxes", "logits", "h", "W2",
    "b2", "hpreact", "bngain", "bnraw", "bnbias", "bndiff", "bnvar_inv", "bnvar", "bndiff2", "bnmeani", "hprebn",
    "embcat", "W1", "b1", "emb", "C"), 1)}
# each part of lecture 4's forward pass: its title; its height; where its tensors stand (inches from its left and
# upper end); its arrows: from, to, what the operation is, and where that is written (dx, dy from the middle)
PARTS = {
    "embedding": ("the embedding and linear layer 1", 2.1, {
        "Xb": (0.55, 1.6), "emb": (2.6, 1.6), "C": (2.6, 0.55), "embcat": (4.75, 1.6), "hprebn": (7.6, 1.6),
        "W1": (7.05, 0.55), "b1": (8.15, 0.55)},
        [("Xb", "emb", "look up"), ("C", "emb", ""), ("emb", "embcat", "view"), ("embcat", "hprebn", "@ W1 + b1"),
         ("W1", "hprebn", ""), ("b1", "hprebn", "")]),
    "batchnorm": ("BatchNorm", 3.25, {
        "hprebn": (0.55, 1.6), "bndiff": (2.2, 1.6), "bnraw": (6.95, 1.6), "hpreact": (8.4, 1.6),
        "bngain": (7.55, 0.55), "bnbias": (8.5, 0.55), "bnmeani": (1.35, 2.6), "bndiff2": (2.9, 2.6),
        "bnvar": (4.9, 2.6), "bnvar_inv": (6.6, 2.6)},
        [("hprebn", "bndiff", "−"), ("hprebn", "bnmeani", "sum · 1/n", -0.42, 0.05), ("bnmeani", "bndiff", ""),
         ("bndiff", "bnraw", "×"), ("bndiff", "bndiff2", "square", 0.42, -0.05),
         ("bndiff2", "bnvar", "sum · 1/(n−1)", -0.06),
         ("bnvar", "bnvar_inv", "power −½", -0.08), ("bnvar_inv", "bnraw", ""), ("bnraw", "hpreact", "× +"),
         ("bngain", "hpreact", ""), ("bnbias", "hpreact", "")]),
    "tanh": ("tanh and linear layer 2", 2.1, {
        "hpreact": (0.55, 1.6), "h": (2.6, 1.6), "logits": (5.9, 1.6), "W2": (5.35, 0.55), "b2": (6.45, 0.55)},
        [("hpreact", "h", "tanh"), ("h", "logits", "@ W2 + b2"), ("W2", "logits", ""), ("b2", "logits", "")]),
    "loss": ("cross entropy", 2.35, {
        "logits": (0.55, 0.6), "norm_logits": (2.5, 0.6), "counts": (4.0, 0.6), "probs": (6.9, 0.6),
        "logprobs": (8.4, 0.6), "logit_maxes": (1.5, 1.6), "counts_sum": (4.55, 1.6), "counts_sum_inv": (6.5, 1.6),
        "loss": (8.4, 1.6)},
        [("logits", "norm_logits", "−"), ("logits", "logit_maxes", "max", -0.28, 0.05),
         ("logit_maxes", "norm_logits", ""), ("norm_logits", "counts", "exp"), ("counts", "probs", "×"),
         ("counts", "counts_sum", "sum", 0.27, -0.02), ("counts_sum", "counts_sum_inv", "power −1", -0.08),
         ("counts_sum_inv", "probs", ""), ("probs", "logprobs", "log"), ("logprobs", "loss", "−mean at Yb", -0.5, 0)]),
}


def atoms(names=tuple(PARTS)):
    """Lecture 4: the forward pass as a graph of atoms, with the shapes of its small net and the cards' numbers."""
    height = sum(PARTS[name][1] for name in names)
    fig, ax = plt.subplots(figsize=(9, height), layout="none")
    ax.set_position([0, 0, 1, 1])
    half = {name: max(0.4, 0.04 * len(name) + 0.08) for name in SHAPES}  # half a box's width
    half["emb"] = 0.45

    def tensor(x, y, name, *, again):
        face = "#dbe9f6" if name in TRAINED else "#fff1d6" if name in TWICE else "white"
        edge = BLUE if name in TRAINED else ORANGE if name in TWICE else GREY
        ax.add_patch(FancyBboxPatch((x - half[name], y - 0.25), 2 * half[name], 0.5, facecolor=face, edgecolor=edge,
                                    boxstyle="round,pad=0,rounding_size=0.08", linestyle="--" if again else "-",
                                    linewidth=1.2, zorder=2))
        ax.text(x, y - 0.08, name, ha="center", va="center", family="monospace", fontsize=9.5, zorder=3)
        ax.text(x, y + 0.13, SHAPES[name], ha="center", va="center", fontsize=9, color="#4a5553", zorder=3)
        if name in CARDS and not again:
            ax.add_patch(Circle((x - half[name], y - 0.25), 0.125, facecolor="#4a5553", edgecolor="white", zorder=4))
            ax.text(x - half[name], y - 0.245, str(CARDS[name]), ha="center", va="center", fontsize=9, weight="bold",
                    color="white", zorder=5)

    def arrow(start, end, a, b, text="", dx=0.0, dy=-0.13):
        (x0, y0), (x1, y1) = start, end
        if y0 == y1:
            x0, x1 = x0 + half[a], x1 - half[b]
        else:
            down = 0.25 if y1 > y0 else -0.25
            x0, x1 = x0 + 0.25 * (x1 - x0), x1 - 0.25 * (x1 - x0)
            y0, y1 = y0 + down, y1 - down
        ax.add_patch(FancyArrowPatch((x0, y0), (x1, y1), arrowstyle="->", mutation_scale=10, color="#4a5553",
                                     shrinkA=0, shrinkB=1, zorder=1))
        ax.text((x0 + x1) / 2 + dx, (y0 + y1) / 2 + dy, text, ha="center", va="center", fontsize=9.5)

    top, seen = 0.0, set()
    for part in names:
        title, tall, places, arrows = PARTS[part]
        places = {name: (x, y + 0.15) for name, (x, y) in places.items()}
        ax.text(0.15, top + 0.15, title, va="center", fontsize=10.5, weight="bold", color="#4a5553")
        for name, (x, y) in places.items():
            tensor(x, top + y, name, again=name in seen)
        for a, b, *text in arrows:
            arrow((places[a][0], top + places[a][1]), (places[b][0], top + places[b][1]), a, b, *text)
        seen |= places.keys()
        top += tall
    if len(names) > 1:
        for k, (face, edge, style, text) in enumerate((("#dbe9f6", BLUE, "-", "parameter"),
                                                       ("#fff1d6", ORANGE, "-", "used twice"),
                                                       ("white", GREY, "--", "from a row above"))):
            ax.add_patch(FancyBboxPatch((3.75, 0.38 + 0.27 * k), 0.22, 0.18, facecolor=face, edgecolor=edge,
                                        linestyle=style, boxstyle="round,pad=0,rounding_size=0.04"))
            ax.text(4.06, 0.47 + 0.27 * k, text, va="center", fontsize=9.5)
    ax.set(xlim=(0, 9), ylim=(height, 0))
    ax.axis("off")
    return fig


def broadcast():
    """Lecture 4: a broadcast goes back as a sum, and a sum as a broadcast."""
    fig, ax = plt.subplots(figsize=(9, 4.3), layout="none")
    ax.set_position([0, 0, 1, 1])
    shades = ["#dbe9f6", "#fff1d6", "#e5dcf3"]

    def cells(x, y, texts, width):
        for i, row in enumerate(texts):
            for j, text in enumerate(row):
                ax.add_patch(FancyBboxPatch((x + (width + 0.05) * j, y + 0.41 * i), width, 0.36, edgecolor=GREY,
                                            facecolor=shades[i], boxstyle="round,pad=0,rounding_size=0.05"))
                ax.text(x + (width + 0.05) * j + width / 2, y + 0.41 * i + 0.185, text, ha="center", va="center",
                        fontsize=10)

    def arrow(x0, x1, y, text):
        ax.add_patch(FancyArrowPatch((x0, y), (x1, y), arrowstyle="->", mutation_scale=12, color="#4a5553"))
        ax.text((x0 + x1) / 2, y - 0.07, text, ha="center", va="bottom", fontsize=10)

    rows = (1, 2, 3)

    def grid(form):
        return [[form.format(i=i, j=j) for j in rows] for i in rows]

    cells(0.2, 0.62, [[f"$b_{i}$"] for i in rows], 0.36)
    arrow(0.62, 1.55, 1.21, "copy, × c")
    cells(1.6, 0.62, grid("$c_{{{i}{j}}}\\,b_{i}$"), 0.6)
    cells(4.25, 0.62, grid("$c_{{{i}{j}}}\\,d_{{{i}{j}}}$"), 0.68)
    arrow(6.45, 6.95, 1.21, "sum")
    cells(7.0, 0.62, [[" + ".join(f"$c_{{{i}{j}}}d_{{{i}{j}}}$" for j in rows)] for i in rows], 1.85)
    cells(0.2, 2.82, grid("$c_{{{i}{j}}}$"), 0.42)
    arrow(1.65, 2.45, 3.41, "sum")
    cells(2.5, 2.82, [[f"$s_{i}$"] for i in rows], 0.36)
    cells(4.25, 2.82, [[f"$d_{i}$"] for i in rows], 0.42)
    arrow(4.75, 5.55, 3.41, "copy")
    cells(5.6, 2.82, grid("$d_{i}$"), 0.42)
    for x, text in ((0.2, "on the way forward"), (4.25, "on the way back, with d for what comes from above")):
        ax.text(x, 0.3, text, fontsize=11, weight="bold", va="center")
    for y, left, right in (
            (2.02, "Broadcast: $b_1$ is used in three places …", "… so three gradients come back to it, and add up."),
            (4.22, "Sum: $s_1 = c_{11} + c_{12} + c_{13}$ …", "… so each summand gets the whole gradient of $s_1$.")):
        ax.text(0.2, y - 0.02, left, fontsize=10, va="center")
        ax.text(4.25, y - 0.02, right, fontsize=10, va="center")
    ax.axvline(4.0, color="#e3e8e7", linewidth=1.5)
    ax.set(xlim=(0, 9), ylim=(4.4, 0))
    ax.axis("off")
    return fig


def batchnorm_graph():
    """Lecture 4, exercise 3: how three examples of one neuron meet in the mean and the variance, and nowhere else."""
    fig, ax = plt.subplots(figsize=(9, 4.55), layout="none")
    ax.set_position([0, 0, 1, 1])
    places = {"$x_1$": (0.7, 1.1), "$x_2$": (0.7, 2.1), "$x_3$": (0.7, 3.1), r"$\mu$": (2.6, 0.4),
              r"$\sigma^2$": (4.1, 3.8), r"$\hat{x}_1$": (5.9, 1.1), r"$\hat{x}_2$": (5.9, 2.1),
              r"$\hat{x}_3$": (5.9, 3.1), "$y_1$": (7.9, 1.1), "$y_2$": (7.9, 2.1), "$y_3$": (7.9, 3.1)}
    mean, var = r"$\mu$", r"$\sigma^2$"
    arrows = [(mean, var)]
    for i in (1, 2, 3):
        x, hat = f"$x_{i}$", rf"$\hat{{x}}_{i}$"
        arrows += [(x, mean), (x, var), (x, hat), (mean, hat), (var, hat), (hat, f"$y_{i}$")]
    for start, end in arrows:
        mine = start == "$x_2$"
        ax.add_patch(FancyArrowPatch(places[start], places[end], arrowstyle="->", mutation_scale=12, shrinkA=17,
                                     shrinkB=17, color=BLUE if mine else "#aab5b3", linewidth=2 if mine else 1.1,
                                     linestyle="--" if (start, end) == (mean, var) else "-", zorder=1 + mine))
    for name, (x, y) in places.items():
        joint = name in (mean, var)
        ax.add_patch(Circle((x, y), 0.23, facecolor="#fff1d6" if joint else "#dbe9f6" if name == "$x_2$" else "white",
                            edgecolor=ORANGE if joint else BLUE if name == "$x_2$" else GREY, linewidth=1.3, zorder=3))
        ax.text(x, y + 0.01, name, ha="center", va="center", fontsize=12, zorder=4)
    for x, text in ((0.7, "hprebn"), (5.9, "bnraw"), (7.9, "hpreact")):
        ax.text(x, 0.55, text, ha="center", va="center", family="monospace", fontsize=10)
    ax.text(2.25, 0.38, "mean", ha="right", va="center", fontsize=10)
    ax.text(4.45, 3.9, "variance", ha="left", va="center", fontsize=10)
    ax.text(6.9, 1.93, "× γ + β", ha="center", fontsize=10)
    ax.text(0.3, 4.32, "Three examples of one neuron. In blue: the three places where $x_2$ is used.", va="center",
            fontsize=10.5)
    ax.set(xlim=(0, 9), ylim=(4.55, 0), aspect="equal")
    ax.axis("off")
    return fig


def joined(ax, x, y, children, *, face="#dbe9f6", edge="#3f90da", size=0.2, color="#94a4a2", width=1.0):
    """A node at (x, y) with lines down to its children, each an (x, y)."""
    for cx, cy in children:
        ax.plot([cx, x], [cy, y], color=color, linewidth=width, zorder=1)
    ax.add_patch(Circle((x, y), size, facecolor=face, edgecolor=edge, zorder=2))


def flat_and_tree():
    """Eight characters crushed in one layer, and joined by a tree of three levels."""
    fig, ax = plt.subplots(figsize=(8, 2.5))
    joint = {"face": "#fff1d6", "edge": ORANGE, "size": 0.3}
    for left, title in ((0, "flat: eight at once"), (10.0, "tree: two at a time")):
        level = []
        for i, ch in enumerate("...isabe"):
            box(ax, left + i, 0, ch, face="#dbe9f6", edge=BLUE)
            level.append((left + i, 0.36))
        if left == 0:
            joined(ax, 3.5, 3.9, level, **joint)
            ax.text(4.0, 4.0, "one hidden layer", va="center", fontsize=10)
        else:
            for y, label, style in ((1.3, "a layer for pairs,\nused four times", {}),
                                    (2.6, "a layer for pairs of\npairs, used twice", {}),
                                    (3.9, "a layer for all eight", joint)):
                pairs = list(zip(level[::2], level[1::2], strict=True))
                level = [((a[0] + b[0]) / 2, y) for a, b in pairs]
                for node, pair in zip(level, pairs, strict=True):
                    joined(ax, *node, pair, **style)
                ax.text(left + 7.6, y, label, va="center", fontsize=10)
        ax.add_patch(FancyArrowPatch((left + 3.5, 4.25), (left + 3.5, 4.75), arrowstyle="->", mutation_scale=10))
        box(ax, left + 3.5, 5.15, "?", face="#fff1d6", edge=ORANGE)
        ax.text(left + 3.5, 6.0, title, ha="center", va="center", fontsize=11)
    ax.set(xlim=(-0.6, 22.9), ylim=(-0.5, 6.3), aspect="equal")
    ax.axis("off")
    return fig


def view():
    """Lecture 5: eight characters of three numbers in memory, and the view that joins neighbours."""
    fig, ax = plt.subplots(figsize=(8, 3.5))
    shades = ["#dbe9f6", "#fff1d6"]

    def cell(x, y, value, shade):
        ax.add_patch(FancyBboxPatch((x - 0.36, y - 0.31), 0.72, 0.62, edgecolor=GREY, facecolor=shade,
                                    boxstyle="round,pad=0,rounding_size=0.08"))
        ax.text(x, y - 0.02, str(value), ha="center", va="center", fontsize=10)

    for i in range(24):
        cell(0.85 * i, 0, i, shades[i // 3 % 2])
    ax.text(-0.4, 0.6, "in memory: the numbers of eight characters, three each", fontsize=10.5)
    word = "...isabe"
    for r in range(8):
        for c in range(3):
            cell(1.5 + 0.85 * c, -2.2 - 0.76 * r, 3 * r + c, shades[r % 2])
        ax.text(0.7, -2.2 - 0.76 * r, word[r], ha="right", va="center", fontsize=12)
        ax.text(4.0, -2.2 - 0.76 * r, "even" if r % 2 == 0 else "odd", va="center", fontsize=10, color="#4a5553")
    for r in range(4):
        for c in range(6):
            cell(9.4 + 0.85 * c, -3.3 - 0.95 * r, 6 * r + c, shades[c // 3])
        ax.text(8.6, -3.3 - 0.95 * r, word[2 * r:2 * r + 2], ha="right", va="center", fontsize=12)
    ax.text(1.1, -1.5, "as (8, 3)", fontsize=10.5)
    ax.text(9.0, -2.6, "view(4, 6): two characters in a row", fontsize=10.5)
    ax.text(15.4, -4.75, "Left half of each row:\nthe characters at even\nplaces. Right half: those\n"
            "at odd places. Nothing\nhas moved in memory.", fontsize=10.5, va="center", linespacing=1.4)
    ax.add_patch(FancyArrowPatch((5.4, -4.75), (7.4, -4.75), arrowstyle="->", mutation_scale=16, color="#4a5553"))
    ax.set(xlim=(-0.6, 20.3), ylim=(-8.0, 1.2), aspect="equal")
    ax.axis("off")
    return fig


def batchnorm_cells():
    """Lecture 5: which cells share a mean, with the bug and mended; one neuron of (B, T, C)."""
    fig, ax = plt.subplots(figsize=(8, 3.1))
    shades, edges = ["#dbe9f6", "#fff1d6", "#e5dcf3", "#dcefdc"], [BLUE, ORANGE, "#832db6", "#4d9a4d"]
    for left, title, note, each in ((0, "x.mean(0): the bug", "4 means, each of 32 numbers", True),
                                    (8.4, "x.mean((0, 1)): mended", "1 mean, of 32 · 4 = 128 numbers", False)):
        for c in range(4):
            for r in range(5):
                k = c if each else 0
                ax.add_patch(FancyBboxPatch((left + c - 0.44, -0.62 * r - 0.26), 0.88, 0.52, facecolor=shades[k],
                                            edgecolor=edges[k], boxstyle="round,pad=0,rounding_size=0.08"))
            ax.text(left + c, -1.92, "⋮", ha="center", va="center", fontsize=12)
            ax.text(left + c, 0.5, ("..", ".i", "sa", "be")[c], ha="center", va="center", fontsize=11)
            if each:
                ax.text(left + c, -3.3, "mean", ha="center", va="center", fontsize=10)
                ax.add_patch(FancyArrowPatch((left + c, -2.78), (left + c, -3.12), arrowstyle="->", mutation_scale=9,
                                             color="#4a5553"))
        if not each:
            ax.text(left + 1.5, -3.3, "mean", ha="center", va="center", fontsize=10)
            for c in range(4):
                ax.add_patch(FancyArrowPatch((left + c, -2.78), (left + 1.5, -3.12), arrowstyle="->",
                                             mutation_scale=9, color="#4a5553"))
        ax.text(left - 0.44, 1.15, title, fontsize=11.5, va="center", family="monospace")
        ax.text(left + 1.5, -3.9, note, fontsize=10.5, va="center", ha="center")
    ax.text(4.0, 0.5, "← four places: pairs", fontsize=10.5, va="center")
    ax.text(4.0, -1.25, "a row for each\nof 32 examples,\none neuron", fontsize=10.5, va="center", linespacing=1.4)
    ax.set(xlim=(-0.7, 12.4), ylim=(-4.2, 1.5))
    ax.axis("off")
    return fig


def gated_layer():
    """Lecture 5: one layer of WaveNet: filter and gate, tanh times sigmoid, residual and skip."""
    fig, ax = plt.subplots(figsize=(8, 2.5))
    line = {"arrowstyle": "->", "mutation_scale": 12, "color": "#4a5553", "shrinkA": 0, "shrinkB": 0}

    def slab(x, y, text, width=1.7, face="white", edge=GREY):
        ax.add_patch(FancyBboxPatch((x - width / 2, y - 0.28), width, 0.56, facecolor=face, edgecolor=edge,
                                    boxstyle="round,pad=0,rounding_size=0.1"))
        ax.text(x, y - 0.02, text, ha="center", va="center", fontsize=10.5)

    def arrow(*points):
        for (x0, y0), (x1, y1) in zip(points, points[1:-1], strict=False):
            ax.plot([x0, x1], [y0, y1], color="#4a5553", linewidth=1.1, zorder=0)
        ax.add_patch(FancyArrowPatch(points[-2], points[-1], **line))

    trained = {"face": "#dbe9f6", "edge": BLUE}
    slab(0.9, 3.0, "x, d places earlier", 2.6)
    slab(0.9, 1.2, "x", 2.5)
    slab(4.0, 3.0, "filter", **trained)
    slab(4.0, 1.2, "gate", **trained)
    for y in (3.0, 1.2):
        for z in (3.0, 1.2):
            arrow((2.2, y), (3.1, z + 0.12 * (y - z) / 1.8))
    slab(6.2, 3.0, "tanh", 1.1)
    slab(6.2, 1.2, "σ", 1.1)
    arrow((4.9, 3.0), (5.6, 3.0))
    arrow((4.9, 1.2), (5.6, 1.2))
    ax.add_patch(Circle((7.7, 2.1), 0.28, facecolor="#fff1d6", edgecolor=ORANGE))
    ax.text(7.7, 2.08, "×", ha="center", va="center", fontsize=14)
    arrow((6.8, 3.0), (7.5, 2.32))
    arrow((6.8, 1.2), (7.5, 1.88))
    slab(9.5, 3.0, "skip", **trained)
    slab(9.5, 1.2, "residual", **trained)
    arrow((7.9, 2.32), (8.6, 2.95))
    arrow((7.9, 1.88), (8.6, 1.25))
    arrow((10.4, 3.0), (11.6, 3.0))
    ax.text(11.75, 3.0, "to the output:\nthe sum of\nall layers' skips", va="center", fontsize=10.5)
    ax.add_patch(Circle((11.2, 1.2), 0.28, facecolor="#fff1d6", edgecolor=ORANGE))
    ax.text(11.2, 1.18, "+", ha="center", va="center", fontsize=14)
    arrow((10.4, 1.2), (10.9, 1.2))
    arrow((0.9, 0.9), (0.9, 0.2), (11.2, 0.2), (11.2, 0.9))
    arrow((11.5, 1.2), (12.3, 1.2))
    ax.text(12.4, 1.2, "x of the\nnext layer", va="center", fontsize=10.5)
    ax.text(6.2, 0.36, "x is added: the residual connection", ha="center", fontsize=10.5, color="#4a5553")
    ax.text(4.0, 3.55, "what to say", ha="center", fontsize=10.5, color="#4a5553")
    ax.text(4.95, 1.72, "how much of it", ha="center", fontsize=10.5, color="#4a5553")
    ax.set(xlim=(-0.5, 14.2), ylim=(0, 3.9), aspect="equal")
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
