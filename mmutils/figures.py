"""Tensors → figures, and the statistics behind them.

Every figure takes its data first, then keyword-only arguments with `ax=None` among them; it draws on that Axes (on a
new figure's if None) and returns it. Nothing is shown, saved or kept here. Where a figure has numbers of its own, a
statistics function computes them and returns a Table, which prints itself; the figure draws that Table.
"""

import base64
import io
import math
import textwrap
import warnings

import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython import get_ipython
from matplotlib.artist import Artist
from matplotlib.colors import LinearSegmentedColormap, ListedColormap, PowerNorm, to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.patches import FancyArrowPatch, Rectangle
from matplotlib.text import Text
from matplotlib.ticker import LogLocator
from matplotlib.transforms import Bbox
from matplotlib_inline.backend_inline import set_matplotlib_formats
from PIL import Image

# one colour for one thing, through all notebooks (petroff10, which colour-blind readers can tell apart)
BLUE, ORANGE, RED, GREY, PURPLE, BROWN = "#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59"
LINES = ["-", "--", "-.", ":"]
SMALL = 9.5                                             # points: the smallest letters, but for those of crowded tables
SIGNED = LinearSegmentedColormap.from_list("signed", plt.get_cmap("RdBu_r")(np.linspace(0.08, 0.92, 255)))

# for letters that matplotlib's own font lacks, such as Devanagari's: Windows', macOS', Linux' fonts, a few of each
MORE_FONTS = ["Nirmala UI", "Leelawadee UI", "Microsoft YaHei", "Malgun Gothic", "Yu Gothic", "Arial Unicode MS",
              "Kohinoor Devanagari", "Noto Sans Devanagari", "Lohit Devanagari", "Noto Sans Bengali", "Noto Sans Tamil",
              "Noto Sans Thai", "Noto Sans Ethiopic", "Noto Sans CJK JP", "WenQuanYi Zen Hei"]


def use_style():
    """Set matplotlib's look for the notebooks: sizes, colours, an opaque white background, sharp on any screen.

    A picture is as wide as a page, and shown as large as its figsize, with two pixels for each ("retina"). Letters
    that no font has are drawn as boxes, without a warning for each.
    """
    installed = set(fontManager.get_font_names())
    warnings.filterwarnings("ignore", r"(?s)Glyph \d+ .*missing from", UserWarning)
    plt.style.use(["default", "petroff10"])
    plt.rcParams.update({
        "figure.figsize": (9.0, 3.4), "figure.dpi": 96, "savefig.dpi": 96, "figure.constrained_layout.use": True,
        "figure.facecolor": "white", "savefig.facecolor": "white", "savefig.transparent": False,
        "font.family": ["sans-serif", *(name for name in MORE_FONTS if name in installed)],
        "font.size": 10.5, "axes.titlesize": 12.0, "figure.titlesize": 12.0, "axes.titlelocation": "left",
        "xtick.labelsize": 10.0, "ytick.labelsize": 10.0, "legend.fontsize": 10.0, "axes.axisbelow": True,
        "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.3,
        "legend.frameon": False, "lines.linewidth": 1.6, "image.interpolation": "nearest"})
    if get_ipython() is not None:
        set_matplotlib_formats("retina")
        get_ipython().display_formatter.formatters["image/png"].for_type(Figure, _retina)


