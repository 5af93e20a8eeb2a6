"""Tensors → figures, and the statistics behind them.

Every figure takes its data first, then keyword-only arguments with `ax=None` among them; it draws on that Axes (on a
new figure's if None) and returns it. Nothing is shown, saved or kept here. Where a figure has numbers of its own, a
statistics function computes them and returns a Table, which prints itself; the figure draws that Table.
"""

import math

import matplotlib.pyplot as plt
import torch
from IPython import get_ipython
from matplotlib.collections import LineCollection
from matplotlib.colors import PowerNorm, TwoSlopeNorm
from matplotlib.patches import FancyArrowPatch, Rectangle
from matplotlib.transforms import Affine2D, ScaledTranslation
from matplotlib_inline.backend_inline import set_matplotlib_formats
from matplotlib_inline.config import InlineBackend

# one colour for one thing, through all notebooks (petroff10, which colour-blind readers can tell apart)
BLUE, ORANGE, RED, GREY, PURPLE, BROWN = "#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59"
LINES = ["-", "--", "-.", ":"]


def use_style():
    """Set matplotlib's look for the notebooks: sizes, colours, an opaque white background.

    A notebook then shows each picture as large as its figsize. To find the margins that it would cut off else, it would
    draw each picture twice.
    """
    plt.style.use(["default", "petroff10"])
    plt.rcParams.update({
        "figure.figsize": (8.0, 3.2), "figure.dpi": 96, "savefig.dpi": 96, "figure.constrained_layout.use": True,
        "figure.facecolor": "white", "savefig.facecolor": "white", "savefig.transparent": False,
        "font.size": 9.0, "axes.titlesize": 10.0, "axes.titlelocation": "left", "axes.axisbelow": True,
        "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.3,
        "legend.frameon": False, "lines.linewidth": 1.5, "image.interpolation": "nearest"})
    if get_ipython() is not None:
        inline = InlineBackend.instance(parent=get_ipython())
        inline.print_figure_kwargs = {**inline.print_figure_kwargs, "bbox_inches": None}
        set_matplotlib_formats(*inline.figure_formats)


class Table:
    """Rows under headings. Prints itself with aligned columns; `table["loss"]` is that column as a list.

    headings: list of str. rows: list of lists, one value a heading: str, int, float, or None for an empty square.
    digits:   how many decimals a float gets.
    """

    def __init__(self, headings, rows, *, digits=4):
        self.headings, self.rows, self.digits = list(headings), [list(row) for row in rows], digits
        for row in self.rows:
            if len(row) != len(self.headings):
                raise ValueError(f"The row {row!r} has {len(row)} values for {len(self.headings)} headings: "
                                 f"{self.headings!r}.")

    def __getitem__(self, heading):
        return [row[self.headings.index(heading)] for row in self.rows]

    def __len__(self):
        return len(self.rows)

    def _text(self, value):
        if value is None:
            return ""
        if isinstance(value, float):
            return f"{value:,.{self.digits}f}"
        return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)

    def __repr__(self):
        texts = [self.headings] + [[self._text(value) for value in row] for row in self.rows]
        widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
        # a column is set to the right if it holds a number, and to the left if it holds words
        right = [any(isinstance(row[i], (int, float)) for row in self.rows) for i in range(len(self.headings))]
        lines = ["  ".join(f"{t:>{w}}" if r else f"{t:<{w}}" for t, w, r in zip(row, widths, right, strict=True))
                 for row in texts]
        lines.insert(1, "  ".join("-" * w for w in widths))
        return "\n".join(line.rstrip() for line in lines)


def _axes(ax, figsize=None):
    """The Axes to draw on: the given one, or a new figure's."""
    return ax if ax is not None else plt.subplots(figsize=figsize)[1]


def _blank(ax):
    """Take away frame, grid and ticks: for drawings that are no plots."""
    ax.grid(False)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)


# ----- figures for every lecture --------------------------------------------------------------------------------------

def bars(values, labels, *, others=None, names=None, title="", ylabel="", ax=None):
    """Bars: values (n,) over n labels, a list or itos; others (n,) as outlines over them. names: of both, a legend."""
    ax = _axes(ax)
    where = range(len(labels))
    labels = [labels[i] for i in where]  # itos may hold its characters in any order
    names = names or [None, None]
    ax.bar(where, torch.as_tensor(values).tolist(), color=BLUE, label=names[0])
    if others is not None:
        ax.bar(where, torch.as_tensor(others).tolist(), fill=False, edgecolor="black", linewidth=1.1, label=names[1])
    ax.set_xticks(where, labels)
    ax.set(title=title, ylabel=ylabel)
    ax.grid(axis="x", visible=False)
    if any(names):
        ax.legend()
    return ax


