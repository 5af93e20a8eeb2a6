"""watch, and the four pictures of lecture 3 with the tables beside them."""

import copy
import math

import matplotlib.pyplot as plt
import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F

from mmutils import figures, watch
from mmutils.figures import (
    activation_stats,
    activations,
    four_pictures,
    gradient_image,
    gradient_stats,
    gradients,
    saturation,
    update_ratios,
    update_stats,
    weight_gradients,
    weight_stats,
)


class Linear:
    """A layer as the lecture makes it, without keeping its output."""

    def __init__(self, n_in, n_out, g):
        self.weight = (torch.randn((n_in, n_out), generator=g) / math.sqrt(n_in)).requires_grad_()

    def __call__(self, x):
        return x @ self.weight

    def parameters(self):
        return [self.weight]


class Tanh:
    def __call__(self, x):
        return torch.tanh(x)

    def parameters(self):
        return []


@pytest.fixture(autouse=True)
def no_figures_left():
    yield
    plt.close("all")


@pytest.fixture
def layers():
    g = torch.Generator().manual_seed(1)
    return [Linear(6, 10, g), Tanh(), Linear(10, 10, g), Tanh(), Linear(10, 27, g)]


@pytest.fixture
def model():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(6, 10), nn.Tanh(), nn.Sequential(nn.Linear(10, 10), nn.Tanh()), nn.Linear(10, 27))


X = torch.randn((32, 6), generator=torch.Generator().manual_seed(2))
Y = torch.randint(0, 27, (32,), generator=torch.Generator().manual_seed(3))


def through(layers, x=X):
    for layer in layers:
        x = layer(x)
    return x


def parameters_of(layers):
    return layers.parameters() if isinstance(layers, nn.Module) else [p for layer in layers for p in layer.parameters()]


@pytest.fixture(params=["list", "torch.nn"])
def run(request, layers, model):
    """A net after one forward and backward pass under watch: (net, its Tanh layers, its parameters)."""
    net = layers if request.param == "list" else model
    with watch(net) as watched:
        F.cross_entropy(net(X) if net is model else through(net), Y).backward()
    return net, [layer for layer in watched if type(layer).__name__ == "Tanh"], list(parameters_of(net))


# ----- watch ----------------------------------------------------------------------------------------------------------

def test_under_watch_every_layer_keeps_its_output_and_gradient(run):
    _, tanhs, _ = run
    assert len(tanhs) == 2
    for layer in tanhs:
        assert layer.out.shape == (32, 10) and layer.out.grad.shape == (32, 10)
        assert layer.out.abs().max() <= 1 and layer.out.grad.abs().sum() > 0


def test_what_is_kept_is_what_the_layers_compute(layers):
    expected, x = [], X
    for layer in layers:
        x = layer(x)
        expected.append(x)
    with watch(layers) as watched:
        out = through(layers)
    assert out.equal(x)
    assert watched == layers and all(layer.out.equal(y) for layer, y in zip(layers, expected, strict=True))


def test_outside_the_block_nothing_is_kept_any_more(layers, model):
    calls = {kind: kind.__call__ for kind in (Linear, Tanh)}
    with watch(layers):
        through(layers)
    kept = layers[0].out
    through(layers, X + 1)
    assert layers[0].out is kept and all(kind.__call__ is call for kind, call in calls.items())
    with watch(model):
        model(X)
    kept = model[0].out
    model(X + 1)
    assert model[0].out is kept and not any(module._forward_hooks for module in model.modules())


def test_an_error_inside_the_block_leaves_nothing_behind(layers, model):
    call = Linear.__call__
    for net in (layers, model):
        with pytest.raises(ZeroDivisionError), watch(net):
            raise ZeroDivisionError
    assert Linear.__call__ is call and not any(module._forward_hooks for module in model.modules())


def test_other_layers_of_the_same_class_are_let_pass(layers):
    other = Tanh()
    with watch(layers):
        other(X)
    assert not hasattr(other, "out")