def _retina(figure):
    """The figure as a notebook keeps it: a PNG at twice the dpi, and the size that it is to be shown with.

    IPython's own draws each picture twice, to find margins to cut off, and keeps 16 million colours: with 256 a
    picture looks the same, is written sooner, and takes a third of the bytes.
    """
    if not figure.axes:
        return None
    drawn, written = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=2 * figure.dpi, pil_kwargs={"compress_level": 0})
    picture = Image.open(drawn).convert("RGB").quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    palette, white = picture.getpalette(), 3 * picture.getpixel((0, 0))
    palette[white:white + 3] = [255, 255, 255]              # not nearly white
    picture.putpalette(palette)
    picture.save(written, "png")
    width, height = picture.size
    return base64.b64encode(written.getvalue()).decode(), {"width": width // 2, "height": height // 2}


class Table:
    """Rows under headings. Prints itself with aligned columns; `table["loss"]` is that column as a list.

    headings: list of str. rows: list of lists, one value a heading: str, int, float, or None for an empty square.
    digits:   how many decimals a float gets, or its format: ".1e" for two digits that count.
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
            if isinstance(self.digits, str):
                return f"{value:{self.digits}}" if value else "0"
            return f"{round(value, self.digits) + 0.0:,.{self.digits}f}"  # + 0.0: what rounds to -0 is printed as 0
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


class _EndLabels(Artist):
    """Labels of lines at their right ends, spread so that none covers another.

    They find their places each time they are drawn: a scale or a limit of the axes may be set after the lines.
    """

    def __init__(self, ax, lines, names):
        super().__init__()
        self.lines = lines
        self.labels = [Text(text=name, va="center", fontsize=10.0) for name in names]
        ax.add_artist(self)
        self.set_clip_on(False)
        for label in self.labels:
            label.set_figure(ax.get_figure())

    def place(self, renderer):
        """Set the labels to the heights of the last points, as near as their own heights allow."""
        box, ends = self.axes.bbox, []
        for line, label in zip(self.lines, self.labels, strict=True):
            label.set_color(tuple(0.66 * part for part in to_rgb(line.get_color())))  # dark enough for letters on white
            y = line.get_ydata(orig=False)
            last = y[~np.isnan(y)][-1] if not np.isnan(y).all() else -math.inf
            at = line.get_transform().transform((1, last))[1] if math.isfinite(last) else last
            ends.append((min(max(at, box.y0), box.y1), label))
        ends.sort(key=lambda end: end[0])
        tall = np.array([label.get_window_extent(renderer).height for _, label in ends]) + renderer.points_to_pixels(2)
        # beside labels laid end to end, those that leave each other room never come down from one to the next
        laid = tall.cumsum() - tall / 2
        free = np.array([at for at, _ in ends]) - laid
        up, down = np.maximum.accumulate(free), np.minimum.accumulate(free[::-1])[::-1]
        at = ((up + down) / 2).clip(box.y0, max(box.y0, box.y1 - tall.sum())) + laid  # pushed up and down alike
        for (_, label), y in zip(ends, at, strict=True):
            label.set_position((box.x1 + renderer.points_to_pixels(5), y))

    def get_window_extent(self, renderer=None):
        """What the labels cover, for the figure's layout."""
        renderer = renderer or self.get_figure().canvas.get_renderer()
        self.place(renderer)
        return Bbox.union([label.get_window_extent(renderer) for label in self.labels])

    def draw(self, renderer):
        self.place(renderer)
        for label in self.labels:
            label.draw(renderer)


def _name_lines(ax, width=18):
    """Name the lines at their ends, in `width` characters a line of text; in a legend if there is no room for that."""
    lines = [line for line in ax.lines if not line.get_label().startswith("_")]
    names = [textwrap.fill(line.get_label(), width, break_on_hyphens=False) for line in lines]
    room = 72 * ax.get_position().height * ax.get_figure().get_figheight()
    if 14 * sum(name.count("\n") + 1 for name in names) > room:
        ax.legend(ncols=math.ceil(len(lines) / 10))
    elif lines:
        _EndLabels(ax, lines, names)


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

    Every line has its own dash besides its colour, and its label at its end, so that grey print tells it apart too.
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
    ax.margins(x=0.02)
    _name_lines(ax)
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
    ax.margins(x=0.02)
    _name_lines(ax)
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
        width, height = 0.3125 * side + 0.5625, 0.3125 * side + 1.0
        ax = plt.figure(figsize=(width, height), layout="none").add_axes(
            (0.4375 / width, 0.4375 / height, 0.3125 * side / width, 0.3125 * side / height))
    ax = _axes(ax, (5.4, 5.4))
    values = N.double().nan_to_num(0.0)
    top = max(values.max().item(), 1e-12)
    norm = norm or PowerNorm(0.5, 0, top)
    # under letters only the light blues, so that all of them can be black
    blues = ListedColormap(plt.get_cmap("Blues")(np.linspace(0, 0.6 if text else 1, 12)))
    ax.imshow(values.numpy(), cmap=blues, norm=norm)
    for i in range(side if text else 0):
        for j in range(side):
            v = N[i, j].item()
            shown = f"{v:.2f}" if v >= 0.1 else f"{v:.3f}"  # two digits that count
            shown = f"{v:.0f}" if v in (0, 1) or not N.is_floating_point() else shown.lstrip("0")
            colour = "black" if v else "#7b8a88"
            for y, what in ((i - 0.2, itos[i] + itos[j]), (i + 0.22, shown)):
                # in_layout=False: a layout that measures each of these texts takes seconds
                ax.text(j, y, what, ha="center", va="center", color=colour, fontsize=8 - 0.5 * max(0, len(what) - 3),
                        in_layout=False)
    ax.set_xticks(range(side), [itos[i] for i in range(side)])
    ax.set_yticks(range(side), [itos[i] for i in range(side)])
    for label in ax.get_xticklabels():
        label.set_rotation(90 if len(label.get_text()) > 1 else 0)
    ax.tick_params(length=0, labelsize=10 if text else SMALL, top=text, labeltop=text)
    ax.spines[:].set_visible(False)
    ax.grid(False)
    ax.set(title=title, xlabel="then", ylabel="first this character")
    return ax


def sampling_walk(steps, P, itos, *, title="", ax=None):
    """Names drawn by a walk through the rows of P (V, V): each step's row as one bar from 0 to 1, and where u fell.

    steps: (ix, u, drawn) for each step: the row, the random number from 0 to 1, the character on whose piece it fell.
    """
    ax = _axes(ax, (9, 0.9 + 0.62 * len(steps)))
    for k, (ix, u, drawn) in enumerate(steps):
        left = 0.0
        for j, width in enumerate(P[ix].tolist()):
            colour = ORANGE if j == drawn else "#dbe9f6" if j % 2 else "#b8d4ec"
            ax.add_patch(Rectangle((left, k - 0.3), width, 0.6, facecolor=colour))
            if width > 0.022 or j == drawn:
                ax.text(left + width / 2, k, itos[j], ha="center", va="center",
                        color="black" if j == drawn else "#2a5d8f", weight="bold" if j in (0, drawn) else "normal")
            left += width
        ax.plot([u, u], [k - 0.45, k - 0.3], color=RED, linewidth=2)
        ax.text(u, k - 0.46, f"u = {u:.3f}", ha="center", va="bottom", color=RED, fontsize=SMALL)
        ax.text(1.01, k, f"“{itos[drawn]}”, p = {P[ix, drawn]:.3f}", va="center")
    ax.set_yticks(range(len(steps)), [f"after “{itos[ix]}”" for ix, _, _ in steps])
    ax.set(xlim=(0, 1.16), ylim=(len(steps) - 0.5, -0.75), title=title, xticks=[0, 0.25, 0.5, 0.75, 1],
           xlabel="probabilities of the next character, end to end")
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    ax.grid(False)
    return ax


# ----- lecture 1: the net ---------------------------------------------------------------------------------------------

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
    """Draw xenc @ W = logits, with the row of W that one example picks, and where it lands.

    xenc: one-hot, (n, V), above at the left; under it the logits. W: weights, (V, V); red is positive, blue negative.
    example: which row of xenc is followed.
    """
    ax = _axes(ax, (9, 5.4))
    n, side = xenc.shape
    W = W.detach().nan_to_num(0.0, 0.0, 0.0)  # weights of a run that went wrong can be drawn too
    top = W.abs().max().item() or 1.0
    given = xenc.argmax(1).tolist()
    tall, at_W = max(side, 2 * n + 6), side + 4
    at_out = tall - n
    _one_hot_at(ax, xenc, 0, 0)
    for values, left, y in ((W, at_W, 0), (xenc.float() @ W, 0, at_out)):
        ax.imshow(values.numpy(), cmap=SIGNED, vmin=-top, vmax=top, aspect="auto",
                  extent=(left, left + side, y + len(values), y))
    picked = given[example]
    for left, y, rows, name in ((0, 0, given, f"xenc ({n}, {side})"), (at_W, 0, range(side), f"W ({side}, {side})"),
                                (0, at_out, given, f"logits = xenc @ W ({n}, {side})")):
        for k, i in enumerate(rows):  # what each row belongs to, and each column
            followed = i == picked if left == at_W else k == example
            ax.text(left - 0.5, y + k + 0.5, itos[i], ha="right", va="center", fontsize=SMALL,
                    color=RED if followed else "black", weight="bold" if followed else "normal")
        for j in range(side):
            ax.text(left + j + 0.5, y - 0.15, itos[j], ha="center", va="bottom", fontsize=9)
        ax.text(left, y - 1.5, name, va="bottom")
        ax.add_patch(Rectangle((left, y + (picked if left == at_W else example)), side, 1, fill=False,
                               edgecolor="black", linewidth=1.8, zorder=3))
    arrow = {"arrowstyle": "->", "color": RED, "mutation_scale": 15, "linewidth": 1.8, "zorder": 4}
    ax.add_patch(FancyArrowPatch((picked + 0.5, example + 1), (at_W - 1.4, picked + 0.7),
                                 connectionstyle="arc3,rad=0.3", **arrow))
    ax.add_patch(FancyArrowPatch((at_W - 1.7, picked + 1), (side + 0.1, at_out + example + 0.5),
                                 connectionstyle="angle,angleA=90,angleB=0,rad=8", **arrow))
    ax.set(title=title, xlim=(-2, at_W + side + 0.3), ylim=(tall + 0.2, -3), xticks=[], yticks=[])
    return ax


def rows_beside(P, Q, itos, rows, *, names=("P", "Q"), title="", ax=None):
    """Rows of two tables of probabilities (V, V) over each other: P as bars, Q as dots. rows: which characters."""
    ax = _axes(ax, (9, 1.2 * len(rows) + 0.8))
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


# ----- lecture 3: what goes on inside a deep net ----------------------------------------------------------------------

def _layers(model):
    """The layers of a list, or the modules of a torch.nn model without children, numbered from 0 as in the video."""
    if isinstance(model, torch.nn.Module):
        model = [module for module in model.modules() if not list(module.children())]
    return list(enumerate(model))


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


def _mean_std(values):
    """Mean and std as floats. A mean under a thousandth of the std is nothing but rounding: it counts as 0."""
    values = values.detach().float()
    std = values.std().item() if values.numel() > 1 else math.nan
    mean = values.mean().item()
    return 0.0 if abs(mean) < 1e-3 * std else mean, std


def _weights(parameters):
    """(place in the whole list, parameter) of those with two dimensions and more."""
    return [(i, p) for i, p in enumerate(_all(parameters)) if p.dim() >= 2]


def _all(parameters):
    return list(parameters.parameters() if isinstance(parameters, torch.nn.Module) else parameters)


def activation_stats(model, *, only="Tanh", limit=0.97):
    """What each layer puts out: a Table of layer, shape, mean, std and % saturated (beyond ±limit).

    model: a list of layers with `.out`, or a torch.nn model that ran under watch(). only: the kinds of layers (names).
    A layer's number is its place in the whole list, from 0.
    """
    rows = []
    for label, out in _watched(model, only):
        mean, std = _mean_std(out)
        full = math.nan if math.isnan(mean) else 100 * (out.detach().abs() > limit).float().mean().item()
        rows.append([label, str(tuple(out.shape)), mean, std, full])
    return Table(["layer", "shape", "mean", "std", "% saturated"], rows, digits=2)


def gradient_stats(model, *, only="Tanh"):
    """The gradient of the loss with respect to what each layer puts out: a Table of layer, shape, mean and std."""
    rows = [[label, str(tuple(out.shape)), *_mean_std(_gradient_of(label, out))]
            for label, out in _watched(model, only)]
    return Table(["layer", "shape", "mean", "std"], rows, digits=".1e")


def weight_stats(parameters):
    """The gradients of the weights: a Table of parameter, shape, mean, std and grad:data, the ratio of their stds.

    parameters: tensors with .grad, or a torch.nn model. As in the lecture only those of two dimensions and more are
    listed (biases and gains are few numbers), and each keeps its place in the whole list as its number.
    """
    rows = []
    for i, p in _weights(parameters):
        mean, std = _mean_std(_gradient_of(f"weight {i}", p))
        ratio = torch.tensor(std) / torch.tensor(_mean_std(p)[1])  # of tensors: 0 / 0 is nan
        rows.append([f"weight {i}", str(tuple(p.shape)), mean, std, ratio.item()])
    return Table(["parameter", "shape", "mean", "std", "grad:data"], rows, digits=".1e")


def update_stats(ud, parameters, *, last=0.1):
    """How large the updates are beside the data: a Table of parameter, shape, and the mean of log10(update:data).

    ud: a list with a row for each step looked at, in it for every parameter log10(std of the update / std of the data),
    as the lecture collects it. The mean is over the last tenth of the rows (last: which share), at least one.
    """
    if not len(ud):
        raise ValueError("ud is empty: no step has been looked at. Train for some steps first.")
    n = max(1, int(last * len(ud)))
    mean = torch.tensor(ud[-n:], dtype=torch.float32).mean(0)
    rows = [[f"weight {i}", str(tuple(p.shape)), mean[i].item()] for i, p in _weights(parameters)]
    return Table(["parameter", "shape", "log10(update:data)"], rows, digits=2)


def _rows(ax, labels, columns=(), va="bottom"):
    """Give each label a row of the axes, the first on top, and write columns of (heading, texts) at their right."""
    n, right = len(labels), 0
    ax.set_yticks(range(n - 1, -1, -1), labels, va=va)
    ax.set_ylim(-0.15, n)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="y", visible=False)
    ax.spines["left"].set_visible(False)
    for heading, texts in columns:
        right += 5.6 * max(map(len, (heading, *texts))) + 11
        for text, y in zip((heading, *texts), (n + 0.05, *range(n - 1, -1, -1)), strict=True):
            ax.annotate(text, (1, y), xycoords=ax.get_yaxis_transform(), xytext=(right, 0), ha="right", va="bottom",
                        textcoords="offset points", fontsize=SMALL, color="#56605f" if text is heading else "black")