def curves(x, series, *, title="", xlabel="", ylabel="", log=False, group=1, mark=None, ax=None):
    """Lines over a shared x. series: dict of label → values. log: a logarithmic x axis.
    group: how many lines in a row share a colour (2 where dev and train of one method follow each other).
    mark: (x, y, text) to point at.

    Every line has its own dash and label besides its colour, so that it is told apart in grey print too.
    """
    ax = _axes(ax)
    marker = "o" if len(x) <= 30 else None
    for i, (label, y) in enumerate(series.items()):
        dash = LINES[(i % group if group > 1 else i) % len(LINES)]
        ax.plot(x, y, dash, color=f"C{i // group}", marker=marker, markersize=3.5, label=label)
    if log:
        ax.set_xscale("log")
    if mark is not None:
        ax.annotate(mark[2], mark[:2], xytext=(0, 24), textcoords="offset points", ha="center",
                    arrowprops={"arrowstyle": "->"})
    ax.set(title=title, xlabel=xlabel, ylabel=ylabel)
    ax.legend()
    return ax


def smoothed(losses, window):
    """Means of `window` losses in a row: float (len - window + 1,); of all of them if the run is shorter than that."""
    losses = torch.as_tensor(losses, dtype=torch.float32)
    window = max(1, min(window, len(losses)))
    return losses.unfold(0, window, 1).mean(1) if len(losses) else losses


def loss_curve(losses, *, window=1, floor=None, floor_name="floor", title="", ylabel="loss (nats per character)",
               ax=None):
    """A training run's losses over its steps: as they are, and as a mean of `window` steps. floor: a level to hold it
    against. Takes a run of any length, one that was stopped at once included."""
    ax = _axes(ax)
    losses = torch.as_tensor(losses, dtype=torch.float32)
    ax.plot(losses.tolist(), color=BLUE, alpha=1.0 if window == 1 else 0.3, label="each step")
    if window > 1:
        mean = smoothed(losses, window)
        ax.plot(range(len(losses) - len(mean), len(losses)), mean.tolist(), color=ORANGE, label=f"mean of {window}")
    if floor is not None:
        ax.axhline(floor, color="black", linestyle="--", linewidth=1, label=f"{floor_name} {floor:.4f}")
    ax.set(title=title, xlabel="step", ylabel=ylabel)
    ax.locator_params(axis="x", nbins=5)  # long runs have long numbers
    ax.legend()
    return ax


def difference(losses, others, words):
    """How much higher one variant's loss is than another's on the same words: (mean difference, standard error).

    losses, others: (seeds, N) or (N,), the loss of every example that build_dataset makes of words, in its order; a row
    a seed (where one has more rows than the other, they are left out). The standard error holds two kinds of chance,
    other seeds (where there are two or more) and other words. Notebook 2 builds it.
    """
    losses, others = (each[None] if each.dim() == 1 else each for each in (losses, others))
    n = min(len(losses), len(others))
    gap = losses[:n] - others[:n]
    mean = gap.mean().item()
    of_seeds = gap.mean(1).std().item() / math.sqrt(n) if n > 1 else 0.0
    lengths = [len(w) + 1 for w in words]
    if gap.shape[1] != sum(lengths):
        raise ValueError(f"There are {gap.shape[1]:,} losses for {len(words):,} words of {sum(lengths):,} characters, "
                         f"their ends included: take the words that the losses were computed on.")
    by_word = torch.stack([part.sum() for part in (gap.mean(0) - mean).split(lengths)])
    return mean, math.hypot(of_seeds, by_word.square().sum().sqrt().item() / gap.shape[1])


# ----- lecture 1: tables of pairs -------------------------------------------------------------------------------------

def pairs(N, itos, *, title="", text=True, norm=None, ax=None):
    """A square picture of a value for each pair of characters: rows the first, columns the second.

    N: counts (int) or probabilities (float), (V, V). text: write the pair and its value into each square.
    norm: matplotlib's colour scale; left out, one on which small values can be told apart too.
    """
    N = torch.as_tensor(N).detach()
    side = len(N)
    if ax is None and text:
        # every square has the same whole number of pixels: sharper, and a much smaller PNG
        width, height = 0.375 * side + 0.6, 0.375 * side + 0.9
        ax = plt.figure(figsize=(width, height), layout="none").add_axes(
            (0.45 / width, 0.4 / height, 0.375 * side / width, 0.375 * side / height))
    ax = _axes(ax, (5, 5))
    values = N.double().nan_to_num(0.0)
    top = max(values.max().item(), 1e-12)
    norm = norm or PowerNorm(0.5, 0, top)
    ax.imshow(values.numpy(), cmap=plt.get_cmap("Blues", 12), norm=norm)
    for i in range(side if text else 0):
        for j in range(side):
            v = N[i, j].item()
            shown = f"{v:.2f}" if v >= 0.1 else f"{v:.3f}"  # two digits that count
            shown = f"{v:.0f}" if v in (0, 1) or not N.is_floating_point() else shown.lstrip("0")
            dark = norm(values[i, j].item()) > 0.62
            colour = "white" if dark else "black" if v else GREY
            for y, what, size in ((i - 0.19, itos[i] + itos[j], 7), (i + 0.21, shown, 7.5)):
                # in_layout=False: a layout that measures each of these texts takes seconds
                ax.text(j, y, what, ha="center", va="center", color=colour, fontsize=size, in_layout=False)
    ax.set_xticks(range(side), [itos[i] for i in range(side)])
    ax.set_yticks(range(side), [itos[i] for i in range(side)])
    for label in ax.get_xticklabels():
        label.set_rotation(90 if len(label.get_text()) > 1 else 0)
    ax.tick_params(length=0, labelsize=9 if text else 7, top=text, labeltop=text)
    ax.spines[:].set_visible(False)
    ax.grid(False)
    ax.set(title=title, xlabel="then", ylabel="first this character")
    return ax


