"""figures.py, lecture 3: the tables of what goes on inside a net, and the pictures that show the same numbers."""

import math

import matplotlib
import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgba
from matplotlib.patches import StepPatch

import mmutils
from mmutils import watch
from mmutils.figures import (
    BLUE,
    ORANGE,
    RED,
    activation_stats,
    activations,
    four_pictures,
    gradient_stats,
    gradients,
    saturation,
    update_ratios,
    update_stats,
    weight_gradients,
    weight_stats,
)

matplotlib.use("Agg")

pytestmark = pytest.mark.usefixtures("clean_figures")

X = torch.randn((32, 6), generator=torch.Generator().manual_seed(2))
Y = torch.randint(0, 27, (32,), generator=torch.Generator().manual_seed(3))


class Linear:
    """A layer as the lecture makes it."""

    def __init__(self, n_in, n_out, g):
        self.weight = (2 * torch.randn((n_in, n_out), generator=g) / math.sqrt(n_in)).requires_grad_()

    def __call__(self, x):
        return x @ self.weight

    def parameters(self):
        return [self.weight]


class Tanh:
    def __call__(self, x):
        return torch.tanh(x)

    def parameters(self):
        return []


def make(kind):
    """(net, its parameters): a list of layers, or a model of torch.nn with a part of its own inside."""
    if kind == "torch.nn":
        torch.manual_seed(1)
        net = nn.Sequential(nn.Linear(6, 10), nn.Tanh(), nn.Sequential(nn.Linear(10, 10), nn.Tanh()), nn.Linear(10, 27))
        return net, list(net.parameters())
    g = torch.Generator().manual_seed(1)
    net = [Linear(6, 10, g), Tanh(), Linear(10, 10, g), Tanh(), Linear(10, 27, g)]
    return net, [p for layer in net for p in layer.parameters()]


@pytest.fixture(params=["list", "torch.nn"])
def run(request):
    """A net after one forward and backward pass under watch: (net, its Tanh layers, its parameters)."""
    net, parameters = make(request.param)
    with watch(net) as watched:
        out = X
        for layer in watched:
            out = layer(out)
        F.cross_entropy(out, Y).backward()
    return net, [layer for layer in watched if type(layer).__name__ == "Tanh"], parameters


def layer_of(out, grad=None):
    """A Tanh that has put this out."""
    layer = Tanh()
    layer.out = torch.as_tensor(out)
    layer.out.grad = grad
    return layer


def texts(ax):
    return [text.get_text() for text in ax.texts]


def rows(ax, colour):
    """Of each row of histograms, from the top: how high its bars of this colour are."""
    drawn = [patch.get_data() for patch in ax.patches
             if isinstance(patch, StepPatch) and patch.get_facecolor() == to_rgba(colour)]
    return [torch.tensor(values) - base for values, _, base in sorted(drawn, key=lambda data: -data[2])]


def dots(ax):
    """(x, colour) of each single dot, from the top."""
    found = [line for line in ax.lines if len(line.get_xdata()) == 1]
    return [(line.get_xdata()[0], line.get_color()) for line in sorted(found, key=lambda line: -line.get_ydata()[0])]


# ----- the tables -----------------------------------------------------------------------------------------------------

def test_layers_are_numbered_as_in_the_video_from_zero(run):
    net, _, parameters = run
    assert activation_stats(net)["layer"] == gradient_stats(net)["layer"] == ["1 Tanh", "3 Tanh"]
    assert activation_stats(net, only=None)["layer"] == ["0 Linear", "1 Tanh", "2 Linear", "3 Tanh", "4 Linear"]
    assert weight_stats(parameters)["parameter"] == [f"weight {i}" for i, p in enumerate(parameters) if p.dim() == 2]


def test_activation_stats_are_those_of_the_outputs(run):
    net, tanhs, _ = run
    table = activation_stats(net, limit=0.5)
    assert table.headings == ["layer", "shape", "mean", "std", "% saturated"] and len(table) == 2
    for row, layer in zip(table.rows, tanhs, strict=True):
        out = layer.out.detach()
        full = 100 * (out.abs() > 0.5).float().mean().item()
        assert row[1] == "(32, 10)" and row[2:] == pytest.approx([out.mean().item(), out.std().item(), full])


def test_gradient_and_weight_stats_are_those_of_the_gradients(run):
    net, tanhs, parameters = run
    for row, layer in zip(gradient_stats(net).rows, tanhs, strict=True):
        assert row[2:] == pytest.approx([layer.out.grad.mean().item(), layer.out.grad.std().item()])
    matrices = [p for p in parameters if p.dim() == 2]
    for row, p in zip(weight_stats(parameters).rows, matrices, strict=True):
        assert row[1] == str(tuple(p.shape)) and row[3] == pytest.approx(p.grad.std().item())
        assert row[4] == pytest.approx((p.grad.std() / p.data.std()).item())
    if isinstance(net, nn.Module):
        assert weight_stats(net).rows == weight_stats(parameters).rows