def _ridge(ax, tensors, edges, beyond=math.inf):
    """A filled histogram a row, each as high as its row; what lies beyond ±`beyond` in red on a shaded ground."""
    outside = ((edges[1:] + edges[:-1]) / 2).abs().numpy() > beyond
    end = edges[-1].item()
    for k, values in enumerate(tensors):
        base = len(tensors) - 1 - k
        ax.axhline(base, color=GREY, linewidth=0.6)
        counts = torch.histogram(values[values.isfinite()], edges)[0]
        height = base + (0.86 * counts / counts.max().clamp(min=1)).numpy()
        for part, colour in ((~outside, BLUE), (outside, RED)):
            ax.stairs(np.where(part, height, base), edges.numpy(), baseline=base, fill=True, color=colour)
    if outside.any():
        ax.axvspan(-end, -beyond, color=RED, alpha=0.12, linewidth=0, zorder=0)
        ax.axvspan(beyond, end, color=RED, alpha=0.12, linewidth=0, zorder=0)
    ax.set_xlim(-end, end)
    ax.locator_params(axis="x", nbins=4)                 # small numbers are long


def _std_beside(ax, stds, log):
    """Dots for the std by layer, in the rows of the axes beside; on a log axis with the factor from first to last."""
    ax.plot(stds, [len(stds) - 0.7 - k for k in range(len(stds))], "o-", color=BLUE, markersize=6)
    ax.set_xlabel("std by layer")
    ax.tick_params(axis="y", length=0, labelleft=False)
    ax.grid(axis="y", visible=False)
    good = [std for std in stds if 0 < std < math.inf]
    if not (log and good):
        ax.set_xlim(0, 1.15 * max(good, default=1.0))
        ax.locator_params(axis="x", nbins=3)
        return
    middle = math.sqrt(min(good) * max(good))  # at least a decade: what is level looks level
    ax.set(xscale="log", xlim=(min(min(good) / 1.5, middle / 4), max(max(good) * 1.5, middle * 4)))
    ax.minorticks_off()
    if max(good) < 30 * min(good):
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
        ax.xaxis.set_major_formatter("{x:.0e}")
    if len(good) == len(stds) > 1:
        ax.set_title(f"first : last = {stds[0] / stds[-1]:.2g}")