def walk(P, itos, u):
    """Draw a word from the rows of P with given random numbers: a Table of the steps taken.

    P: probabilities, (V, V), rows sum to 1. u: numbers from 0 to 1, one a step. Each step takes the row of the
    character before, lays its probabilities end to end from 0 to 1, and picks the character on whose stretch u falls
    (inverse transform sampling). The walk ends with '.', or when u is used up.
    """
    rows, i = [], 0
    for number in torch.as_tensor(u).tolist():
        ends = P[i].double().cumsum(0)
        j = min(int((number * ends[-1] >= ends).sum()), P[i].nonzero().max().item())  # 1 itself: the last stretch
        rows.append([itos[i], number, itos[j], (ends[j] - P[i, j]).item(), ends[j].item(), P[i, j].item()])
        if j == 0:
            break
        i = j
    return Table(["given", "u", "drawn", "from", "to", "probability"], rows, digits=3)


def sampling_walk(steps, P, itos, *, title="", ax=None):
    """Draw the Table that walk() returns: each step's row of P as one bar from 0 to 1, and the stretch u fell on."""
    ax = _axes(ax, (8, 0.75 + 0.62 * len(steps)))
    stoi = {ch: i for i, ch in itos.items()}
    for k, (given, u, drawn, start, end, p) in enumerate(steps.rows):
        left = 0.0
        for j, width in enumerate(P[stoi[given]].tolist()):
            ax.add_patch(Rectangle((left, k - 0.3), width, 0.6, facecolor="#dbe9f6" if j % 2 else "#b8d4ec"))
            if width > 0.022 and itos[j] != drawn:
                ax.text(left + width / 2, k, itos[j], ha="center", va="center", color="#2a5d8f",
                        weight="bold" if itos[j] == "." else "normal")
            left += width
        ax.add_patch(Rectangle((start, k - 0.3), max(end - start, 0.002), 0.6, facecolor=ORANGE))
        ax.text((start + end) / 2, k, drawn, ha="center", va="center", weight="bold")
        ax.plot([u, u], [k - 0.45, k - 0.3], color=RED, linewidth=2)
        ax.text(u, k - 0.46, f"u = {u:.3f}", ha="center", va="bottom", color=RED, fontsize=8)
        ax.text(1.01, k, f"“{drawn}”, p = {p:.3f}", va="center")
    ax.set_yticks(range(len(steps)), [f"after “{given}”" for given in steps["given"]])
    ax.set(xlim=(0, 1.16), ylim=(len(steps) - 0.5, -0.75), title=title, xticks=[0, 0.25, 0.5, 0.75, 1],
           xlabel="probabilities of the next character, end to end")
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    ax.grid(False)
    return ax


def letter_losses(word, P, stoi):
    """How surprised a bigram model is by a word, letter by letter: a Table of pair, probability, log, −log.

    P: probabilities, (V, V). A pair of probability 0 has the loss inf. Raises ValueError for a character that is not
    in the vocabulary.
    """
    unknown = [ch for ch in word if ch not in stoi or ch == "."]
    if unknown:
        raise ValueError(f"The word {word!r} has the character {unknown[0]!r}, which this model has never seen. "
                         f"It knows: {''.join(sorted(stoi.keys() - {'.'}))}")
    rows = []
    for a, b in zip("." + word, word + ".", strict=True):
        p = P[stoi[a], stoi[b]].item()
        log = math.log(p) if p > 0 else -math.inf
        rows.append([a + b, p, log, 0.0 - log])
    return Table(["pair", "probability", "log", "-log"], rows)


def word_loss(table, *, title="", ax=None):
    """Draw the Table of letter_losses(): a bar a pair, its probability above it, the word's mean loss as a line.

    A pair of probability 0 is hatched: its loss is infinite, and its bar ends only because the page does.
    """
    ax = _axes(ax)
    losses = table["-log"]
    finite = [x for x in losses if math.isfinite(x)]
    top = max(finite, default=0.0) * 1.25 or 1.0
    for k, (_, p, _, loss) in enumerate(table.rows):
        endless = not math.isfinite(loss)
        ax.bar(k, top if endless else loss, color=RED if endless else BLUE, hatch="//" if endless else None,
               edgecolor="white")
        ax.text(k, (top if endless else loss) + 0.02 * top, "p = 0" if endless else f"{p:.3f}", ha="center",
                fontsize=8)
    if len(finite) == len(losses):
        mean = sum(losses) / len(losses)
        ax.axhline(mean, color="black", linestyle="--", linewidth=1)
        ax.text(len(losses) - 0.45, mean, f"mean {mean:.2f}", va="bottom", ha="right", fontsize=8)
    ax.set_xticks(range(len(losses)), table["pair"])
    ax.set(title=title, xlabel="pair (above each bar: its probability)", ylabel="−log p (nats)", ylim=(0, top * 1.1),
           xlim=(-0.6, len(losses) - 0.4))
    ax.grid(axis="x", visible=False)
    return ax