def test_a_mean_that_is_nothing_but_rounding_is_printed_as_zero():
    """What is left of it differs between processors."""
    values = torch.linspace(-1, 1, 101)
    for off, shown in ((3e-9, "0"), (-3e-9, "0"), (3e-4, "0"), (5e-3, "5.0e-03")):
        layer = layer_of(values + off, grad=values + off)
        table = gradient_stats([layer])
        assert repr(table).split()[-2:] == [shown, "5.9e-01"]
        assert (activation_stats([layer])["mean"][0] == 0) == (shown == "0")
    assert gradient_stats([layer_of(torch.ones(3), grad=torch.full((3,), 0.5))])["mean"] == [0.5]


def test_update_stats_are_the_mean_of_the_last_rows(run):
    _, _, parameters = run
    ud = [[-5.0] * len(parameters)] * 90 + [[-3.0 + i for i in range(len(parameters))]] * 10
    table = update_stats(ud, parameters)
    assert table["log10(update:data)"] == pytest.approx([-3.0 + i for i, p in enumerate(parameters) if p.dim() == 2])
    assert update_stats(ud[:1], parameters)["log10(update:data)"][0] == pytest.approx(-5)


def test_only_chooses_kinds_of_layers(run):
    net, _, _ = run
    assert len(activation_stats(net, only="Linear")) == 3
    assert len(activation_stats(net, only=("Linear", "Tanh"))) == len(activation_stats(net, only=None)) == 5


@pytest.mark.parametrize("kind", ["list", "torch.nn"])
def test_what_is_missing_is_told(kind):
    net, parameters = make(kind)
    with pytest.raises(ValueError, match="Tanh has kept its output.*Linear, Tanh.*watch"):
        activation_stats(net)
    with watch(net) as watched:
        out = X
        for layer in watched:
            out = layer(out)
    with pytest.raises(ValueError, match="Conv1d.*Linear, Tanh"):
        activation_stats(net, only="Conv1d")
    for look in (lambda: gradient_stats(net), lambda: gradients(net), lambda: weight_stats(parameters)):
        with pytest.raises(ValueError, match="has no gradient.*backward"):
            look()
    for look in (update_stats, update_ratios):
        with pytest.raises(ValueError, match="ud is empty"):
            look([], parameters)


# ----- the four pictures ----------------------------------------------------------------------------------------------

def test_each_layer_has_a_row_with_the_numbers_of_the_table(run):
    net, _, parameters = run
    table, ax = activation_stats(net), activations(net)
    assert [label.get_text() for label in ax.get_yticklabels()] == table["layer"]
    for _, _, mean, std, full in table.rows:
        assert {f"{mean:.2f}", f"{std:.2f}", f"{full:.1f}%"} <= set(texts(ax))
    assert {f"{std:.1e}" for std in gradient_stats(net)["std"]} <= set(texts(gradients(net)))
    for draw in (activations, gradients):
        assert not texts(draw(net, legend=False))


@pytest.mark.parametrize("limit", [0.97, 0.5])
def test_the_red_part_of_a_histogram_is_what_is_saturated(run, limit):
    net, _, _ = run
    ax = activations(net, limit=limit)
    table = activation_stats(net, limit=limit)
    for blue, red, full in zip(rows(ax, BLUE), rows(ax, RED), table["% saturated"], strict=True):
        assert 100 * (red.sum() / (red.sum() + blue.sum())).item() == pytest.approx(full, abs=1e-3)
        assert max(blue.max(), red.max()).item() == pytest.approx(0.86)  # each row keeps to itself


def test_what_is_not_squashed_has_no_zone_and_shares_its_axis(run):
    net, _, _ = run
    ax = activations(net, only="Linear")
    largest = max(layer.out.abs().max().item() for layer in (net if isinstance(net, list) else net.modules())
                  if type(layer).__name__ == "Linear")
    assert ax.get_xlim() == pytest.approx((-largest, largest)) and not any(red.any() for red in rows(ax, RED))
    for blue in rows(gradients(net), BLUE):
        assert blue.max().item() == pytest.approx(0.86)


def test_the_std_stands_beside_the_rows_on_a_figure_of_their_own_only(run):
    net, _, _ = run
    for draw, stats in ((activations, activation_stats), (gradients, gradient_stats)):
        _, side = draw(net).figure.axes
        assert list(side.lines[0].get_xdata()) == stats(net)["std"]
        given = plt.subplots()[1]
        assert draw(net, ax=given) is given and given.figure.axes == [given]
    first, last = gradient_stats(net)["std"]
    assert f"{first / last:.2g}" in (side.get_title() + side.get_title("left")) and side.get_xscale() == "log"


