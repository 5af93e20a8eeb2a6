"""figures.py: each figure draws what its table says, on the Axes it is given, and leaves nothing else behind."""

import base64
import io
import math

import matplotlib
import pytest
import torch
import torch.nn.functional as F
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from PIL import Image

import mmutils
from mmutils import figures
from mmutils.figures import (
    BLUE,
    ORANGE,
    Table,
    bars,
    curves,
    difference,
    loss_curve,
    one_hot_picks_row,
    pairs,
    rows_beside,
    sampling_walk,
    smoothed,
)

matplotlib.use("Agg")

ITOS = dict(enumerate(".abc"))
STOI = {ch: i for i, ch in ITOS.items()}
N = torch.tensor([[0, 6, 1, 1],
                  [2, 0, 1, 1],
                  [0, 2, 0, 6],
                  [4, 0, 0, 0]])
P = N / N.sum(1, keepdim=True)
Q = torch.full((4, 4), 0.25)
XENC = F.one_hot(torch.tensor([2, 0, 3]), 4)
W = torch.arange(16.0).view(4, 4) - 8


pytestmark = pytest.mark.usefixtures("clean_figures")


def texts(ax):
    return [text.get_text() for text in ax.texts]


def ticks(axis):
    return [tick.label1.get_text() for tick in axis.get_major_ticks()]


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def end_labels(ax):
    """The texts at the lines' ends, drawn: from the lowest to the highest."""
    ax.figure.canvas.draw()
    found, = (artist for artist in ax.get_children() if type(artist).__name__ == "_EndLabels")
    return sorted(found.labels, key=lambda label: label.get_position()[1])


def boxes(ax, colour=None):
    """(left, bottom, width, height) of the rectangles filled with a colour."""
    return [(*patch.get_xy(), patch.get_width(), patch.get_height()) for patch in ax.patches
            if hasattr(patch, "get_xy") and (colour is None or patch.get_facecolor()[:3] == to_rgba(colour)[:3])]


def line(ax, label):
    """x and y of the line with this label."""
    found = next(line for line in ax.lines if line.get_label() == label)
    return list(found.get_xdata()), list(found.get_ydata())


# ----- what every figure promises -------------------------------------------------------------------------------------

FIGURES = {
    "bars": lambda **more: bars([1, 2, 3], "abc", others=[3, 2, 1], names=["ours", "theirs"], **more),
    "curves": lambda **more: curves([1, 2, 3], {"dev": [3, 2, 1], "train": [2, 1, 0]}, mark=(2, 2, "here"), **more),
    "loss_curve": lambda **more: loss_curve([3.0, 2.0, 1.0], window=2, floor=0.5, **more),
    "pairs": lambda **more: pairs(N, ITOS, **more),
    "pairs without text": lambda **more: pairs(P, ITOS, text=False, **more),
    "sampling_walk": lambda **more: sampling_walk([(0, 0.1, 1), (1, 0.9, 3)], P, ITOS, **more),
    "one_hot_picks_row": lambda **more: one_hot_picks_row(XENC, W, ITOS, **more),
    "rows_beside": lambda **more: rows_beside(P, Q, ITOS, ".a", **more),
}


@pytest.fixture(params=FIGURES.values(), ids=FIGURES)
def figure(request):
    return request.param


def test_a_figure_is_drawn_on_the_axes_it_is_given(figure):
    _, (ours, other) = plt.subplots(1, 2)
    assert figure(ax=ours) is ours
    assert ours.has_data() and not other.has_data() and not other.texts
    assert len(plt.get_fignums()) == 1


def test_without_axes_a_figure_makes_its_own_and_opens_nothing_else(figure):
    _, before = plt.subplots()
    ax = figure()
    assert ax is not before and ax.has_data() and not before.has_data()
    assert len(plt.get_fignums()) == 2
    assert ax.figure.axes == [ax]


def test_a_figure_takes_a_title(figure):
    ax = figure(title="What to see")
    assert "What to see" in [ax.get_title(loc) for loc in ("left", "center", "right")]