# ----- lecture 1: the net ---------------------------------------------------------------------------------------------

def one_hot(xenc, itos, *, title="", ax=None):
    """One-hot vectors as an image: xenc (n, V), a row an example; the 1 of each is named by its character."""
    ax = _axes(ax, (8, 0.8 + 0.28 * len(xenc)))
    _one_hot_at(ax, xenc, 0, 0)
    for k, i in enumerate(xenc.argmax(1).tolist()):
        ax.text(i + 0.5, k + 0.5, "1", ha="center", va="center")
    side = xenc.shape[1]
    ax.set_xticks([i + 0.5 for i in range(side)], [itos[i] for i in range(side)])
    ax.set_yticks([k + 0.5 for k in range(len(xenc))], [f"“{itos[i]}” = {i}" for i in xenc.argmax(1).tolist()])
    ax.set(title=title, xlim=(0, side), ylim=(len(xenc), 0))
    ax.tick_params(length=0)
    return ax


def _one_hot_at(ax, xenc, left, top):
    """Draw one-hot vectors with their upper left corner at (left, top), every entry 1 × 1."""
    n, side = xenc.shape
    ax.imshow(xenc.numpy(), cmap="Oranges", vmin=0, vmax=2, extent=(left, left + side, top + n, top), aspect="auto")
    for k in range(n + 1):
        ax.plot([left, left + side], [top + k] * 2, color="white", linewidth=0.8)
    for k in range(side + 1):
        ax.plot([left + k] * 2, [top, top + n], color="white", linewidth=0.8)
    ax.add_patch(Rectangle((left, top), side, n, fill=False, edgecolor=GREY))
    ax.grid(False)
    ax.spines[:].set_visible(False)


def one_hot_picks_row(xenc, W, itos, *, example=0, title="", ax=None):
    """Draw one-hot @ W = logits, with the row of W that one example picks, and where it lands.

    xenc: one-hot, (n, V). W: weights, (V, V); red is positive, blue negative. example: which row of xenc is followed.
    """
    ax = _axes(ax, (8.4, 4.4))
    n, side = xenc.shape
    W = W.detach().nan_to_num(0.0, 0.0, 0.0)  # weights of a run that went wrong can be drawn too
    top = W.abs().max().item() or 1.0
    given = xenc.argmax(1).tolist()
    gap, mid = 6, (side - n) / 2
    at_W, at_out = side + gap, 2 * (side + gap)
    _one_hot_at(ax, xenc, 0, mid)
    for values, left, y in ((W, at_W, 0), (xenc.float() @ W, at_out, mid)):
        ax.imshow(values.numpy(), cmap="RdBu_r", norm=TwoSlopeNorm(0, -top, top), aspect="auto",
                  extent=(left, left + side, y + len(values), y))
    for left, y in ((0, mid + example), (at_W, given[example]), (at_out, mid + example)):
        ax.add_patch(Rectangle((left, y), side, 1, fill=False, edgecolor="black", linewidth=1.6))
    for left, first, letters in ((0, mid, given), (at_W, 0, range(side)), (at_out, mid, given)):
        for k, i in enumerate(letters):  # what each row belongs to
            followed = i == given[example] if left == at_W else k == example
            ax.text(left - 0.6, first + k + 0.5, itos[i], ha="right", va="center", fontsize=7,
                    color=RED if followed else "black", weight="bold" if followed else "normal")
    for left, sign in ((at_W, "@"), (at_out, "=")):
        ax.text(left - gap / 2 - 0.7, mid + n + 3, sign, ha="center", va="center", fontsize=16)
    arrow = {"arrowstyle": "->", "color": RED, "mutation_scale": 12, "linewidth": 1.4}
    ax.add_patch(FancyArrowPatch((given[example] + 0.5, mid + example), (at_W - 1.8, given[example] + 0.5),
                                 connectionstyle="arc3,rad=-0.25", **arrow))
    ax.add_patch(FancyArrowPatch((at_W + side, given[example] + 0.5), (at_out - 1.8, mid + example + 0.5),
                                 connectionstyle="arc3,rad=-0.2", **arrow))
    for left, what in ((0, f"xenc ({n}, {side})"), (at_W, f"W ({side}, {side})"), (at_out, f"logits ({n}, {side})")):
        ax.text(left + side / 2, side + 1.8, what, ha="center", va="center")
    _blank(ax)
    ax.set(title=title, xlim=(-2, at_out + side + 1), ylim=(side + 3, -1.5))
    return ax