def _pair_of_axes(ax, n):
    """The given axes and None, or two of a new figure: for rows, and for what stands beside them."""
    if ax is not None:
        return ax, None
    return plt.subplots(1, 2, figsize=(9, 1.1 + 0.48 * n), width_ratios=[3, 1], sharey=True)[1]


def activations(model, *, only="Tanh", limit=0.97, legend=True, title="Activations", ax=None):
    """Picture 1: the distribution of what each layer puts out, a row a layer, with the numbers of activation_stats().

    Where all lies within ±1, as after a tanh, what is beyond ±limit is red. legend: write the numbers on the rows.
    On a figure of its own the std by layer stands beside it.
    """
    table = activation_stats(model, only=only, limit=limit)
    tensors = [out.detach().float().flatten() for _, out in _watched(model, only)]
    ax, side = _pair_of_axes(ax, len(table))
    top = max(v.nan_to_num(0.0, 0.0, 0.0).abs().max().item() for v in tensors) or 1.0
    columns = [(name, [table._text(value) for value in table[name]]) for name in ("mean", "std")]
    squashed = top <= 1 and 0.1 < limit < 1
    if squashed:  # bins that end at the limit
        width, more = 2 * limit / 33, math.ceil(33 * (1 / limit - 1) / 2)
        edges = width * torch.arange(-more, 34 + more) - limit
        columns.append((f"beyond {limit:g}", [f"{full:.1f}%" for full in table["% saturated"]]))
    else:
        edges = torch.linspace(-top, top, 51)
    _rows(ax, table["layer"], columns if legend else ())
    _ridge(ax, tensors, edges, limit if squashed else math.inf)
    ax.set(title=title, xlabel="activation")
    if side is not None:
        _std_beside(side, table["std"], log=False)
    return ax


