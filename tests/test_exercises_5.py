"""Exercises: the exercises of lecture 5: fed with right answers and with the usual wrong ones."""

import math
import types
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmutils import build_dataset, build_vocabulary, split_words
from mmutils.exercises.lecture5 import (
    e01_join,
    e02_norms,
    e03_convs,
    e04_factors,
    e05_causal,
    e06_beat,
    norms,
    suspects,
)


class Join:
    """A right answer to E01."""

    def __init__(self, n):
        self.n = n

    def pad(self, x):
        return F.pad(x, (0, 0, -x.shape[1] % self.n, 0))

    def __call__(self, x):
        if x.ndim != 3:
            raise ValueError("there is only one place left, nothing to join")
        x = self.pad(x)
        x = x.reshape(len(x), x.shape[1] // self.n, self.n * x.shape[2])
        return x.squeeze(1) if x.shape[1] == 1 else x


DIMS = {"A": (1,), "B": (0, 1, 2), "C": (0,), "D": (2,), "E": (0, 1), "F": (1, 2)}
LEAKS = {"B", "C", "D"}


class Linear:
    def __init__(self, fan_in, fan_out):
        self.weight = torch.randn((fan_in, fan_out), generator=torch.Generator().manual_seed(fan_in + fan_out))


def tree(n_embd=6, n_hidden=8):
    """As much of lecture 5's tree as the check looks at."""
    return types.SimpleNamespace(layers=[Linear(2 * n_embd, n_hidden), Linear(2 * n_hidden, n_hidden),
                                         Linear(2 * n_hidden, n_hidden), Linear(n_hidden, 27)])


def convs(model, kernel_of=lambda W: W.view(2, -1, W.shape[1]).permute(2, 1, 0), dilations=(1, 2, 4), **options):
    """A right answer to E03, and with other arguments wrong ones."""
    made = []
    for layer, dilation in zip(model.layers[:3], dilations, strict=False):
        kernel = kernel_of(layer.weight)
        options = {"bias": False} | options
        made.append(nn.Conv1d(kernel.shape[1], kernel.shape[0], kernel.shape[2], dilation=dilation, **options))
        if not options["bias"]:
            made[-1].weight.data = kernel.clone()
    return made


@pytest.fixture(params=[e01_join, e02_norms, e03_convs, e04_factors, e05_causal, e06_beat],
                ids=lambda check: check.__name__)
def check(request, own_words):
    """A check, and what it takes besides the answer."""
    return request.param, {e03_convs: [tree()], e06_beat: [own_words]}.get(request.param, [])


# ----- what all checks promise ----------------------------------------------------------------------------------------

@pytest.mark.parametrize("answer", [None, (None,), (None, None), (None, None, None), (len, 8, None), ((4, 2), None, 3),
                                    ..., [], ((None, None), 89, 3)], ids=str)
def test_an_empty_answer_is_not_tried_yet(verdict, check, answer):
    function, rest = check
    result, told = verdict(function, answer, *rest)
    assert result is None
    assert told.startswith(f"{function.__name__[:3].upper()}: not tried yet") and "then this check" in told


def fails(*args):
    raise RuntimeError("a mistake of the reader's")


JUNK = {
    "str": "emma", "int": 3, "nan": math.nan, "dict": {}, "object": object(), "class": int,
    "scalar": torch.tensor(1.0), "no numbers": torch.zeros(0), "zeros": torch.zeros(27, 27),
    "no data": torch.empty(27, 27, device="meta"), "array of objects": np.array([{}, 3]), "function that raises": fails,
    "function without arguments": lambda: 3, "function that gives None": lambda *a: None,
    "function that gives a str": lambda *a: "emma", "function that gives its arguments": lambda *a: a,
    "function that gives a number": lambda *a: 3.0, "function that gives an array": lambda *a: np.zeros((3, 27)),
    "huge": 10**30, "negative": -8, "bool": True, "set": {1, 2}, "nested": [[2, 2], [2]],
}


@pytest.mark.parametrize("junk", JUNK.values(), ids=JUNK)
def test_a_check_says_no_to_junk_and_never_raises(capsys, check, junk):
    function, rest = check
    answers = [junk, (junk,), (junk, junk), (junk, junk, junk), (fails, 8, junk), (junk, 8, 2.0),
               ((4, 2), junk, 22_458), ((4, 2), 89, junk), (junk, 89, 22_458), (LEAKS, junk), (junk, (1, 3, 9)),
               (DIMS, junk, "E"), (DIMS, "C", junk), (junk, "C", "E")]
    for answer in answers:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # numpy's and torch's own, about what a reader does
            assert function(answer, *rest) is False, answer
        assert f"{function.__name__[:3].upper()}: not yet. " in capsys.readouterr().out


# ----- E01 ------------------------------------------------------------------------------------------------------------

def test_e01_right(right):
    assert "Any length" in right(e01_join, Join)


class ByCat(Join):
    """Without pad and reshape."""

    def __call__(self, x):
        if x.ndim != 3:
            raise ValueError("an x of two dimensions has no neighbours any more")
        zeros = torch.zeros((len(x), -x.shape[1] % self.n, x.shape[2]))
        x = torch.cat([zeros, x], 1)
        x = torch.cat([x[:, k::self.n] for k in range(self.n)], 2)
        return x[:, 0] if x.shape[1] == 1 else x


def test_e01_right_in_another_way(right):
    right(e01_join, ByCat)


def joins(call):
    """A class like Join that is called in another way."""
    return type("JoinMine", (Join,), {"__call__": call})


def video(self, x):
    B, T, C = x.shape
    x = x.view(B, T // self.n, C * self.n)
    return x.squeeze(1) if x.shape[1] == 1 else x


def unsqueezed(self, x):
    x = self.pad(x)
    return x.reshape(len(x), -1, self.n * x.shape[2])


def cut(self, x):
    T = x.shape[1] // self.n * self.n
    return Join.__call__(self, x[:, x.shape[1] - T:])


def in_place(self, x):
    y = Join.__call__(self, x).clone()
    x += 1
    return y


def by_view(self, x):
    if x.ndim != 3:
        raise ValueError("there is only one place left, nothing to join")
    x = self.pad(x)
    x = x.view(len(x), -1, self.n * x.shape[2])
    return x.squeeze(1) if x.shape[1] == 1 else x


def two_dimensions(error):
    def call(self, x):
        if x.ndim == 2:
            if error:
                raise error
            return x
        return Join.__call__(self, x)
    return call


E01_WRONG = {
    "the video's": (video, ["for x of shape (4, 5, 3) and n = 2", "raises a RuntimeError"]),
    "unsqueezed": (unsqueezed, "middle dimension goes"),
    "bare squeeze": (lambda self, x: unsqueezed(self, x).squeeze(), "batch of one"),
    "cut": (cut, "no place may be lost"),
    "zeros behind": (lambda self, x: Join.__call__(self, F.pad(x, (0, 0, 0, -x.shape[1] % self.n))), "zeros stand beh"),
    "turned": (lambda self, x: Join.__call__(self, self.pad(x).unflatten(1, (-1, self.n)).flip(2).flatten(1, 2)),
               "the earlier one comes first"),
    "taking turns": (lambda self, x: (lambda y: y.squeeze(1) if y.shape[1] == 1 else y)(
        self.pad(x).unflatten(1, (-1, self.n)).mT.flatten(2)), "take turns"),
    "places and channels": (lambda self, x: (lambda y: y.squeeze(1) if y.shape[1] == 1 else y)(
        self.pad(x).mT.reshape(len(x), -1, self.n * x.shape[2])), "not those of n neighbours"),
    "in place": (in_place, "changes x itself"),
    "by view": (by_view, ["do not follow each other", "view() fails"]),
    "no return": (lambda self, x: None, "returns a NoneType"),
    "two dimensions pass": (two_dimensions(None), "must raise a ValueError"),
    "no words": (two_dimensions(ValueError("2")), "Say in words"),
    "padded by T % n": (lambda self, x: video(self, F.pad(x, (0, 0, x.shape[1] % self.n, 0))),
                        ["for x of shape (2, 7, 2) and n = 3", "raises a RuntimeError"]),
    "an assert": (two_dimensions(AssertionError()), ["raises AssertionError", "ValueError is wanted"]),
    "Python's own words": (two_dimensions(ValueError("not enough values to unpack (expected 3, got 2)")), "in words"),
    "another error": (two_dimensions(TypeError("there is only one place left")), "ValueError is wanted"),
}


@pytest.mark.parametrize("call, told", E01_WRONG.values(), ids=E01_WRONG)
def test_e01_the_usual_wrong_layers(wrong, call, told):
    wrong(told, e01_join, joins(call))


@pytest.mark.parametrize("answer", [Join(2), lambda n: Join(n)], ids=["an object", "a function"])
def test_e01_wants_the_class(wrong, answer):
    wrong("the class itself", e01_join, answer)


# ----- E02 ------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("dims", [
    DIMS, DIMS | {"A": 1, "C": [0], "F": {2, 1}}, {k.lower(): v for k, v in DIMS.items()}, DIMS | {"E": (-3, 1)}],
    ids=["tuples", "others", "small", "negative"])