def row_differences(P, Q, itos):
    """Where two tables of probabilities (V, V) disagree most: a Table of every row's largest difference, sorted."""
    gap, column = (P.detach().double() - Q.detach().double()).abs().max(1)
    order = gap.argsort(descending=True, stable=True).tolist()
    rows = [[itos[i], itos[column[i].item()], gap[i].item()] for i in order]
    return Table(["after", "at", "difference"], rows)


def rows_beside(P, Q, itos, rows, *, names=("P", "Q"), title="", ax=None):
    """Rows of two tables of probabilities (V, V) over each other: P as bars, Q as dots. rows: which characters."""
    ax = _axes(ax, (8, 1.2 * len(rows) + 0.8))
    stoi = {ch: i for i, ch in itos.items()}
    side = len(itos)
    for k, ch in enumerate(rows):
        p, q = P[stoi[ch]].nan_to_num().tolist(), Q[stoi[ch]].nan_to_num().tolist()
        top = 1.15 * max(max(p), max(q), 1e-12)
        base = len(rows) - 1 - k  # the first row on top
        ax.bar(range(side), [0.88 * v / top for v in p], bottom=base, color=BLUE, alpha=0.55,
               label=names[0] if k == 0 else None)
        ax.plot(range(side), [base + 0.88 * v / top for v in q], "o", color=RED, markersize=4,
                label=names[1] if k == 0 else None)
        ax.axhline(base, color="black", linewidth=0.6)
        ax.text(side - 0.3, base + 0.78, f"highest {max(max(p), max(q)):.2f}", ha="right", va="top", color="black")
    ax.set_xticks(range(side), [itos[i] for i in range(side)])
    ax.set_yticks([len(rows) - 0.6 - k for k in range(len(rows))], [f"after “{ch}”" for ch in rows])
    ax.tick_params(length=0)
    ax.set(title=title, xlim=(-0.7, side - 0.3), ylim=(-0.05, len(rows) + 0.02))
    ax.grid(False)
    ax.legend(ncols=2, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0)
    return ax


# ----- lecture 2: learning rates and embeddings -----------------------------------------------------------------------

def lr_sweep(exponents, losses, *, window=50, title="", ylabel="loss (nats per character)", ax=None):
    """A learning-rate sweep: each run's losses as light lines, and their mean over runs and `window` steps.

    exponents: (n,), the log10 of the learning rate of each step. losses: (runs, n), or (n,) for one run. Losses that
    are not finite are left out, and the axis ends a little above the first ones.
    """
    ax = _axes(ax)
    exponents = torch.as_tensor(exponents, dtype=torch.float32)
    losses = torch.as_tensor(losses, dtype=torch.float32)
    losses = (losses if losses.dim() == 2 else losses[None]).clone()
    losses[~losses.isfinite()] = math.nan
    for k, run in enumerate(losses.tolist()):
        ax.plot(exponents.tolist(), run, color=BLUE, alpha=0.25, linewidth=0.6, label=None if k else "single sweeps")
    each_step = losses.nanmean(0)
    mean = smoothed(each_step, window)
    first = (len(exponents) - len(mean)) // 2  # a mean stands in the middle of its steps
    ax.plot(exponents[first:first + len(mean)].tolist(), mean.tolist(), color=RED,
            label=f"mean of {len(losses)} sweeps and {min(window, len(exponents))} steps" if len(losses) > 1 else
            f"mean of {min(window, len(exponents))} steps")
    start = each_step[each_step.isfinite()][:10].mean().nan_to_num(1.0).item() or 1.0
    ax.set(title=title, xlabel="exponent of the learning rate (−1 is 0.1)", ylabel=ylabel, ylim=(0, 1.3 * start))
    ax.legend(loc="upper right")
    return ax


def embedding_map(C, itos, *, title="", ax=None):
    """The rows of an embedding table (V, n_embd) as points in the plane, each with its character; vowels in orange.

    With two columns they are the axes. With more, the two directions in which the points spread most (principal
    components), with the share of the variance that each shows. With one, all points lie on a line.
    """
    ax = _axes(ax, (5, 5))
    C = C.detach().double().nan_to_num(0.0, 0.0, 0.0)
    names = ["C[:, 0]", "C[:, 1]"]
    if C.shape[1] > 2:
        centred = C - C.mean(0)
        _, S, V = torch.linalg.svd(centred, full_matrices=False)
        V = V * V[range(len(V)), V.abs().argmax(1)].sign()[:, None]  # a direction's sign is free: fix it
        S[S.lt(C.abs().max() * 1e-6)] = 0  # where nothing spreads, draw no rounding errors
        shares = (S**2 / (S**2).sum().clamp(min=1e-30)).tolist()
        C = centred @ V[:2].T * (S[:2] > 0)
        names = [f"component {k + 1} ({shares[k]:.0%} of the variance)" for k in range(2)]
    x = C[:, 0].tolist()
    y = C[:, 1].tolist() if C.shape[1] > 1 else [0.0] * len(C)
    vowel = [itos[i] in set("aeiou") for i in range(len(C))]
    ax.scatter(x, y, s=190, c=[ORANGE if v else "#dbe9f6" for v in vowel], edgecolors=BLUE, linewidths=0.8)
    for i in range(len(C)):
        ax.text(x[i], y[i], itos[i], ha="center", va="center_baseline", weight="bold" if vowel[i] else "normal")
    ax.margins(0.08)
    ax.set(title=title, xlabel=names[0], ylabel=names[1] if C.shape[1] > 1 else "")
    return ax