def gradients(model, *, only="Tanh", legend=True, title="Gradients of the activations", ax=None):
    """Picture 2: the distribution of the gradient of what each layer puts out, a row a layer, with gradient_stats().

    The axis is shared and ends at four times the widest std. legend: write the numbers on the rows. On a figure of its
    own the std by layer stands beside it, with the factor between the first and the last.
    """
    table = gradient_stats(model, only=only)
    ax, side = _pair_of_axes(ax, len(table))
    top = 4 * max((std for std in table["std"] if 0 < std < 1e30), default=0.25)
    _rows(ax, table["layer"], [("std", [table._text(std) for std in table["std"]])] if legend else ())
    _ridge(ax, [out.grad.float().flatten() for _, out in _watched(model, only)], torch.linspace(-top, top, 51))
    ax.set(title=title, xlabel="gradient")
    if side is not None:
        _std_beside(side, table["std"], log=True)
    return ax


def weight_gradients(parameters, *, title="Gradients of the weights", ax=None):
    """Picture 3: how large each weight matrix's gradient is beside its data, a dot a matrix on a logarithmic axis.

    Draws grad:data of weight_stats(); the last matrix in the accent colour.
    """
    ratios = weight_stats(parameters)["grad:data"]
    n = len(ratios)
    ax = _axes(ax, (9, 1.1 + 0.36 * n))
    _rows(ax, [f"{i} {tuple(p.shape)}" for i, p in _weights(parameters)], va="center")
    good = [ratio for ratio in ratios if 0 < ratio < math.inf] or [1.0]
    ax.set(title=title, xlabel="std of the gradient : std of the data", ylim=(-0.6, n - 0.4), xscale="log",
           xlim=(min(min(good) / 2, max(good) / 12), max(good) * 6))
    ax.minorticks_off()
    for k, ratio in enumerate(ratios):
        y, colour = n - 1 - k, ORANGE if k == n - 1 else BLUE
        ax.axhline(y, color=GREY, linewidth=0.6, alpha=0.5, zorder=0)
        place = {"xy": (0, y), "xycoords": ax.get_yaxis_transform()}
        if ratio in good:
            ax.plot(ratio, y, "o", color=colour, markersize=8)
            place = {"xy": (ratio, y)}
        ax.annotate(f"{ratio:.2g}", **place, xytext=(9, 0), textcoords="offset points", va="center", fontsize=SMALL,
                    bbox={"facecolor": "white", "edgecolor": "none", "pad": 1})
    return ax


