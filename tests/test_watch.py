"""watch: every layer keeps what it put out, with its gradient, and nothing is left behind."""

import copy
import math

import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F

from mmutils import watch


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