# ----- lecture 3: what goes on inside a deep net ----------------------------------------------------------------------

def _layers(model):
    """The layers of a list, or the modules of a torch.nn model that have no children, with their numbers from 1."""
    if isinstance(model, torch.nn.Module):
        model = [module for module in model.modules() if not list(module.children())]
    return list(enumerate(model, start=1))


def _watched(model, only):
    """(label, output) of each layer that has kept one; only: the names of the kinds of layers wanted, or None: all.

    Raises ValueError if there is none.
    """
    kinds = None if only is None else {only} if isinstance(only, str) else set(only)
    wanted = [(i, layer) for i, layer in _layers(model) if kinds is None or type(layer).__name__ in kinds]
    found = [(f"{i} {type(layer).__name__}", layer.out) for i, layer in wanted
             if isinstance(getattr(layer, "out", None), torch.Tensor)]
    if not found:
        there = sorted({type(layer).__name__ for _, layer in _layers(model)})
        raise ValueError(f"No layer of the kind {' or '.join(sorted(kinds)) if kinds else 'any'} has kept its output. "
                         f"The kinds in this model: {', '.join(there) or 'none'}. Run it in a block "
                         f"`with watch(model):`, or keep the output as self.out.")
    return found


def _gradient_of(label, tensor):
    if tensor.grad is None:
        raise ValueError(f"{label} has no gradient. Call loss.backward() before, and have autograd keep the gradient "
                         f"of what lies inside: in a block `with watch(model):`, or with out.retain_grad().")
    return tensor.grad


def activation_stats(model, *, only="Tanh", limit=0.97):
    """What each layer puts out: a Table of layer, shape, mean, std and % saturated (beyond ±limit).

    model: a list of layers with `.out`, or a torch.nn model that ran under watch(). only: the kinds of layers (names).
    """
    rows = []
    for label, out in _watched(model, only):
        out = out.detach().float()
        rows.append([label, str(tuple(out.shape)), out.mean().item(), out.std().item(),
                     100 * (out.abs() > limit).float().mean().item()])
    return Table(["layer", "shape", "mean", "std", "% saturated"], rows, digits=2)


def gradient_stats(model, *, only="Tanh"):
    """The gradient of the loss with respect to what each layer puts out: a Table of layer, shape, mean and std."""
    rows = []
    for label, out in _watched(model, only):
        grad = _gradient_of(label, out).float()
        rows.append([label, str(tuple(grad.shape)), f"{grad.mean().item():+.1e}", f"{grad.std().item():.1e}"])
    return Table(["layer", "shape", "mean", "std"], rows)


def weight_stats(parameters):
    """The gradients of the weights: a Table of parameter, shape, mean, std and grad:data, the ratio of their stds.

    parameters: tensors with .grad, or a torch.nn model. As in the lecture only those of two dimensions and more are
    listed: biases and gains are few numbers.
    """
    rows = []
    for label, p in _weights(parameters):
        grad = _gradient_of(label, p)
        rows.append([label, str(tuple(p.shape)), f"{grad.mean().item():+.1e}", f"{grad.std().item():.1e}",
                     f"{(grad.std() / p.data.std()).item():.1e}"])
    return Table(["parameter", "shape", "mean", "std", "grad:data"], rows)


def _weights(parameters):
    """(label, parameter) of those with two dimensions and more, numbered as in the whole list."""
    if isinstance(parameters, torch.nn.Module):
        parameters = list(parameters.parameters())
    return [(f"weight {i}", p) for i, p in enumerate(parameters) if p.dim() >= 2]


def update_stats(ud, parameters, *, last=0.1):
    """How large the updates are beside the data: a Table of parameter, shape, and the mean of log10(update:data).

    ud: a list with a row for each step looked at, in it for every parameter log10(std of the update / std of the data),
    as the lecture collects it. The mean is over the last tenth of the rows (last: which share), at least one.
    """
    if not len(ud):
        raise ValueError("ud is empty: no step has been looked at. Train for some steps first.")
    n = max(1, int(last * len(ud)))
    mean = torch.tensor(ud[-n:], dtype=torch.float32).mean(0)
    place = {id(p): i for i, p in enumerate(_all(parameters))}
    rows = [[label, str(tuple(p.shape)), mean[place[id(p)]].item()] for label, p in _weights(parameters)]
    return Table(["parameter", "shape", "log10(update:data)"], rows, digits=2)