def update_ratios(ud, parameters, *, every=1, title="Update to data", ax=None):
    """Picture 4: log10(update:data) of each weight matrix over the steps, with a line at −3, a good size.

    ud, parameters: as for update_stats(). every: how many steps lie between two rows of ud. The later the matrix, the
    darker its line; the last in the accent colour.
    """
    if not len(ud):
        raise ValueError("ud is empty: no step has been looked at. Train for some steps first.")
    ax = _axes(ax)
    weights = _weights(parameters)
    x = [every * i for i in range(len(ud))]
    for k, (i, p) in enumerate(weights):
        colour = ORANGE if k == len(weights) - 1 else plt.cm.Blues(0.35 + 0.6 * k / max(1, len(weights) - 2))
        ax.plot(x, [row[i] for row in ud], color=colour, label=f"{i} {tuple(p.shape)}",
                linewidth=2 if k == len(weights) - 1 else 1.3)
    ax.axhline(-3, color="black", linestyle="--", linewidth=1.2, zorder=1)
    ax.set(title=title, xlabel="step", ylabel="log10(update:data)")
    ax.locator_params(axis="x", nbins=5)
    ax.locator_params(axis="y", nbins=8, steps=[1, 5, 10])  # −3 is among them
    ax.margins(x=0.01)
    _name_lines(ax)
    return ax