def test_watching_twice_at_once_and_without_gradients(layers, model):
    with watch(layers), watch(layers):
        through(layers)
    assert layers[1].out.requires_grad and Tanh.__call__(Tanh(), X).equal(torch.tanh(X))
    with torch.no_grad(), watch(model):
        model(X)
    assert not model[1].out.requires_grad


def test_a_recurrent_module_whose_output_is_a_tuple_is_let_pass():
    rnn = nn.RNN(6, 4)
    with watch(rnn):
        rnn(X)
    assert not isinstance(getattr(rnn, "out", None), torch.Tensor)


def test_watch_changes_no_results_and_no_weights(model):
    before, out = copy.deepcopy(model.state_dict()), model(X)
    with watch(model):
        assert model(X).equal(out)
    assert model.state_dict().keys() == before.keys()


@pytest.mark.parametrize("wrong", [3, None, "layers", [1, 2], torch.zeros(3)], ids=str)
def test_watch_says_what_it_takes(wrong):
    with pytest.raises(TypeError, match="list of layers or a torch.nn model"), watch(wrong):
        pass


# ----- the tables -----------------------------------------------------------------------------------------------------

def test_activation_stats_are_those_of_the_outputs(run):
    net, tanhs, _ = run
    table = activation_stats(net, limit=0.5)
    assert table.headings == ["layer", "shape", "mean", "std", "% saturated"] and len(table) == 2
    for row, layer in zip(table.rows, tanhs, strict=True):
        assert row[0].endswith("Tanh") and row[1] == "(32, 10)"
        out = layer.out.detach()
        full = 100 * (out.abs() > 0.5).float().mean().item()
        assert row[2:] == pytest.approx([out.mean().item(), out.std().item(), full])


def test_gradient_and_weight_stats_are_those_of_the_gradients(run):
    net, tanhs, parameters = run
    for row, layer in zip(gradient_stats(net).rows, tanhs, strict=True):
        assert float(row[2]) == pytest.approx(layer.out.grad.mean().item(), rel=0.1)
        assert float(row[3]) == pytest.approx(layer.out.grad.std().item(), rel=0.1)
    matrices = [p for p in parameters if p.dim() == 2]
    for row, p in zip(weight_stats(parameters).rows, matrices, strict=True):
        assert row[1] == str(tuple(p.shape)) and float(row[3]) == pytest.approx(p.grad.std().item(), rel=0.1)
        assert float(row[4]) == pytest.approx((p.grad.std() / p.data.std()).item(), rel=0.1)
    if isinstance(net, nn.Module):
        assert weight_stats(net).rows == weight_stats(parameters).rows


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


def test_what_is_missing_is_told(layers, model):
    for net in (layers, model):
        with pytest.raises(ValueError, match="Tanh has kept its output.*Linear, Tanh.*watch"):
            activation_stats(net)
    with watch(model):
        model(X)
    with pytest.raises(ValueError, match="Conv1d.*Linear, Tanh"):
        activation_stats(model, only="Conv1d")
    with pytest.raises(ValueError, match="has no gradient.*backward"):
        gradient_stats(model)
    with pytest.raises(ValueError, match="has no gradient.*backward"):
        weight_stats(model)
    with pytest.raises(ValueError, match="ud is empty"):
        update_stats([], model)


# ----- the pictures ---------------------------------------------------------------------------------------------------

def legend(ax):
    """The labels beside the axes, without the title over them."""
    return [text.get_text() for text in ax.texts[1:]]


def test_the_pictures_show_the_numbers_of_the_tables(run):
    net, _, parameters = run
    for row, text in zip(activation_stats(net).rows, legend(activations(net)), strict=True):
        assert text == f"{row[0]}: {row[2]:+.2f} ± {row[3]:.2f}, {row[4]:.1f}%"
    for row, text in zip(gradient_stats(net).rows, legend(gradients(net)), strict=True):
        assert text == f"{row[0]}: {row[2]} ± {row[3]}"
    for row, text in zip(weight_stats(parameters).rows, legend(weight_gradients(parameters)), strict=True):
        assert f"weight {text}" == f"{row[0]} {row[1]}: {row[3]}, {row[4]}"