def _all(parameters):
    return list(parameters.parameters() if isinstance(parameters, torch.nn.Module) else parameters)


def _colour_of(k, n):
    """The colour of layer k of n: from light, the first, to dark, the last, so that grey print shows the order too."""
    return plt.cm.viridis(0.88 - 0.88 * k / max(1, n - 1))


def _legend_beside(ax, title):
    """Beside the axes, where it hides nothing: a stroke and the label of each of its lines, under a title.

    Placed by hand, a line of text every 12 points: matplotlib's own legend takes longer to draw than the picture.
    """
    lines = [line for line in ax.lines if not line.get_label().startswith("_")]
    if not lines:
        return
    points = Affine2D().scale(1 / 72) + ax.figure.dpi_scale_trans + ScaledTranslation(1, 0.5, ax.transAxes)
    heights = [6 * len(lines) - 12 * k for k in range(len(lines) + 1)]  # from the middle of the right edge
    for k, (text, y) in enumerate(zip([title, *(line.get_label() for line in lines)], heights, strict=True)):
        ax.text(26 if k else 6, y, text, transform=points, va="center", fontsize=8)
    strokes = LineCollection([[(6, y), (20, y)] for y in heights[1:]], colors=[line.get_color() for line in lines],
                             transform=points, clip_on=False)
    strokes.set_in_layout(False)
    ax.add_collection(strokes, autolim=False)


def _histograms(named, *, title, xlabel, numbers, log=False, bins=40, ax=None):
    """Lines for the distributions of named tensors, over one range of values.

    numbers: what the labels' numbers are; None: no legend.
    """
    ax = _axes(ax, (7.5, 2.7))
    tensors = [(label, values.detach().float().flatten()) for label, values in named]
    tensors = [(label, values[values.isfinite()]) for label, values in tensors]
    top = max((values.abs().max().item() for _, values in tensors if len(values)), default=0) or 1.0
    for k, (label, values) in enumerate(tensors):
        if len(values):
            spread = min(top, 1.02 * values.abs().max().item() or top)  # each its own range, so that none is one bin
            density, edges = torch.histogram(values, bins, range=(-spread, spread), density=True)
            if log:
                density[density == 0] = torch.nan
            ax.plot(((edges[:-1] + edges[1:]) / 2).tolist(), density.tolist(), label=label,
                    color=_colour_of(k, len(tensors)))
    ax.set(title=title, xlabel=xlabel, ylabel="density", yscale="log" if log else "linear")
    ax.minorticks_off()  # a logarithmic axis has so many that drawing them takes longer than all else
    ax.locator_params(axis="x", nbins=4)
    if not log:
        ax.locator_params(axis="y", nbins=4)
    if numbers:
        _legend_beside(ax, numbers)
    return ax


def activations(model, *, only="Tanh", limit=0.97, legend=True, title="Activations", ax=None):
    """Picture 1: the distribution of what each layer puts out; in the legend the numbers of activation_stats()."""
    table = activation_stats(model, only=only, limit=limit)
    named = [(f"{label}: {mean:+.2f} ± {std:.2f}, {full:.1f}%", out)
             for (label, _, mean, std, full), (_, out) in zip(table.rows, _watched(model, only), strict=True)]
    return _histograms(named, title=title, xlabel="activation", ax=ax,
                       numbers=f"mean ± std, beyond ±{limit:g}" if legend else None)


def gradients(model, *, only="Tanh", legend=True, title="Gradients of the activations", ax=None):
    """Picture 2: the distribution of the gradient of what each layer puts out; in the legend gradient_stats()."""
    table = gradient_stats(model, only=only)
    named = [(f"{label}: {mean} ± {std}", out.grad)
             for (label, _, mean, std), (_, out) in zip(table.rows, _watched(model, only), strict=True)]
    return _histograms(named, title=title, xlabel="gradient", numbers="mean ± std" if legend else None, ax=ax)


def weight_gradients(parameters, *, title="Gradients of the weights", ax=None):
    """Picture 3: the distribution of each weight matrix's gradient, with the numbers of weight_stats().

    The density has a logarithmic axis: layers may differ a hundredfold in width.
    """
    table = weight_stats(parameters)
    named = [(f"{label.removeprefix('weight ')} {shape}: {std}, {ratio}", p.grad)
             for (label, shape, _, std, ratio), (_, p) in zip(table.rows, _weights(parameters), strict=True)]
    return _histograms(named, title=title, xlabel="gradient", numbers="weight: std, grad:data", log=True, ax=ax)