def four_pictures(model, parameters, ud, *, only="Tanh", every=1, title=""):
    """All four pictures of lecture 3 on one figure. Returns the array of its four Axes."""
    fig = plt.figure(figsize=(9, 7), layout="none")        # places by hand: a layout takes longer than the drawing
    places = ((0.08, 0.57, 0.22, 0.32), (0.61, 0.57, 0.29, 0.32), (0.12, 0.08, 0.34, 0.36), (0.575, 0.08, 0.3, 0.36))
    axes = np.array([fig.add_axes(place) for place in places]).reshape(2, 2)
    activations(model, only=only, ax=axes[0, 0])
    gradients(model, only=only, ax=axes[0, 1])
    weight_gradients(parameters, ax=axes[1, 0])
    update_ratios(ud, parameters, every=every, ax=axes[1, 1])
    fig.suptitle(title, x=0.01, y=0.985, ha="left")
    return axes


def saturation(h, *, limit=0.99, mark_dead=True, title="", ax=None):
    """Which activations are saturated: h (n, units) as an image, white where |h| is beyond the limit, else black.

    A row is an example, a column a neuron. A neuron that is white all the way down gets no gradient from any example:
    it is dead, and red if mark_dead. On a figure of its own a bar under each neuron tells its share of examples.
    """
    if ax is None:
        _, (ax, under) = plt.subplots(2, 1, figsize=(9, 4.6), height_ratios=[2.4, 1], sharex=True)
    else:
        under = None
    full = h.detach().abs() > limit
    dead = full.all(0) & mark_dead
    ax.imshow((full.int() + (full & dead).int()).numpy(), cmap=ListedColormap(["black", "white", RED]), vmin=0, vmax=2,
              aspect="auto")
    ax.grid(False)
    ax.spines[:].set_visible(True)
    ax.set(title=title, ylabel="example", xlabel="" if under is not None else "neuron")
    if under is not None:
        share = 100 * full.float().mean(0)
        under.bar(range(h.shape[1]), share.tolist(), width=1.0, color=[RED if one else GREY for one in dead.tolist()])
        under.set(xlabel="neuron", ylabel="% of examples", ylim=(0, 100))
        under.grid(axis="x", visible=False)
    return ax


# ----- lecture 5: what an output sees ---------------------------------------------------------------------------------

def receptive_field(moves, *, title="", ax=None):
    """Draw which inputs move which outputs: moves bool (outputs, inputs), a row an output, filled where it is moved.

    The dashed staircase is the place that each output stands at, if the last output stands at the last input: what is
    filled to the right of it comes from the future.
    """
    moves = torch.as_tensor(moves).bool()
    n, width = moves.shape
    ax = _axes(ax, (9, min(5.0, 1.0 + 0.24 * n)))
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
