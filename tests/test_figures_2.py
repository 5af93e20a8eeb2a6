"""figures.py, lecture 2: the learning-rate sweep and the embedding map draw their data, whatever these are."""

import math

import matplotlib
import pytest
import torch
from matplotlib.colors import to_rgba

from mmutils.figures import BLUE, ORANGE, RED, embedding_map, lr_sweep

matplotlib.use("Agg")

ITOS = dict(enumerate(".abcde"))
EXPONENTS = torch.linspace(-3, 0, 121)
SWEEPS = 2 + torch.rand((4, 121), generator=torch.Generator().manual_seed(1))
C = torch.randn((6, 10), generator=torch.Generator().manual_seed(2))
PLANE = C[:, :2] @ torch.linalg.qr(C[:5, :5].T)[0][:2].repeat(1, 2) + 3  # (6, 10), in a plane


pytestmark = pytest.mark.usefixtures("clean_figures")


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def lines(ax, colour):
    """x and y of each line of this colour, as two lists."""
    return [(list(line.get_xdata()), list(line.get_ydata())) for line in ax.lines if line.get_color() == colour]


def points(ax):
    """Where each point lies: (V, 2)."""
    scatter, = ax.collections
    return torch.tensor(scatter.get_offsets().tolist(), dtype=torch.float64)


def colours(ax):
    scatter, = ax.collections
    return [tuple(colour) for colour in scatter.get_facecolors()]


# ----- lr_sweep -------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("runs", [1, 4])
@pytest.mark.parametrize("n, window", [(121, 50), (121, 1), (121, 2), (121, 121), (120, 7), (30, 50), (2, 50), (1, 50),
                                       (1, 1)])
def test_a_sweep_draws_its_runs_and_their_mean(runs, n, window):
    ax = lr_sweep(EXPONENTS[:n], SWEEPS[:runs, :n], window=window)
    assert lines(ax, BLUE) == [(EXPONENTS[:n].tolist(), run) for run in SWEEPS[:runs, :n].tolist()]
    (x, y), = lines(ax, RED)
    wide = min(window, n)
    each = [sum(run[i].item() for run in SWEEPS[:runs]) / runs for i in range(n)]
    assert y == pytest.approx([sum(each[i:i + wide]) / wide for i in range(n - wide + 1)], abs=1e-5)
    middles = [(EXPONENTS[i] + EXPONENTS[i + wide - 1]).item() / 2 for i in range(n - wide + 1)]
    assert x == pytest.approx(middles, abs=0.51 * 3 / 120)  # of an even number of steps: the step beside the middle
    assert legend(ax)[0] == "single sweeps" and len(legend(ax)) == 2


def test_a_sweep_says_what_its_mean_is_a_mean_of():
    assert legend(lr_sweep(EXPONENTS, SWEEPS))[1] == "mean of 4 sweeps and 50 steps"
    assert legend(lr_sweep(EXPONENTS[:30], SWEEPS[:, :30]))[1] == "mean of 4 sweeps and 30 steps"
    assert legend(lr_sweep(EXPONENTS, SWEEPS[0]))[1] == "mean of 50 steps"


@pytest.mark.parametrize("kind", [lambda data: data.tolist(), lambda data: data.numpy(), lambda data: data.double(),
                                  lambda data: data.clone().requires_grad_() * 1],
                         ids=["list", "array", "double", "with its graph"])
def test_a_sweep_takes_data_of_any_kind(kind):
    for sweeps in (SWEEPS, SWEEPS[0]):
        wanted = lr_sweep(EXPONENTS, sweeps)
        ax = lr_sweep(kind(EXPONENTS), kind(sweeps))
        for colour in (BLUE, RED):
            drawn = torch.tensor(lines(ax, colour))
            assert torch.allclose(drawn, torch.tensor(lines(wanted, colour)))


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
def test_a_sweep_leaves_out_what_is_not_finite(odd):
    sweeps = SWEEPS.clone()
    sweeps[0, 80:] = sweeps[1, 100:] = odd
    given = sweeps.clone()
    ax = lr_sweep(EXPONENTS, sweeps, window=1)
    (_, y), = lines(ax, RED)
    assert y[:80] == pytest.approx(SWEEPS[:, :80].mean(0).tolist())
    assert y[80:100] == pytest.approx(SWEEPS[1:, 80:100].mean(0).tolist())
    assert y[100:] == pytest.approx(SWEEPS[2:, 100:].mean(0).tolist())
    assert [sum(map(math.isfinite, run)) for _, run in lines(ax, BLUE)] == [80, 100, 121, 121]
    assert torch.equal(sweeps.nan_to_num(), given.nan_to_num())


HARD = {
    "all nan": SWEEPS * math.nan, "all inf": SWEEPS[0] * math.inf, "one run nan": SWEEPS[0] * math.nan,
    "zeros": SWEEPS * 0, "up to 1e38": SWEEPS.clone().index_fill(1, torch.arange(60, 121), 1e38),
    "above what a mean can hold": SWEEPS.clamp(min=3.4e38),
    "finite at one step": SWEEPS[0] * torch.full((121,), math.nan).index_fill(0, torch.tensor(60), 1),
}


@pytest.mark.parametrize("sweeps", HARD.values(), ids=HARD)
@pytest.mark.parametrize("window", [1, 50])
def test_a_sweep_takes_losses_of_any_size(sweeps, window):
    ax = lr_sweep(EXPONENTS, sweeps, window=window)
    low, high = ax.get_ylim()
    assert low == 0 and 0 < high < math.inf


@pytest.mark.parametrize("losses", [[], [[]], torch.zeros(3, 0)], ids=["no run", "one", "three"])
def test_a_sweep_takes_runs_that_were_stopped_at_once(losses):
    lr_sweep([], losses).figure.canvas.draw()