def test_e02_right(right, dims):
    right(e02_norms, (dims, "C", "E"))
    right(e02_norms, (dims, "c ", "e"))


def test_the_norms_standardise_over_what_e02_says():
    x = torch.randn((6, 4, 3), generator=torch.Generator().manual_seed(1))
    for letter, layer in norms().items():
        y = layer(x)
        assert y.mean(DIMS[letter]).abs().max() < 1e-5
        assert (y.std(DIMS[letter]) - 1).abs().max() < 1e-3
    assert len(set(DIMS.values())) == len(DIMS) == len(norms())


@pytest.mark.parametrize("change, bug, right_one, told", [
    ({"C": (0, 1)}, "C", "E", "C does not average over the places"), ({"E": (0,)}, "C", "E", "E does average over"),
    ({"D": (1,)}, "C", "E", "D does average over the channels"), ({"A": (1, 2)}, "C", "E", "A does not average"),
    ({"F": (0, 1, 2)}, "C", "E", "F does not average over the examples"), ({"A": ()}, "C", "E", "the dimensions are"),
    ({"A": (3,)}, "C", "E", "the dimensions are"), ({"A": "places"}, "C", "E", "the dimensions are"),
    ({"G": (1,)}, "C", "E", "no layer 'G'"), ({}, "E", "C", "That is not C"), ({}, "B", "E", "bug is not B"),
    ({}, "C", "B", "That is not B"), ({"A": (True,)}, "C", "E", "the dimensions are")])