def test_axes_and_title_are_given_by_name_only(figure):
    with pytest.raises(TypeError):
        figure(where=None)


def test_a_figure_shows_saves_and_changes_nothing(figure, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a figure must leave this to the notebook")

    monkeypatch.setattr(plt, "show", refuse)
    monkeypatch.setattr(Figure, "show", refuse)
    monkeypatch.setattr(Figure, "savefig", refuse)
    before = dict(matplotlib.rcParams)
    figure()
    assert dict(matplotlib.rcParams) == before


def test_a_figure_leaves_its_data_as_they_are(figure):
    before = [data.clone() for data in (N, P, Q, XENC, W)]
    figure()
    assert all(torch.equal(old, new) for old, new in zip(before, (N, P, Q, XENC, W), strict=True))


def test_a_figure_fits_into_its_picture_in_the_notebooks_style(figure):
    """A notebook shows each picture as large as its figsize: nothing may lie beyond its edges."""
    mmutils.use_style()
    drawn = figure().figure
    drawn.canvas.draw()
    box, (width, height) = drawn.get_tightbbox(drawn.canvas.get_renderer()), drawn.get_size_inches()
    assert min(box.x0, box.y0, width - box.x1, height - box.y1) > -0.02


def test_the_style_is_white_opaque_and_the_same_when_called_again():
    mmutils.use_style()
    once = dict(matplotlib.rcParams)
    assert once["savefig.facecolor"] == once["figure.facecolor"] == "white" and not once["savefig.transparent"]
    assert once["axes.prop_cycle"].by_key()["color"][0] == BLUE
    matplotlib.rcParams["font.size"] = 30
    mmutils.use_style()
    assert dict(matplotlib.rcParams) == once


def test_letters_that_no_font_has_are_drawn_without_a_warning():
    figure = bars([1.0], ["\U0001e900"]).figure
    with pytest.raises(UserWarning, match="Glyph 125184 .*missing from"):      # as matplotlib does, left alone
        figure.draw_without_rendering()
    mmutils.use_style()
    figure.draw_without_rendering()


def test_the_style_asks_for_fonts_of_other_scripts_only_if_they_are_installed(monkeypatch):
    assert set(matplotlib.rcParamsDefault["font.family"]) == {"sans-serif"}
    monkeypatch.setattr(figures.fontManager, "get_font_names", lambda: ["DejaVu Sans", "Nirmala UI"])
    mmutils.use_style()
    assert matplotlib.rcParams["font.family"] == ["sans-serif", "Nirmala UI"]


def test_a_notebook_keeps_a_figure_at_twice_its_size_white_and_small():
    mmutils.use_style()
    ax = loss_curve([3.0, 2.0, 2.5], window=2)
    text, shown = figures._retina(ax.figure)
    picture = Image.open(io.BytesIO(base64.b64decode(text)))
    width, height = (int(96 * inches) for inches in ax.figure.get_size_inches())
    assert shown == {"width": width, "height": height} and abs(picture.height - 2 * height) <= 1
    assert picture.width == 2 * width and picture.mode == "P"
    assert picture.convert("RGBA").getpixel((0, 0)) == (255, 255, 255, 255)
    assert ax.figure.dpi == 96
    assert figures._retina(plt.figure()) is None  # as IPython does with a figure on which nothing is


# ----- Table ----------------------------------------------------------------------------------------------------------

def test_a_table_prints_itself_aligned():
    table = Table(["model", "loss", "names"], [["bigram", 2.45412, 32033], ["net", 12.5, None], ["none", None, 7]])
    assert repr(table) == str(table) == ("model      loss   names\n"
                                         "------  -------  ------\n"
                                         "bigram   2.4541  32,033\n"
                                         "net     12.5000\n"
                                         "none                  7")


def test_a_table_has_columns_rows_and_digits():
    table = Table(["a", "b"], [[1, 0.125], [2, -0.5]], digits=1)
    assert (table["a"], table["b"], len(table)) == ([1, 2], [0.125, -0.5], 2)
    assert repr(table).splitlines()[2:] == ["1   0.1", "2  -0.5"]


def test_a_tables_floats_may_be_large_or_none_at_all():
    lines = repr(Table(["loss"], [[math.inf], [math.nan], [12345.5]])).splitlines()
    assert lines[2:] == ["        inf", "        nan", "12,345.5000"]


def test_what_rounds_to_zero_has_no_sign():
    assert repr(Table(["a"], [[-0.001], [0.004], [-0.0], [-0.006]], digits=2)).split()[2:] == ["0.00"] * 3 + ["-0.01"]


def test_a_tables_floats_may_have_two_digits_that_count():
    table = Table(["std"], [[0.000123], [-45.0], [0.0], [math.nan]], digits=".1e")
    assert repr(table).split()[2:] == ["1.2e-04", "-4.5e+01", "0", "nan"] and table["std"][0] == 0.000123


def test_a_table_without_rows_prints_its_headings():
    assert repr(Table(["pair", "loss"], [])) == "pair  loss\n----  ----"


def test_a_table_refuses_a_row_of_another_length_and_names_it():
    with pytest.raises(ValueError, match=r"\[1, 2\] has 2 values for 1 headings: \['a'\]"):
        Table(["a"], [[0], [1, 2]])


def test_a_table_keeps_its_own_copy():
    row = [1]
    table = Table(["a"], [row])
    row[0] = 2
    assert table["a"] == [1]


# ----- bars, curves ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("values", [[1, 2, 3], [0.5, 0.25, 0.125], torch.tensor([1, 2, 3]), P[0, 1:]])
def test_bars_are_as_high_as_the_values(values):
    ax = bars(values, "abc", ylabel="count")
    assert [height for *_, height in boxes(ax)] == list(map(float, values))
    assert ticks(ax.xaxis) == ["a", "b", "c"] and ax.get_ylabel() == "count"
    assert ax.get_legend() is None


def test_bars_over_bars_are_outlines_with_a_legend():
    ax = bars([1, 2], "ab", others=[2, 3], names=["ours", "theirs"])
    assert [height for *_, height in boxes(ax)] == [1, 2, 2, 3]
    assert [patch.get_fill() for patch in ax.patches] == [True, True, False, False]
    assert legend(ax) == ["ours", "theirs"]


def test_bars_take_itos_in_any_order():
    ax = bars([1, 2, 3], {2: "b", 0: ".", 1: "a"})
    assert ticks(ax.xaxis) == [".", "a", "b"]


def test_bars_take_values_that_still_have_their_graph():
    ax = bars(torch.ones(2, requires_grad=True) * 3, "ab")
    assert [height for *_, height in boxes(ax)] == [3, 3]


def test_curves_draw_every_series_with_a_colour_and_dash_of_its_own():
    series = {"one": [1, 2, 3], "two": [3, 2, 1], "three": [2, 2, 2]}
    ax = curves([10, 20, 30], series, xlabel="step", ylabel="loss", log=True, mark=(20, 2, "here"))
    assert {label: line(ax, label) for label in series} == {label: ([10, 20, 30], y) for label, y in series.items()}
    assert len({drawn.get_color() for drawn in ax.lines}) == len({drawn.get_linestyle() for drawn in ax.lines}) == 3
    assert [label.get_text() for label in end_labels(ax)] == ["two", "three", "one"] and ax.get_legend() is None
    assert (ax.get_xscale(), ax.get_xlabel(), ax.get_ylabel()) == ("log", "step", "loss")
    assert texts(ax) == ["here"] and ax.texts[0].xy == (20, 2)


def test_curves_of_a_group_share_their_colour_and_not_their_dash():
    ax = curves([1, 2], {"a dev": [1, 2], "a train": [1, 1], "b dev": [2, 2], "b train": [2, 1]}, group=2)
    colours = [drawn.get_color() for drawn in ax.lines]
    dashes = [drawn.get_linestyle() for drawn in ax.lines]
    assert colours[0] == colours[1] != colours[2] == colours[3]
    assert dashes[0] == dashes[2] != dashes[1] == dashes[3]


@pytest.mark.parametrize("ends", [[1, 1, 1, 1], [0, 0, 0, 9], [9, 9, 0, 0.01], [1, math.nan, math.inf, -math.inf]],
                         ids=str)
@pytest.mark.parametrize("scale", ["linear", "log"])
def test_labels_at_line_ends_lie_near_them_and_cover_neither_each_other_nor_the_axes(ends, scale):
    mmutils.use_style()
    ax = curves([1, 2], {f"line {i}": [1, end] for i, end in enumerate(ends)})
    ax.set(yscale=scale, ylim=(0.005, 10))  # after the lines, as a notebook does
    drawn = [label.get_window_extent() for label in end_labels(ax)]
    assert all(below.y1 <= above.y0 for below, above in zip(drawn, drawn[1:], strict=False))
    assert all(box.x0 > ax.bbox.x1 and box.x1 <= ax.figure.bbox.x1 for box in drawn)
    assert drawn[0].y0 >= 0 and drawn[-1].y1 <= ax.figure.bbox.y1
    order = [label.get_text() for label in end_labels(ax)]
    known = sorted((end, f"line {i}") for i, end in enumerate(ends) if not math.isnan(end))
    assert [name for name in order if name in dict(map(reversed, known))] == [name for _, name in known]


def test_a_single_label_stands_at_the_height_of_its_lines_last_point():
    ax = curves([1, 2, 3, 4], {"only": [1, 2, 3, None], "far": [9, 9, 9, 9]})
    low, _ = end_labels(ax)
    assert low.get_position()[1] == pytest.approx(ax.transData.transform((4, 3))[1])


def test_more_lines_than_labels_fit_get_a_legend():
    assert len(legend(curves([1, 2], {f"line {i}": [1, i] for i in range(30)}))) == 30


# ----- losses ---------------------------------------------------------------------------------------------------------

RUNS = [0, 1, 2, 99, 1000]


@pytest.mark.parametrize("n", RUNS)
@pytest.mark.parametrize("window", [1, 2, 100])
def test_smoothed_gives_means_of_a_window_or_of_what_there_is(n, window):
    losses = [float(i % 7) for i in range(n)]
    wide = min(window, n)
    wanted = [sum(losses[i:i + wide]) / wide for i in range(n - wide + 1)] if n else []
    assert smoothed(losses, window).tolist() == pytest.approx(wanted, abs=1e-5)
    assert smoothed(torch.tensor(losses), window).tolist() == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("n", RUNS)
@pytest.mark.parametrize("window", [1, 100])
def test_a_loss_curve_takes_a_run_of_any_length(n, window):
    losses = [float(i % 7) for i in range(n)]
    ax = loss_curve(losses, window=window)
    assert line(ax, "each step") == (list(range(n)), losses)
    if window > 1:
        x, y = line(ax, "mean of 100")
        assert y == smoothed(losses, window).tolist()
        assert x == list(range(n))[-len(y):] if y else x == []  # each mean stands where its window ends
    ax.figure.canvas.draw()


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("losses", [lambda odd: [odd], lambda odd: [3.0, odd, 1.0, 2.0], lambda odd: [odd] * 150],
                         ids=["alone", "among others", "all"])
def test_a_loss_curve_takes_losses_that_are_no_numbers(losses, odd):
    ax = loss_curve(losses(odd), window=100, floor=1.5)
    assert len(line(ax, "each step")[1]) == len(losses(odd))
    ax.figure.canvas.draw()


def test_a_loss_curve_takes_losses_that_still_have_their_graph():
    losses = torch.tensor([3.0, 2.0], requires_grad=True) * 1
    ax = loss_curve(losses, window=2)
    assert line(ax, "each step")[1] == [3, 2] and line(ax, "mean of 2")[1] == [2.5]


def test_a_loss_curve_names_its_floor_and_its_axes():
    ax = loss_curve([3.0, 2.5], floor=2.45412, floor_name="bigram")
    assert "bigram 2.4541" in [label.get_text() for label in end_labels(ax)]
    assert line(ax, "bigram 2.4541")[1] == [2.45412] * 2
    assert ax.get_xlabel() == "step" and "nats" in ax.get_ylabel()


# ----- pairs ----------------------------------------------------------------------------------------------------------

def test_pairs_shows_every_count_in_its_square():
    ax = pairs(N, ITOS)
    assert ax.images[0].get_array().tolist() == N.tolist()
    at = {text.get_position(): text.get_text() for text in ax.texts}
    assert len(at) == 2 * N.numel()
    for i in range(4):
        for j in range(4):
            shown = {text for (x, y), text in at.items() if x == j and round(y) == i}
            assert shown == {ITOS[i] + ITOS[j], str(N[i, j].item())}
    assert ticks(ax.xaxis) == ticks(ax.yaxis) == list(".abc")


def test_pairs_shows_probabilities_as_short_as_two_digits_allow():
    table = torch.tensor([[0.75, 0.2, 0.05, 0.0], [1.0, 0.0, 0.0, 0.0], [0.125, 0.875, 0, 0], [0.004, 0.996, 0, 0]])
    shown = texts(pairs(table, ITOS))[1::2]
    assert [float(text) for text in shown] == pytest.approx(table.view(-1).tolist(), abs=5.1e-3)
    assert max(map(len, shown)) <= 4
    assert [text == "0" for text in shown] == (table.view(-1) == 0).tolist()  # "0" is kept for what never occurs


def test_pairs_shows_large_counts_in_full():
    assert "1234567" in texts(pairs(N * 1234567, ITOS))


def test_pairs_without_text_shows_colours_only():
    ax = pairs(P, ITOS, text=False)
    assert ax.images[0].get_array().tolist() == P.double().tolist() and texts(ax) == []


@pytest.mark.parametrize("table", [torch.zeros(4, 4), torch.zeros(4, 4, dtype=torch.int32), N / 0,
                                   torch.zeros(4, 4) / 0, P.numpy(), W.softmax(1).requires_grad_()],
                         ids=["zeros", "no counts", "inf", "nan", "array", "with its graph"])
def test_pairs_takes_any_table(table):
    pairs(table, ITOS).figure.canvas.draw()


# ----- walk -----------------------------------------------------------------------------------------------------------

WALKED = [(0, 0.5, 1), (1, 0.6, 2), (2, 0.3, 3)]


def test_sampling_walk_draws_the_steps():
    ax = sampling_walk(WALKED, P, ITOS)
    chosen = boxes(ax, ORANGE)
    assert [left for left, *_ in chosen] == [0, 0.5, 0.25]
    assert [left + width for left, _, width, _ in chosen] == pytest.approx([0.75, 0.75, 1])
    assert [drawn.get_xdata()[0] for drawn in ax.lines] == [u for _, u, _ in WALKED]
    shown = texts(ax)
    for ix, u, drawn in WALKED:
        assert ITOS[drawn] in shown and f"u = {u:.3f}" in shown
        assert f"“{ITOS[drawn]}”, p = {P[ix, drawn]:.3f}" in shown
    assert ticks(ax.yaxis) == ["after “.”", "after “a”", "after “b”"]


def test_sampling_walk_lays_a_row_end_to_end():
    row = boxes(sampling_walk(WALKED[:1], P, ITOS))
    assert [width for _, _, width, _ in row] == P[0].tolist()
    assert [left for left, *_ in row] == [0, 0, 0.75, 0.875]


def test_a_walk_of_no_steps_can_be_drawn():
    sampling_walk([], P, ITOS).figure.canvas.draw()


# ----- the net --------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("weights", [W, W.clone().requires_grad_(), torch.zeros(4, 4)])
@pytest.mark.parametrize("example, picked", [(0, 2), (1, 0), (2, 3)])
def test_one_hot_picks_row_frames_the_row_that_comes_out(weights, example, picked):
    ax = one_hot_picks_row(XENC.float(), weights, ITOS, example=example)
    inputs, matrix, logits = (torch.tensor(image.get_array().tolist()) for image in ax.images)
    assert torch.equal(inputs, XENC.float()) and torch.equal(matrix, weights.detach())
    assert torch.equal(logits, weights.detach()[[2, 0, 3]])
    framed = [patch for patch in ax.patches if hasattr(patch, "get_xy") and patch.get_height() == 1]
    (_, first), (_, row), (_, last) = (patch.get_xy() for patch in framed)
    tops = [image.get_extent()[3] for image in ax.images]
    assert [first - tops[0], row - tops[1], last - tops[2]] == [example, picked, example]
    assert ITOS[picked] in texts(ax)
    assert {"xenc (3, 4)", "W (4, 4)", "logits = xenc @ W (3, 4)"} <= set(texts(ax))


def test_rows_beside_draws_both_rows_to_one_scale():
    ax = rows_beside(P, Q, ITOS, "ca", names=("counted", "trained"))
    assert ticks(ax.yaxis) == ["after “c”", "after “a”"] and ticks(ax.xaxis) == list(".abc")
    assert legend(ax) == ["trained", "counted"] or legend(ax) == ["counted", "trained"]
    drawn, dots = boxes(ax, BLUE), [list(points.get_ydata()) for points in ax.lines if points.get_marker() == "o"]
    for k, ch in enumerate("ca"):
        base = 1 - k
        heights = [height for _, bottom, _, height in drawn if bottom == base]
        scale = max(P[STOI[ch]].max(), 0.25).item() / max(*heights, dots[k][0] - base)
        assert [height * scale for height in heights] == pytest.approx(P[STOI[ch]].tolist())
        assert [(y - base) * scale for y in dots[k]] == pytest.approx([0.25] * 4)
        assert max(heights) < 1 and max(dots[k]) < base + 1  # each row of the figure keeps to itself
    assert texts(ax) == ["highest 1.00", "highest 0.50"]


def test_rows_beside_takes_rows_of_zeros_and_tables_that_still_have_their_graph():
    rows_beside(torch.zeros(4, 4), W.clone().requires_grad_().softmax(1), ITOS, ".").figure.canvas.draw()


# ----- differences between runs ---------------------------------------------------------------------------------------

def test_the_difference_of_two_variants_and_its_standard_error():
    """Against the sums written out: over seeds, and over words of unlike length."""
    words = ["ab", "c", "def"]                                              # 3 + 2 + 4 examples
    g = torch.Generator().manual_seed(1)
    one, other = (torch.rand((3, 9), generator=g, dtype=torch.float64) for _ in range(2))
    gaps = [[(one[s, i] - other[s, i]).item() for i in range(9)] for s in range(3)]
    mean = sum(map(sum, gaps)) / 27
    seeds = [sum(gap) / 9 for gap in gaps]
    of_seeds = (sum((m - mean) ** 2 for m in seeds) / 2) ** 0.5 / 3**0.5
    examples = [sum(gap[i] for gap in gaps) / 3 for i in range(9)]
    words_off = [sum(examples[a:b]) - (b - a) * mean for a, b in ((0, 3), (3, 5), (5, 9))]
    of_words = sum(off**2 for off in words_off) ** 0.5 / 9
    assert difference(one, other, words) == pytest.approx((mean, math.hypot(of_seeds, of_words)))
    assert difference(other, one, words) == pytest.approx((-mean, math.hypot(of_seeds, of_words)))
    assert difference(one, other[:2], words) == pytest.approx(difference(one[:2], other[:2], words))
    assert difference(one[0], other[0], words)[0] == pytest.approx(seeds[0])     # one seed: only the words
    assert difference(one, one, words) == (0, 0)


def test_differences_need_the_words_that_the_losses_belong_to():
    with pytest.raises(ValueError, match="There are 8 losses for 2 words of 5 characters"):
        difference(torch.zeros(3, 8), torch.zeros(3, 8), ["ab", "c"])