def test_a_sweep_ends_a_little_above_where_it_starts():
    sweeps = SWEEPS.clone()
    sweeps[:, 60:] = 1000.0
    for lost in (0, 20):  # steps whose losses are nan: the first finite ones count
        sweeps[:, :lost] = math.nan
        low, high = lr_sweep(EXPONENTS, sweeps).get_ylim()
        assert low == 0 and SWEEPS.max() < high < 2 * SWEEPS.max()


# ----- embedding_map --------------------------------------------------------------------------------------------------

def test_two_columns_are_the_axes():
    ax = embedding_map(C[:, :2], ITOS)
    assert torch.equal(points(ax), C[:, :2].double())
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("C[:, 0]", "C[:, 1]")


def test_one_column_lies_on_a_line():
    ax = embedding_map(C[:, :1], ITOS)
    assert torch.equal(points(ax), torch.stack([C[:, 0].double(), torch.zeros(6)], 1))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("C[:, 0]", "")


@pytest.mark.parametrize("columns", [1, 2, 3, 10])
def test_each_point_bears_its_character_and_vowels_are_orange(columns):
    ax = embedding_map(C[:, :columns], ITOS)
    assert [text.get_text() for text in ax.texts] == list(".abcde")
    at = torch.tensor([text.get_position() for text in ax.texts], dtype=torch.float64)
    assert torch.equal(at, points(ax))
    assert [colour == to_rgba(ORANGE) for colour in colours(ax)] == [ch in "aeiou" for ch in ".abcde"]


@pytest.mark.parametrize("columns", [3, 10])
def test_more_columns_are_seen_from_where_they_spread_most(columns):
    data = C[:, :columns].double()
    spread, directions = torch.linalg.eigh(data.T.cov())  # ascending, where the figure takes the svd
    ax = embedding_map(data, ITOS)
    assert points(ax).var(0).tolist() == pytest.approx(spread.flip(0)[:2].tolist())
    for k, name in enumerate((ax.get_xlabel(), ax.get_ylabel())):
        seen = (data - data.mean(0)) @ directions[:, -1 - k]
        assert torch.allclose(points(ax)[:, k].abs(), seen.abs())
        assert name == f"component {k + 1} ({spread[-1 - k] / spread.sum():.0%} of the variance)"


def test_points_in_a_plane_keep_their_distances():
    assert torch.linalg.matrix_rank(PLANE - PLANE.mean(0)) == 2
    ax = embedding_map(PLANE, ITOS)
    assert torch.allclose(torch.cdist(points(ax), points(ax)), torch.cdist(PLANE, PLANE).double(), atol=1e-5)
    shares = [float(name.split("(")[1].split("%")[0]) for name in (ax.get_xlabel(), ax.get_ylabel())]
    assert sum(shares) in (99, 100, 101)  # each is rounded


@pytest.mark.parametrize("columns", [3, 10])
def test_the_sign_of_a_direction_is_fixed(columns):
    data = C[:, :columns].double()
    seen = points(embedding_map(data, ITOS))
    directions = (data - data.mean(0)).T @ seen  # each a multiple of a principal direction
    assert (directions.gather(0, directions.abs().argmax(0, keepdim=True)) > 0).all()
    mirrored = points(embedding_map(-data, ITOS))
    assert torch.allclose(mirrored, -seen)  # the same directions: mirrored points are mirrored in the picture
    assert torch.allclose(points(embedding_map(data + 5, ITOS)), seen)
    order = torch.arange(5, -1, -1)
    assert torch.allclose(points(embedding_map(data[order], ITOS)), seen[order])


@pytest.mark.parametrize("value", [0.0, 0.1, -3.7])
@pytest.mark.parametrize("columns", [1, 2, 10])
def test_rows_that_are_all_equal_lie_on_one_point(columns, value):
    ax = embedding_map(torch.full((6, columns), value), ITOS)
    assert torch.equal(points(ax), points(ax)[:1].expand(6, 2))
    if columns > 2:
        assert "(0% of the variance)" in ax.get_xlabel() and not points(ax).any()


def test_points_on_a_line_get_no_second_direction_from_rounding():
    ax = embedding_map(C[:, :1] * torch.linspace(-1, 1, 10), ITOS)
    assert "(100% of the variance)" in ax.get_xlabel() and "(0% of the variance)" in ax.get_ylabel()
    assert not points(ax)[:, 1].any() and len(set(points(ax)[:, 0].tolist())) == 6


ODD = {
    "nan": C * math.nan, "inf": C * math.inf, "one nan": C.clone().index_fill(0, torch.tensor(2), math.nan),
    "very large": C.double() * 1e100, "very small": C.double() * 1e-100, "half": C.half(), "whole numbers": C.long(),
    "with its graph": C.clone().requires_grad_(), "of a step": C.clone().requires_grad_() * 2,
}


@pytest.mark.parametrize("table", ODD.values(), ids=ODD)
@pytest.mark.parametrize("columns", [2, 10])
def test_a_map_takes_any_table(table, columns):
    assert points(embedding_map(table[:, :columns], ITOS)).isfinite().all()


@pytest.mark.parametrize("alphabet", [".a", ".αβγδεζηθ", ".абвгґєюя", ".éèêàçñßøå", "".join(map(chr, range(32, 127)))])
@pytest.mark.parametrize("columns", [2, 10])
def test_a_map_takes_any_alphabet(alphabet, columns):
    table = torch.randn((len(alphabet), columns), generator=torch.Generator().manual_seed(3))
    for itos in (dict(enumerate(alphabet)), dict(reversed(list(enumerate(alphabet))))):  # in any order
        ax = embedding_map(table, itos)
        assert [text.get_text() for text in ax.texts] == list(alphabet)