def update_ratios(ud, parameters, *, every=1, title="Updates beside the data", ax=None):
    """Picture 4: log10(update:data) of each weight matrix over the steps, with a line at −3, a good size.

    ud, parameters: as for update_stats(). every: how many steps lie between two rows of ud.
    """
    ax = _axes(ax, (7.5, 2.7))
    table = update_stats(ud, parameters)
    place = {id(p): i for i, p in enumerate(_all(parameters))}
    x = [every * i for i in range(len(ud))]
    for k, ((label, shape, mean), (_, p)) in enumerate(zip(table.rows, _weights(parameters), strict=True)):
        ax.plot(x, [row[place[id(p)]] for row in ud], linewidth=1.2, color=_colour_of(k, len(table)),
                label=f"{label.removeprefix('weight ')} {shape}: {mean:.2f}")
    ax.axhline(-3, color="black", linewidth=1)
    ax.text(0.996, -3, "−3", va="bottom", ha="right", transform=ax.get_yaxis_transform())
    ax.set(title=title, xlabel="step", ylabel="log10(update:data)")
    ax.locator_params(nbins=5)
    _legend_beside(ax, "weight: mean at the end")
    return ax


def four_pictures(model, parameters, ud, *, only="Tanh", every=1, title=""):
    """All four pictures of lecture 3 on one figure. Returns the array of its four Axes."""
    fig, axes = plt.subplots(2, 2, figsize=(11.5, 5), layout="none")
    fig.subplots_adjust(left=0.05, right=0.81, bottom=0.09, top=0.88, wspace=1.1, hspace=0.42)  # quicker to draw
    activations(model, only=only, ax=axes[0, 0])
    gradients(model, only=only, ax=axes[0, 1])
    weight_gradients(parameters, ax=axes[1, 0])
    update_ratios(ud, parameters, every=every, ax=axes[1, 1])
    fig.suptitle(title, x=0.01, ha="left", fontsize=11)
    return axes


def saturation(h, *, limit=0.99, title="", ax=None):
    """Which activations are saturated: h (n, units) as an image, white where |h| is beyond the limit, else black.

    A row is an example, a column a neuron. A column that is all white is a neuron that no example gets through to.
    """
    ax = _axes(ax, (8, 1.2 + 3.2 * len(h) / max(40, h.shape[1])))
    ax.imshow((h.detach().abs() > limit).float().numpy(), cmap="gray", vmin=0, vmax=1, aspect="auto")
    ax.grid(False)
    ax.set(title=title, xlabel="neuron", ylabel="example")
    return ax


def gradient_image(grad, *, title="", xlabel="", ylabel="", ax=None):
    """A gradient (or weights) of two dimensions as an image: red is positive, blue negative, white 0."""
    ax = _axes(ax, (8, 3.4))
    grad = grad.detach().float().nan_to_num(0.0, 0.0, 0.0)
    top = grad.abs().max().item() or 1.0
    image = ax.imshow(grad.numpy(), cmap="RdBu_r", norm=TwoSlopeNorm(0, -top, top), aspect="auto")
    ax.figure.colorbar(image, ax=ax)
    ax.grid(False)
    ax.set(title=title, xlabel=xlabel, ylabel=ylabel)
    return ax


# ----- lecture 5: what an output sees ---------------------------------------------------------------------------------

def reach(moves):
    """Which inputs each output sees: a Table of output, the first and the last input that move it, and how many do.

    moves: bool (outputs, inputs), True where a change of the input moves the output.
    """
    rows = []
    for i, row in enumerate(torch.as_tensor(moves).bool()):
        seen = row.nonzero().flatten().tolist()
        rows.append([i, seen[0] if seen else None, seen[-1] if seen else None, len(seen)])
    return Table(["output", "from", "to", "inputs"], rows)


def receptive_field(moves, *, title="", ax=None):
    """Draw which inputs move which outputs: moves bool (outputs, inputs), a row an output, filled where it is moved.

    The dashed staircase is the place that each output stands at, if the last output stands at the last input: what is
    filled to the right of it comes from the future.
    """
    moves = torch.as_tensor(moves).bool()
    n, width = moves.shape
    ax = _axes(ax, (8, min(4.5, 0.9 + 0.22 * n)))
    rows, columns = (moves.nonzero() + 0.5).T.tolist() if moves.any() else ([], [])
    place = [width - n + i + 1 for i in range(n)]  # where what an output may see ends
    for future, colour, hatch in ((False, BLUE, None), (True, RED, "//")):
        for y, x in zip(rows, columns, strict=True):
            if (x > place[int(y)]) == future:
                ax.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=colour, edgecolor="white", linewidth=0.5,
                                       hatch=hatch))
    ax.step([*place, place[-1]] if n else [], range(n + 1) if n else [], "k--", where="pre", linewidth=1)
    ax.set(title=title, xlabel="input", ylabel="output", xlim=(0, width + 0.05), ylim=(max(n, 1), 0))
    for axis, size in ((ax.xaxis, width), (ax.yaxis, n)):
        every = max(1, math.ceil(size / 16))
        axis.set_ticks([i + 0.5 for i in range(0, size, every)], [str(i) for i in range(0, size, every)])
    ax.tick_params(length=0)
    ax.grid(False)
    return ax
