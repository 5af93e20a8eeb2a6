"""Draws the pictures in this folder: `make imgs`. On one machine the bytes are the same each time."""

from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from mmutils import use_style
from mmutils.figures import BLUE, ORANGE

HERE = Path(__file__).resolve().parent


def main():
    matplotlib.use("Agg")
    use_style()
    for name, draw in {"1_next_character.png": next_character}.items():
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


if __name__ == "__main__":
    main()