def test_the_legend_has_a_stroke_for_each_label_and_is_inside_the_figure(run):
    net, tanhs, _ = run
    with plt.rc_context({"figure.constrained_layout.use": True}):       # as use_style() sets it
        ax = activations(net)
        ax.figure.canvas.draw()
    assert len(ax.texts) == 1 + len(tanhs)
    strokes, = ax.collections
    assert [tuple(c) for c in strokes.get_colors()] == [tuple(line.get_color()) for line in ax.lines]
    ends = strokes.get_transform().transform([(path.vertices[1]) for path in strokes.get_paths()])
    for (x, y), text in zip(ends, ax.texts[1:], strict=True):
        box = text.get_window_extent()
        assert ax.bbox.x1 < x < box.x0 and box.y0 < y < box.y1
        assert box.x1 <= ax.figure.bbox.x1
    for draw in (activations, gradients):
        assert not draw(net, legend=False).texts


def test_a_histogram_is_a_density_of_the_values(run):
    net, tanhs, _ = run
    for line, layer in zip(activations(net).lines, tanhs, strict=True):
        x, y = map(torch.tensor, line.get_data())
        assert (y.sum() * (x[1] - x[0])).item() == pytest.approx(1, abs=1e-3)
        assert x.abs().max() < 1.02 * layer.out.abs().max()


def test_update_ratios_are_drawn_over_the_steps_with_a_line_at_minus_three(run):
    _, _, parameters = run
    ud = [[-2.0 - 0.1 * i] * len(parameters) for i in range(20)]
    ax = update_ratios(ud, parameters, every=10)
    *ratios, at_three = ax.lines
    assert len(ratios) == sum(p.dim() == 2 for p in parameters)
    assert list(ratios[0].get_xdata()) == list(range(0, 200, 10))
    assert list(ratios[0].get_ydata()) == [row[0] for row in ud]
    assert list(at_three.get_ydata()) == [-3, -3]


@pytest.mark.parametrize("odd", [math.nan, math.inf, 0.0])
def test_pictures_of_a_net_that_went_wrong_can_be_drawn(odd):
    layer = Tanh()
    layer.out = torch.full((4, 5), odd, requires_grad=True)
    layer.out.grad = torch.full((4, 5), odd)
    four_pictures([layer], [layer.out], [[odd]])
    saturation(layer.out)
    gradient_image(layer.out.grad)
    plt.gcf().canvas.draw()


def test_four_pictures_and_a_given_axes(run):
    net, _, parameters = run
    axes = four_pictures(net, parameters, [[-3.0] * len(parameters)] * 3, title="all four")
    assert axes.shape == (2, 2) and all(ax.lines for ax in axes.flat)
    _, ax = plt.subplots()
    for draw in (lambda: activations(net, ax=ax), lambda: saturation(net[1].out, ax=ax),
                 lambda: gradient_image(parameters[0].grad, ax=ax)):
        assert draw() is ax


def test_saturation_is_white_where_the_activation_is_beyond_the_limit():
    h = torch.tensor([[1.0, -0.995, 0.5], [0.98, 0.0, -1.0]])
    assert saturation(h).images[0].get_array().tolist() == [[1, 1, 0], [0, 0, 1]]


def test_a_gradient_image_has_its_colours_centred_on_zero():
    norm = gradient_image(torch.tensor([[3.0, -1.0]])).images[0].norm
    assert (norm.vmin, norm.vcenter, norm.vmax) == (-3, 0, 3)
    assert figures.gradient_image(torch.zeros(2, 2)).images[0].norm.vmax == 1
