"""Draws the pictures in this folder: `make imgs`. On one machine the bytes are the same each time."""

from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import torch
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from mmutils import use_style
from mmutils.figures import BLUE, GREY, ORANGE

HERE = Path(__file__).resolve().parent


def main():
    matplotlib.use("Agg")
    use_style()
    for name, draw in {"1_next_character.png": next_character, "2_network.png": network,
                       "2_strides.png": strides}.items():
        fig = draw()
        fig.savefig(HERE / name, dpi=150, metadata={"Software": None})
        plt.close(fig)
        print(f"imgs/{name}: {(HERE / name).stat().st_size // 1024} KB")


def box(ax, x, y, text, *, face="white", edge="#94a4a2", color="black"):
    """A letter in a square box around (x, y)."""
    ax.add_patch(FancyBboxPatch((x - 0.38, y - 0.36), 0.76, 0.72, boxstyle="round,pad=0,rounding_size=0.12",
                                facecolor=face, edgecolor=edge))
    ax.text(x, y - 0.02, text, ha="center", va="center", color=color, fontsize=12)


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


if __name__ == "__main__":
    main()