def test_weight_gradients_are_dots_and_the_last_stands_out(run):
    _, _, parameters = run
    ax = weight_gradients(parameters)
    ratios = weight_stats(parameters)["grad:data"]
    assert dots(ax) == [(ratio, ORANGE if i == len(ratios) - 1 else BLUE) for i, ratio in enumerate(ratios)]
    assert [label.get_text() for label in ax.get_yticklabels()] == [
        f"{i} {tuple(p.shape)}" for i, p in enumerate(parameters) if p.dim() == 2]
    assert texts(ax) == [f"{ratio:.2g}" for ratio in ratios] and ax.get_xscale() == "log"


def test_update_ratios_are_drawn_over_the_steps_with_a_line_at_minus_three(run):
    _, _, parameters = run
    ud = [[-2.0 - 0.1 * i] * len(parameters) for i in range(20)]
    ax = update_ratios(ud, parameters, every=10)
    *ratios, at_three = ax.lines
    assert [line.get_label() for line in ratios] == [
        f"{i} {tuple(p.shape)}" for i, p in enumerate(parameters) if p.dim() == 2]
    assert list(ratios[0].get_xdata()) == list(range(0, 200, 10))
    assert list(ratios[0].get_ydata()) == [row[0] for row in ud]
    assert list(at_three.get_ydata()) == [-3, -3]
    for low, high in ((-3.4, -2.8), (-5, -1), (-9, -0.5)):
        ax.set_ylim(low, high)
        assert min(abs(tick + 3) for tick in ax.get_yticks()) < 1e-6


def test_four_pictures_fit_on_their_page(run):
    net, _, parameters = run
    mmutils.use_style()
    axes = four_pictures(net, parameters, [[-3.0] * len(parameters)] * 3, title="all four")
    fig = axes[0, 0].figure
    fig.canvas.draw()
    assert axes.shape == (2, 2) and fig.axes == list(axes.flat)
    boxes = [ax.get_tightbbox() for ax in axes.flat]
    assert all(min(box.x0, box.y0, fig.bbox.x1 - box.x1, fig.bbox.y1 - box.y1) >= 0 for box in boxes)
    assert not any(one.overlaps(other) for i, one in enumerate(boxes) for other in boxes[:i])


ODD = {"nan": [math.nan] * 20, "inf": [math.inf, -math.inf] * 10, "zeros": [0.0] * 20, "one value": [0.5] * 20,
       "some of each": [math.nan, math.inf, -math.inf, 1e30, -1.0] * 4, "tiny": [1e-40, -1e-40] * 10}


@pytest.mark.parametrize("values", ODD.values(), ids=ODD)
def test_pictures_of_a_net_that_went_wrong_can_be_drawn(values):
    """As all tests here: without a warning either."""
    layer = layer_of(torch.tensor(values).view(4, 5), grad=torch.tensor(values).view(4, 5))
    healthy = layer_of(torch.linspace(-0.9, 0.9, 20).view(4, 5), grad=torch.linspace(-1, 1, 20).view(4, 5))
    four_pictures([layer], [layer.out], [[values[0]], [values[1]]])
    axes = four_pictures([layer, healthy], [layer.out, healthy.out], [[values[0], -3.0], [values[1], -3.0]])
    activations([layer]), gradients([layer]), activations([layer, healthy]), gradients([layer, healthy])
    saturation(layer.out)
    assert len(rows(axes[0, 0], BLUE)) == 2 and rows(axes[0, 0], BLUE)[1].any()
    if not math.isfinite(sum(values)):
        assert "nan" in texts(activations([layer]))


def test_a_layer_of_a_single_number_can_be_drawn():
    layer = layer_of(torch.tensor([[0.5]]), grad=torch.tensor([[0.1]]))
    four_pictures([layer], [layer.out], [[-3.0]])
    assert math.isnan(activation_stats([layer])["std"][0])


# ----- images ---------------------------------------------------------------------------------------------------------

H = torch.tensor([[1.0, -0.995, 0.5, 0.0], [-1.0, 0.0, -1.0, 0.98]])


def test_saturation_is_white_where_the_activation_is_beyond_the_limit_and_red_where_no_example_gets_through():
    for marked, red in ((True, 2), (False, 1)):
        image = saturation(H, mark_dead=marked).images[0]
        assert image.get_array().tolist() == [[red, 1, 0, 0], [red, 0, 1, 0]]
        assert [tuple(colour) for colour in image.cmap(image.norm([0, 1, 2]))] == [
            to_rgba(colour) for colour in ("black", "white", RED)]


def test_under_the_image_each_neuron_has_a_bar_for_its_share_of_examples():
    _, under = saturation(H).figure.axes
    assert [bar.get_height() for bar in under.patches] == [100, 50, 50, 0]
    assert [bar.get_facecolor() == to_rgba(RED) for bar in under.patches] == [True, False, False, False]
    given = plt.subplots()[1]
    assert saturation(H, ax=given) is given and given.figure.axes == [given]