def test_e02_wrong(wrong, change, bug, right_one, told):
    wrong(told, e02_norms, (DIMS | change, bug, right_one))


def test_e02_incomplete(wrong):
    wrong("nothing is said of B, C, D, E, F", e02_norms, ({"A": 1}, "C", "E"))
    wrong("must be a dict", e02_norms, ([(1,)], "C", "E"))


# ----- E03 ------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("sizes", [(6, 8), (24, 128), (8, 8)])
def test_e03_right(right, sizes):
    right(e03_convs, convs, tree(*sizes))
    right(e03_convs, lambda model: nn.Sequential(*convs(model)), tree(*sizes))


def spoiling(model):
    made = convs(model)
    model.layers[0].weight *= 2
    return made


E03_WRONG = {
    "turned": (lambda m: convs(m, lambda W: W.view(2, -1, W.shape[1]).permute(2, 1, 0).flip(2)), "exchanged"),
    "reshaped": (lambda m: convs(m, lambda W: W.reshape(W.shape[1], -1, 2)), "turns no dimensions around"),
    "in, 2": (lambda m: convs(m, lambda W: W.view(-1, 2, W.shape[1]).permute(2, 0, 1)), "not (in, 2)"),
    "not copied": (lambda m: convs(m, lambda W: torch.randn(W.shape[1], len(W) // 2, 2)), "weights copied at all"),
    "two": (lambda m: convs(m)[:2], "2 things"),
    "no return": (lambda m: None, "returns None. Does it end with return?"),
    "dilations": (lambda m: convs(m, dilations=(1, 1, 1)), "the second level has dilation 1 instead of 2"),
    "dilations doubled": (lambda m: convs(m, dilations=(2, 4, 8)), "the first level has dilation 2"),
    "bias": (lambda m: convs(m, bias=True), "has a bias"),
    "padding": (lambda m: convs(m, padding=1), "padding, a stride or groups"),
    "kernel": (lambda m: convs(m, lambda W: torch.randn(W.shape[1], len(W) // 2, 3)), "a kernel of 3 places"),
    "channels": (lambda m: convs(m, lambda W: torch.randn(len(W), W.shape[1], 2)), "joins two nodes"),
    "Linear": (lambda m: m.layers[:3], "not an nn.Conv1d"),
    "spoilt": (spoiling, "Leave the model as it is"),
    "raises": (lambda m: 1 / 0, "could not be used"),
}


@pytest.mark.parametrize("function, told", E03_WRONG.values(), ids=E03_WRONG)
def test_e03_wrong(wrong, function, told):
    wrong(told, e03_convs, function, tree())


def test_e03_transposed_where_in_is_out_and_where_it_is_not(wrong):
    def transposed(model):
        made = convs(model)
        for conv in made:
            conv.weight.data = conv.weight.data.transpose(0, 1).contiguous()
        return made

    wrong("matrices are transposed", e03_convs, transposed, tree(8, 8))
    wrong(["instead of (out, in, 2)", "swap its first two"], e03_convs, transposed, tree(6, 8))

    def places_second(model):
        made = convs(model)
        for conv in made:
            conv.weight.data = conv.weight.data.mT.contiguous()
        return made

    wrong(["instead of (out, in, 2)", "swap its last two"], e03_convs, places_second, tree(6, 8))


# ----- E04 ------------------------------------------------------------------------------------------------------------

def size(factors, n):
    """Parameters of the tree, counted from its tensors."""
    tensors, fan_in = [torch.zeros(27, 10)], 10
    for k in factors:
        tensors += [torch.zeros(fan_in * k, n), torch.zeros(n), torch.zeros(n)]
        fan_in = n
    return sum(t.numel() for t in [*tensors, torch.zeros(fan_in, 27), torch.zeros(27)])


@pytest.mark.parametrize("factors, n", [((4, 2), 89), ([4, 2], 89), ((2, 4), 68), ((np.int64(4), 2), 89),
                                        ((4, 2), torch.tensor(89))])
def test_e04_right(right, factors, n):
    told = right(e04_factors, (factors, n, size(factors, int(n))))
    assert f"{size(factors, n):,} parameters" in told


def test_the_lectures_tree_has_the_lectures_size():
    assert size((2, 2, 2), 68) == 22_397


@pytest.mark.parametrize("factors, told", [
    ((2, 2, 2), "in the log already: the tree"), ((8,), "in the log already: the flat net"),
    ((2, 2), "multiply to 4"), ((2, 2, 2, 2), "multiply to 16"), ((8, 1), "joins nothing"),
    ((), "list of whole numbers"), ((4.0, 2), "no whole number"), ((-4, -2), "no whole number"),
    ((True, 8), "no whole number"), (8, "list of whole"), ("4, 2", "list of whole"), ((4, "2"), "no whole number"),
    ([(4, 2)], "no whole number"), ((8, 8), "multiply to 64"), ((4, 2, 1), "joins nothing")])
def test_e04_factors_that_do_not_fit(wrong, factors, told):
    wrong(told, e04_factors, (factors, 89, 22_458))


@pytest.mark.parametrize("off, told", [
    (-2 * 2 * 89, "gains and biases of the batch norms are missing"), (-2 * 89, "two numbers for each neuron"),
    (2 * 89, "have no bias"), (-270, "table of embeddings is missing"), (-27, "bias of the last layer is missing"),
    (2 * 2 * 89, "no parameters: no gradient trains them"), (-27 * 89 - 27, "The last layer is missing"),
    (1, "not 22,459")])
def test_e04_a_wrong_count_is_told_why(wrong, off, told):
    wrong([told, "22,458 parameters"], e04_factors, ((4, 2), 89, 22_458 + off))


def test_e04_the_lectures_own_count_is_told(wrong):
    wrong(["22,397 is the number of parameters of the video's tree", "number of yours"], e04_factors,
          ((4, 2), 89, 22_397))


@pytest.mark.parametrize("n, told", [(80, "take more neurons"), (100, "take fewer neurons"), (88, "take more")])
def test_e04_the_comparison_must_be_fair(wrong, n, told):
    wrong(["nobody can tell the order from the size", told], e04_factors, ((4, 2), n, size((4, 2), n)))


# ----- E05 ------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("leaks", [LEAKS, ["B", "D", "C"], ("b", "c", "d"), "BCD"])
@pytest.mark.parametrize("dilations", [(1, 3, 9), [9, 3, 1], (torch.tensor(3), np.int64(1), 9)], ids=str)
def test_e05_right(right, leaks, dilations):
    right(e05_causal, (leaks, dilations))


def test_the_suspects_leak_or_not_as_e05_says():
    g = torch.Generator().manual_seed(1)
    for letter, suspect in suspects().items():
        x = torch.randn((1, 12, 4), generator=g)
        before, leaks = suspect(x), False
        for t in range(1, 12):
            changed = x.clone()
            changed[:, t] += 1
            leaks |= not torch.equal(suspect(changed)[:, :t], before[:, :t])
        assert leaks == (letter in LEAKS), letter
        assert before.shape == x.shape


@pytest.mark.parametrize("leaks, told", [
    ({"B", "C"}, ["1 more lets the future in", "right of the dashed line"]), ("C", "2 more let the future in"),
    ({"B", "D"}, ["1 more lets the future in", "corners"]), (set(), "3 more let"), ({}, "3 more let the future in"),
    ({"A", *LEAKS}, "A does not see the future"), ({"E"}, "E does not see the future"), ({"F"}, "no suspect 'F'"),
    (3, "must be a set of letters")])
def test_e05_wrong_suspects(wrong, leaks, told):
    wrong(told, e05_causal, (leaks, (1, 3, 9)))


@pytest.mark.parametrize("dilations, told", [
    ((1, 2, 4), ["sees 15 inputs", "for pairs"]), ((1, 3), "2 dilations for three layers"),
    ((3, 9, 27), ["27 inputs", "reaches back over 79", "holes"]), ((1, 3, 8), "counted twice"),
    ((1, 1, 1), "sees 7 inputs"), ((0, 3, 9), "whole numbers above 0"), ("139", "list of whole numbers"),
    ((1.0, 3, 9), "list of whole numbers"), ((1, 3, 9, 27), "4 dilations for three layers"), (9, "list of whole")])
def test_e05_wrong_dilations(wrong, dilations, told):
    wrong(told, e05_causal, (LEAKS, dilations))


# ----- E06 ------------------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def stoi(own_words):
    return build_vocabulary(own_words)[0]


def logits_from(words, stoi, context, names=None, n=200, *layers):
    """A small net that sees `context` characters, trained for a moment, as a function of contexts."""
    X, Y = build_dataset(names or split_words(words)[0], stoi, context)
    torch.manual_seed(1)
    net = nn.Sequential(nn.Embedding(len(stoi), 8), nn.Flatten(), nn.Linear(8 * context, 64), nn.Tanh(), *layers,
                        nn.Linear(64, len(stoi)))
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    for _ in range(n):
        ix = torch.randint(0, len(X), (128,))
        optimizer.zero_grad()
        F.cross_entropy(net(X[ix]), Y[ix]).backward()
        optimizer.step()
    net.eval()
    return net


def loss_on(function, names, stoi, context):
    X, Y = build_dataset(names, stoi, context)
    with torch.no_grad():
        return F.cross_entropy(function(X), Y).item()


@pytest.mark.parametrize("context", [1, 3, 8, 16])
def test_e06_takes_any_context(right, own_words, stoi, context):
    net = logits_from(own_words, stoi, context)
    told = right(e06_beat, (net, context, loss_on(net, split_words(own_words)[1], stoi, context)), own_words)
    assert f"with {context} characters" in told


def test_e06_the_quoted_loss_is_that_of_dev(wrong, own_words, stoi):
    net, (_, dev, test) = logits_from(own_words, stoi, 4), split_words(own_words)
    on_dev = loss_on(net, dev, stoi, 4)
    wrong("the loss on test", e06_beat, (net, 4, loss_on(net, test, stoi, 4)), own_words)
    wrong(["over all of dev", f"{on_dev:.4f}"], e06_beat, (net, 4, round(on_dev, 1) - 0.1), own_words)
    wrong("over all of dev", e06_beat, (net, 4, math.nan), own_words)
    for quoted, words in ((math.log10(on_dev), "that the plot shows"), (math.exp(on_dev), "perplexity"),
                          (on_dev / math.log(2), "in bits"), (-on_dev, "sign is turned around"),
                          ("low", "could not be used")):
        wrong(words, e06_beat, (net, 4, quoted), own_words)


def test_e06_the_usual_wrong_nets(wrong, own_words, stoi):
    train, dev, test = split_words(own_words)
    overfit = logits_from(own_words, stoi, 8, dev, 1500)
    wrong("dev was trained on", e06_beat, (overfit, 8, loss_on(overfit, dev, stoi, 8)), own_words)
    wrong("from 1 to 64", e06_beat, (overfit, 0, 2.0), own_words)
    wrong("from 1 to 64", e06_beat, (overfit, 8.0, 2.0), own_words)
    wrong("from 1 to 64", e06_beat, (overfit, "8", 2.0), own_words)
    wrong("could not be used", e06_beat, (overfit, 3, 2.0), own_words)  # a net of another context
    wrong("returns 2 things", e06_beat, (lambda X: (overfit(X), 2.0), 8, 2.0), own_words)
    wrong("must be a function", e06_beat, (torch.zeros(3), 8, 2.0), own_words)
    wrong("three things", e06_beat, (overfit, 8), own_words)
    wrong("no better than a uniform guess", e06_beat,
          (lambda X: torch.zeros(len(X), len(stoi)), 8, math.log(len(stoi))), own_words)
    wrong(["27)", "one dimension too many"], e06_beat,
          (lambda X: torch.zeros(len(X), 2, len(stoi)), 8, 0.2), own_words)
    dropping = logits_from(own_words, stoi, 8, None, 50, nn.Dropout(0.5)).train()
    wrong("change with the examples beside it, or from call to call", e06_beat, (dropping, 8, 2.0), own_words)
    wrong(["could not be used", "a mistake of the reader's"], e06_beat, (fails, 8, 2.0), own_words)


def test_e06_asks_for_less_than_the_lectures_loss_on_its_list(wrong, lecture_words):
    stoi, _ = build_vocabulary(lecture_words)
    net = logits_from(lecture_words, stoi, 3, None, 300)
    dev = loss_on(net, split_words(lecture_words)[1], stoi, 3)
    wrong(["below 1.993 was asked for", "a larger net or more steps"], e06_beat, (net, 3, dev), lecture_words)
