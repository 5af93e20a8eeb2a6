"""figures.py, lecture 5: the receptive field is drawn as it was measured, the future in another colour."""

import matplotlib
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgba

from mmutils.figures import BLUE, RED, receptive_field

matplotlib.use("Agg")

pytestmark = pytest.mark.usefixtures("clean_figures")

CAUSAL = torch.ones(6, 6).tril().bool() & torch.ones(6, 6).triu(-2).bool()      # three inputs each, none ahead
G = torch.Generator().manual_seed(1)


def squares(ax, colour):
    """(output, input) of each square of this colour."""
    return {(round(p.get_y()), round(p.get_x())) for p in ax.patches if p.get_facecolor() == to_rgba(colour)}


def test_a_causal_field_has_no_square_of_the_future():
    ax = receptive_field(CAUSAL, title="causal")
    assert squares(ax, BLUE) == {tuple(pair) for pair in CAUSAL.nonzero().tolist()}
    assert squares(ax, RED) == set()
    assert ax.get_title() == "causal"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("input", "output")


@pytest.mark.parametrize("shape", [(6, 6), (3, 10), (1, 40), (1, 1), (20, 20)])
def test_every_square_is_drawn_once_and_the_future_in_red(shape):
    moves = torch.rand(shape, generator=G) < 0.5
    n, width = shape
    ax = receptive_field(moves)
    blue, red = squares(ax, BLUE), squares(ax, RED)
    assert blue | red == {tuple(pair) for pair in moves.nonzero().tolist()}
    assert len(ax.patches) == moves.sum()
    assert red == {(i, j) for i, j in blue | red if j > i + width - n}
    assert all(p.get_hatch() for p in ax.patches if p.get_facecolor() == to_rgba(RED))


def test_the_staircase_stands_right_of_each_outputs_own_place():
    ax = receptive_field(torch.ones(3, 5))
    stairs, = ax.lines
    assert list(stairs.get_xdata()) == [3, 4, 5, 5] and list(stairs.get_ydata()) == [0, 1, 2, 3]
    assert ax.get_ylim() == (3, 0)


@pytest.mark.parametrize("moves", [torch.zeros(4, 4), torch.zeros(0, 4), [[0, 1], [1, 1]], torch.ones(2, 300)])
def test_odd_fields_can_be_drawn_too(moves):
    ax = receptive_field(moves)
    assert len(ax.patches) == torch.as_tensor(moves).sum()
    assert len(ax.get_xticks()) <= 17


def test_it_draws_on_the_given_axes():
    given = plt.subplots()[1]
    assert receptive_field(CAUSAL, ax=given) is given
