"""Exercises: the exercises of lecture 2: fed with right answers and with the usual wrong ones."""

import math
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmutils import build_dataset, build_vocabulary, split_words
from mmutils.exercises.lecture2 import e01_tuning, e02_uniform_start, e03_direct

CHECKS = [e01_tuning, e02_uniform_start, e03_direct]


@pytest.fixture(params=CHECKS, ids=lambda check: check.__name__)
def check(request):
    return request.param


# ----- what all checks promise ----------------------------------------------------------------------------------------

@pytest.mark.parametrize("answer", [None, (None,), (None, None), (None, 2.0), (len, None), (None, None, None), ..., [],
                                    [None] * 6, (len, [None, None]), (..., 2.0)], ids=str)
def test_an_empty_answer_is_not_tried_yet(verdict, own_words, check, answer):
    result, told = verdict(check, answer, own_words)
    assert result is None
    assert told.startswith(f"{check.__name__[:3].upper()}: not tried yet") and "then this check" in told


def fails(*args):
    raise RuntimeError("a mistake of the reader's")


JUNK = {
    "str": "emma", "int": 3, "nan": math.nan, "right": math.log(27), "dict": {},
    "object": object(), "class": int, "six words": list("abcdef"), "six numbers": [1.0] * 6,
    "scalar": torch.tensor(1.0), "no numbers": torch.zeros(0), "zeros": torch.zeros(27, 27),
    "complex": torch.zeros(6, 27, dtype=torch.complex64), "cube": torch.zeros(6, 27, 27),
    "whole numbers": [torch.zeros(27, 27, dtype=torch.int64)] * 6, "bools": [torch.zeros(6, 27) > 0] * 6,
    "no data": torch.empty(27, 27, device="meta"), "array of objects": np.array([{}, 3]), "function that raises": fails,
    "function without arguments": lambda: 3, "function that gives None": lambda *a: None,
    "function that gives a str": lambda *a: "emma", "function that gives its arguments": lambda *a: a,
    "function that gives a number": lambda *a: 3.0, "function that gives a function": lambda *a: fails,
    "function that gives an array": lambda *a: np.zeros((3, 27)), "function that gives complex": lambda *a: 1j,
    "function that gives six": lambda *a: [torch.zeros(27)] * 6, "function that gives five": lambda *a: [3.0] * 5,
    "function that gives a bool": lambda *a: torch.zeros(len(a[0]), 27) > 0 if isinstance(a[0], torch.Tensor) else True,
}


@pytest.mark.parametrize("junk", JUNK.values(), ids=JUNK)
def test_a_check_says_no_to_junk_and_never_raises(capsys, own_words, check, junk):
    answers = [junk, (junk,), (junk, junk), (junk, junk, junk), (math.log(27), junk), (junk, math.log(27)),
               ([torch.zeros(27, 2), *[torch.zeros(6, 27)] * 5], junk), (junk, lambda *a: torch.zeros(len(a[-1]), 27))]
    for answer in answers:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # numpy's and torch's own, about what a reader does
            assert check(answer, own_words) is False
        assert f"{check.__name__[:3].upper()}: not yet. " in capsys.readouterr().out


ANSWERS_THAT_FAIL = [(fails, 2.0), (math.log(27), fails), ([torch.zeros(27, 2), *[torch.zeros(6, 27)] * 5], fails)]


@pytest.mark.parametrize("check, answer", list(zip(CHECKS, ANSWERS_THAT_FAIL, strict=True)))
def test_a_mistake_inside_the_readers_function_is_told(wrong, own_words, check, answer):
    wrong(["could not be used", "RuntimeError", "a mistake of the reader's"], check, answer, own_words)


def test_the_answer_is_two_things(wrong, own_words, check):
    for answer in (fails, (fails,), [fails, 2.0], (fails, fails, 2.0)):
        wrong("must be two things", check, answer, own_words)


# ----- nets, as a reader makes them -----------------------------------------------------------------------------------

def mlp(parameters, X):
    C, W1, b1, W2, b2 = parameters
    return torch.tanh(C[X].view(len(X), -1) @ W1 + b1) @ W2 + b2


def direct(parameters, X):
    C, *_, Wd = parameters
    return mlp(parameters[:5], X) + C[X].view(len(X), -1) @ Wd


def fresh(n_embd, n_hidden, factors=(1, 0.2, 0.01, 0.01, 0), dtype=torch.float32, side=27):
    """C, W1, b1, W2, b2 from the normal distribution, each times its factor; with six factors Wd too."""
    g = torch.Generator().manual_seed(1)
    shapes = [(side, n_embd), (3 * n_embd, n_hidden), (n_hidden,), (n_hidden, side), (side,), (3 * n_embd, side)]
    return [f * torch.randn(shape, generator=g, dtype=dtype) for shape, f in zip(shapes, factors, strict=False)]


def trained(forward, parameters, words, n=150):
    """The parameters after n steps of Adam on `words`."""
    X, Y = build_dataset(words, build_vocabulary(words)[0], 3)
    g = torch.Generator().manual_seed(1)
    optimizer = torch.optim.Adam([p.requires_grad_() for p in parameters], lr=0.02)
    for _ in range(n):
        ix = torch.randint(0, len(X), (128,), generator=g)
        optimizer.zero_grad()
        F.cross_entropy(forward(parameters, X[ix]), Y[ix]).backward()
        optimizer.step()
    return [p.detach() for p in parameters]


def sequential(words, *layers):
    """A trained net of torch.nn with these layers in front of its nonlinearity. It is still in training mode."""
    torch.manual_seed(1)
    net = nn.Sequential(nn.Embedding(27, 4), nn.Flatten(), nn.Linear(12, 30), *layers, nn.Tanh(), nn.Linear(30, 27))
    trained(lambda parameters, X: net(X), list(net.parameters()), words)
    return net


def counted(words, stoi, strength=10, order=3):
    """A function that gives logits: counts after `order` characters, smoothed with those after fewer."""
    side = len(stoi)
    places = torch.tensor([side**2, side, 1])
    X, Y = build_dataset(words, stoi, 3)
    P = torch.full((1, side), 1 / side)
    for k in range(order + 1):
        P = strength * P.repeat(side if k else 1, 1)  # a row for each context: those with the same end had one row
        P.index_put_(((X * places).sum(1) % side**k, Y), torch.ones(len(Y)), accumulate=True)
        P = P / P.sum(1, keepdim=True)
    logits = P.log()
    return lambda X: logits[(X * places).sum(1) % side**order]


def loss_on(function, words, stoi):
    X, Y = build_dataset(words, stoi, 3)
    with torch.no_grad():
        return F.cross_entropy(torch.as_tensor(function(X)), Y).item()


def e01_answer(function, words):
    return function, loss_on(function, split_words(words)[1], build_vocabulary(words)[0])


@pytest.fixture(scope="module")
def stoi(own_words):
    return build_vocabulary(own_words)[0]


@pytest.fixture(scope="module")
def parts(own_words):
    return split_words(own_words)


@pytest.fixture(scope="module")
def net(parts):
    return trained(mlp, fresh(4, 30), parts[0])


@pytest.fixture(scope="module")
def net_direct(parts):
    return trained(direct, fresh(4, 30, (1, 0.2, 0.01, 0.1, 0, 0.1)), parts[0])


@pytest.fixture(params=CHECKS, ids=lambda check: check.__name__)
def answered(request, own_words, net, net_direct):
    """A check, a right answer to it, and the tensors in the answer."""
    copies = [p.clone().requires_grad_() for p in (net_direct if request.param is e03_direct else net)]
    if request.param is e01_tuning:
        return e01_tuning, e01_answer(lambda X: mlp(copies, X), own_words), copies
    if request.param is e03_direct:
        return e03_direct, (copies, direct), copies
    nets = {sizes: [p.requires_grad_() for p in fresh(*sizes)] for sizes in ((10, 200), (4, 30))}
    return e02_uniform_start, (math.log(27), lambda *sizes: nets[sizes]), [p for net in nets.values() for p in net]


def test_a_check_leaves_the_readers_net_and_random_numbers_alone(right, own_words, answered):
    check, answer, tensors = answered
    before, state = [p.detach().clone() for p in tensors], torch.get_rng_state()
    right(check, answer, own_words)
    assert all(torch.equal(old, new) for old, new in zip(before, tensors, strict=True))
    assert all(p.grad is None and p.requires_grad for p in tensors)
    assert torch.equal(state, torch.get_rng_state())


def test_the_checks_take_a_list_in_any_alphabet(right, wrong, own_words):
    consonants, greek = "bcdfghjklmnpqrstvwxyz", "βγδζθκλμνξπ"
    table = {ord(ch): greek[i % len(greek)] for i, ch in enumerate(consonants)}
    words = [word.translate(table | dict(zip(map(ord, "aeiou"), "αεηιω", strict=True))) for word in own_words]
    train, side = split_words(words)[0], 17
    assert len(build_vocabulary(words)[0]) == side
    net = trained(mlp, fresh(4, 30, side=side), train)
    right(e01_tuning, e01_answer(lambda X: mlp(net, X), words), words)
    right(e02_uniform_start, (math.log(side), lambda *sizes: fresh(*sizes, side=side)), words)
    wrong("the loss with 16 characters", e02_uniform_start, (math.log(16), fresh), words)
    wrong("[(17, 10), (30, 200), (200,), (200, 17), (17,)]", e02_uniform_start, (math.log(side), fresh), words)
    right(e03_direct, (trained(direct, fresh(4, 30, (1, 0.2, 0.01, 0.1, 0, 0.1), side=side), train), direct), words)


# ----- E01 ------------------------------------------------------------------------------------------------------------

def embedded(net, X):
    return net[0][X].view(len(X), -1)


def module(train, *layers):
    return sequential(train, *layers).eval()


def large(train):
    net = trained(mlp, fresh(10, 200, dtype=torch.float64), train)
    return lambda X: mlp(net, X)


def no_hidden_layer(train):
    W, = trained(lambda parameters, X: parameters[0][X, torch.arange(3)].sum(1), [torch.zeros(27, 3, 27)], train)
    return lambda X: W[X, torch.arange(3)].sum(1)


E01_RIGHT = {
    "a net": lambda train, net, stoi: lambda X: mlp(net, X),
    "with its graph": lambda train, net, stoi: lambda X: mlp([p.clone().requires_grad_() for p in net], X),
    "array": lambda train, net, stoi: lambda X: mlp(net, X).numpy(),
    "log-probabilities": lambda train, net, stoi: lambda X: mlp(net, X).log_softmax(1),
    "all logits higher": lambda train, net, stoi: lambda X: mlp(net, X) + 100,
    "without the largest of all": lambda train, net, stoi: lambda X: mlp(net, X) - mlp(net, X).max(),
    "made double": lambda train, net, stoi: lambda X: mlp([p.double() for p in net], X),
    "a larger net, trained as double": lambda train, net, stoi: large(train),
    "no hidden layer": lambda train, net, stoi: no_hidden_layer(train),
    "torch.nn": lambda train, net, stoi: module(train),
    "dropout, switched off": lambda train, net, stoi: module(train, nn.Dropout(0.2)),
    "batch norm, switched to eval": lambda train, net, stoi: module(train, nn.BatchNorm1d(30)),
    "layer norm": lambda train, net, stoi: sequential(train, nn.LayerNorm(30)),
    "counts": lambda train, net, stoi: counted(train, stoi),
    "counts that overfit": lambda train, net, stoi: counted(train, stoi, 1),
    "the bigram": lambda train, net, stoi: counted(train, stoi, 1, order=1),
    "how often each letter occurs": lambda train, net, stoi: counted(train, stoi, order=0),
    "in the lecture's loop": lambda train, net, stoi: lambda X: torch.cat([mlp(net, x) for x in X.split(1000)]),
}


@pytest.mark.parametrize("make", E01_RIGHT.values(), ids=E01_RIGHT)
def test_e01_says_yes(right, own_words, stoi, parts, net, make):
    function, loss = e01_answer(make(parts[0], net, stoi), own_words)
    assert f"Dev {loss:.4f}" in right(e01_tuning, (function, loss), own_words)


@pytest.mark.parametrize("kind", [torch.tensor, np.float64, np.float32, "{:.4f}".format,
                                  lambda loss: torch.tensor(loss, requires_grad=True) * 1],
                         ids=["tensor", "np.float64", "np.float32", "four digits", "with its graph"])
def test_e01_takes_the_loss_as_any_number(right, own_words, net, kind):
    function, loss = e01_answer(lambda X: mlp(net, X), own_words)
    right(e01_tuning, (function, kind(loss)), own_words)


@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_e01_suspects_nobody_on_a_short_list(right, own_words, order):
    for start in range(0, 2000, 200):  # dev and test of 20 names each: by chance they lie far apart
        words = own_words[start:start + 200]
        right(e01_tuning, e01_answer(counted(split_words(words)[0], build_vocabulary(words)[0], order=order), words),
              words)


E01_WRONG = {
    "a position too many": (["(9360, 3, 27) instead of (9360, 27)", "one dimension too many"],
                            lambda net, X: mlp(net, X)[:, None].expand(-1, 3, -1)),
    "one logit": ("(9360, 1) instead of", lambda net, X: mlp(net, X)[:, :1]),
    "without the end": ("(9360, 26) instead of", lambda net, X: mlp(net, X)[:, 1:]),
    "transposed": ("(27, 9360) instead of", lambda net, X: mlp(net, X).T),
    "one dimension": ("(9360,) instead of", lambda net, X: mlp(net, X).argmax(1)),
    "all in a row": (f"({9360 * 27},) instead of", lambda net, X: mlp(net, X).view(-1)),
    "one example": ("(27,) instead of", lambda net, X: mlp(net, X[:1])[0]),
    "a loss": ("the shape () instead of", lambda net, X: F.cross_entropy(mlp(net, X), X[:, 0])),
    "logits and a loss": ("returns 2 things", lambda net, X: (mlp(net, X), 2.0)),
    "no return": ("end without return", lambda net, X: None),
    "probabilities": ("before the softmax", lambda net, X: mlp(net, X).softmax(1)),
    "probabilities, double": ("before the softmax", lambda net, X: mlp(net, X).double().softmax(1)),
    "the likeliest character": ("probabilities", lambda net, X: F.one_hot(mlp(net, X).argmax(1), 27)),
    "nan": ("smaller learning rate", lambda net, X: mlp(net, X) * math.nan),
    "one nan": ("smaller learning rate", lambda net, X: mlp(net, X).index_fill(0, torch.tensor(5), math.nan)),
    "overflow": ("smaller learning rate", lambda net, X: mlp(net, X).exp() * 1e38),
    "logarithm of 0": ("logarithms of 0", lambda net, X: mlp(net, X).clamp(min=0).log()),
    "dropout left on": ("Switch dropout off", lambda net, X: F.dropout(mlp(net, X), 0.1)),
    "mean of the batch": ("statistics of the batch", lambda net, X: mlp(net, X) - mlp(net, X).mean(0)),
    "batch norm by hand": ("statistics of the batch", lambda net, X: F.batch_norm(mlp(net, X), None, None,
                                                                                   training=True)),
    "softmax over the examples": ("the examples beside it", lambda net, X: mlp(net, X).softmax(0)),
}
USELESS = {
    "all the same": lambda net, X: torch.zeros(len(X), 27),
    "upside down": lambda net, X: -mlp(net, X),
    "far too sure": lambda net, X: 30 * mlp(net, X),
    "untrained": lambda net, X: mlp(fresh(10, 200, (1,) * 5), X),
    "the same letter again": lambda net, X: 10.0 * F.one_hot(X[:, 2], 27),
}


@pytest.mark.parametrize("telling, forward", E01_WRONG.values(), ids=E01_WRONG)
def test_e01_says_no(wrong, own_words, net, telling, forward):
    wrong(telling, e01_tuning, (lambda X: forward(net, X), 2.0), own_words)


@pytest.mark.parametrize("forward", USELESS.values(), ids=USELESS)
def test_e01_says_no_to_a_net_that_knows_nothing_and_suspects_it_of_nothing(wrong, own_words, net, forward):
    wrong("no better than a uniform guess", e01_tuning, e01_answer(lambda X: forward(net, X), own_words), own_words)


@pytest.mark.parametrize("layer", [nn.Dropout(0.2), nn.BatchNorm1d(30)], ids=str)
def test_e01_says_no_to_a_net_in_training_mode(wrong, own_words, parts, layer):
    net = sequential(parts[0], layer)
    assert net.training
    wrong("Switch dropout off", e01_tuning, (net, 2.0), own_words)


def rounded(function, parts, stoi):
    loss = loss_on(function, parts[1], stoi)
    return round(loss, 2) if abs(round(loss, 2) - loss) > 1e-3 else round(loss, 1)


E01_WRONG_LOSSES = {
    "test": ("the loss on test", lambda function, parts, stoi: loss_on(function, parts[2], stoi)),
    "train": ("the loss on train", lambda function, parts, stoi: loss_on(function, parts[0], stoi)),
    "a minibatch": (["over all of dev this net has", "one minibatch"],
                    lambda function, parts, stoi: loss_on(function, parts[1][:5], stoi)),
    "rounded": (["over all of dev this net has", "do not round"], rounded),
    "bits": ("in bits", lambda function, parts, stoi: loss_on(function, parts[1], stoi) / math.log(2)),
    "as plotted": ("the logarithm of the loss that the plot shows",
                   lambda function, parts, stoi: math.log10(loss_on(function, parts[1], stoi))),
    "the perplexity": ("perplexity", lambda function, parts, stoi: math.exp(loss_on(function, parts[1], stoi))),
    "base 10": ("to base 10", lambda function, parts, stoi: loss_on(function, parts[1], stoi) / math.log(10)),
    "the sign": ("sign is turned", lambda function, parts, stoi: -loss_on(function, parts[1], stoi)),
    "train and dev": ("over all of dev", lambda function, parts, stoi: loss_on(function, parts[0] + parts[1], stoi)),
    "nan": ("dev_loss_mine is nan", lambda function, parts, stoi: math.nan),
    "inf": ("dev_loss_mine is inf", lambda function, parts, stoi: math.inf),
    "in words": ("could not be used", lambda function, parts, stoi: "low"),
    "each example's": ("could not be used", lambda function, parts, stoi: torch.ones(9)),
}


@pytest.mark.parametrize("telling, loss", E01_WRONG_LOSSES.values(), ids=E01_WRONG_LOSSES)
def test_e01_says_no_to_another_loss_than_devs(wrong, own_words, stoi, parts, net, telling, loss):
    def function(X):
        return mlp(net, X)

    wrong(telling, e01_tuning, (function, loss(function, parts, stoi)), own_words)


LEAKS = {
    "train and dev": ("Names of dev were trained on", lambda train, dev, test: train + dev),
    "train and test": ("Names of test were trained on", lambda train, dev, test: train + test),
    "dev": ("dev was trained on", lambda train, dev, test: dev),
    "test": ("test was trained on", lambda train, dev, test: test),
    "dev and test": ("dev was trained on", lambda train, dev, test: dev + test),
    "dev twice": ("dev was trained on", lambda train, dev, test: train + 9 * dev),
}


@pytest.mark.parametrize("telling, leak", LEAKS.values(), ids=LEAKS)
def test_e01_says_no_to_counts_of_what_is_to_be_held_back(wrong, own_words, stoi, parts, telling, leak):
    wrong(telling, e01_tuning, e01_answer(counted(leak(*parts), stoi, 3), own_words), own_words)


def test_e01_says_no_to_a_net_trained_on_dev(wrong, own_words, parts):
    net = trained(mlp, fresh(10, 100), parts[1], 200)
    wrong("dev was trained on", e01_tuning, e01_answer(lambda X: mlp(net, X), own_words), own_words)


@pytest.mark.parametrize("part", [0, 1, 2])
def test_e01_says_no_to_a_function_that_has_the_answers(wrong, own_words, stoi, parts, net, part):
    X_part, Y_part = build_dataset(parts[part], stoi, 3)

    def peeks(X):
        known = torch.equal(X, X_part[:len(X)])
        return 9.0 * F.one_hot(Y_part[:len(X)], 27) if known else mlp(net, X)

    name = ("train", "dev", "test")[part]
    wrong([f"the loss on {name}", "which nothing that sees three characters can reach", "answers got in"],
          e01_tuning, e01_answer(peeks, own_words), own_words)


def test_e01_wants_a_function_of_the_contexts_alone(wrong, own_words, net):
    for function in (mlp, lambda: 3):
        wrong("must take X and nothing else", e01_tuning, (function, 2.0), own_words)
    assert e01_tuning((lambda X, net=net: mlp(net, X), 99.0), own_words) is False  # more that has a value is no harm


def test_e01_does_not_speak_of_what_lecture_2_does_not_know(wrong, own_words, net, capsys):
    e01_tuning((lambda X: mlp(net, X), 2.0), own_words)
    told = capsys.readouterr().out
    assert "Take the mean over all of dev and do not round it." in told and "evaluation" not in told


def test_e01_prints_the_floor_of_dev(right, own_words, parts, net):
    after = {}
    for word in parts[1]:
        for k, ch in enumerate(word + "."):
            after.setdefault(("..." + word)[k:k + 3], []).append(ch)
    each = [math.log(len(chars) / chars.count(ch)) for chars in after.values() for ch in chars]
    told = right(e01_tuning, e01_answer(lambda X: mlp(net, X), own_words), own_words)
    assert f"floor of dev with three characters {sum(each) / len(each):.4f}" in told


def test_e01_wants_a_function(wrong, own_words, net):
    wrong("must be a function", e01_tuning, (net, 2.0), own_words)


@pytest.fixture(scope="module")
def lecture(lecture_words):
    """stoi and the three parts of the lecture's list."""
    return build_vocabulary(lecture_words)[0], split_words(lecture_words)


def test_e01_says_yes_below_2_1_on_the_lectures_list(right, lecture_words, lecture):
    stoi, (train, _, _) = lecture
    function, loss = e01_answer(counted(train, stoi), lecture_words)
    told = right(e01_tuning, (function, loss), lecture_words)
    assert 2.0765 <= loss < 2.0775 and "come to 2.077" in told  # what the check says about such counts


LECTURE_WRONG = {
    "trigrams": (["below 2.1 was asked for", "larger net or more steps"],
                 lambda train, dev, test, stoi: counted(train, stoi, 1, order=2)),
    "hardly smoothed": (["below 2.1 was asked for", "overfits"],
                        lambda train, dev, test, stoi: counted(train, stoi, 1)),
    "train and dev": ("Names of dev were trained on", lambda train, dev, test, stoi: counted(train + dev, stoi)),
    "the whole list": (["as low as that on train", "the whole list"],
                       lambda train, dev, test, stoi: counted(train + dev + test, stoi)),
}


@pytest.mark.parametrize("telling, make", LECTURE_WRONG.values(), ids=LECTURE_WRONG)
def test_e01_says_no_on_the_lectures_list(wrong, lecture_words, lecture, telling, make):
    stoi, parts = lecture
    wrong(telling, e01_tuning, e01_answer(make(*parts, stoi), lecture_words), lecture_words)


# ----- E02 ------------------------------------------------------------------------------------------------------------

E02_RIGHT = {
    "the lecture's, W2 small": (1, 1, 1, 0.01, 0),
    "W1 small too": (1, 0.2, 0.01, 0.01, 0),
    "b2 small": (1, 0.2, 0.1, 0.01, 0.01),
    "W2 zero": (1, 0.2, 0.01, 0, 0),
    "W1 zero": (1, 0, 0.1, 0.01, 0),
    "C zero": (0, 1, 0.1, 0.01, 0),
    "everything very small": (0.01,) * 5,
    "saturated": (1, 5, 1, 0.001, 0),
}


@pytest.mark.parametrize("factors", E02_RIGHT.values(), ids=E02_RIGHT)
def test_e02_says_yes(right, own_words, factors):
    told = right(e02_uniform_start, (math.log(27), lambda *sizes: fresh(*sizes, factors)), own_words)
    assert "3.2958" in told and "learns" in told


E02_KINDS = {
    "nn.Parameter": (torch.tensor(27).log(), lambda *sizes: [nn.Parameter(p) for p in fresh(*sizes)]),
    "a tuple of double": (-math.log(1 / 27), lambda *sizes: tuple(p.double() for p in fresh(*sizes))),
    "arrays": (np.log(27), lambda *sizes: [p.numpy() for p in fresh(*sizes)]),
    "with its graph": (F.cross_entropy(torch.zeros((5, 27), requires_grad=True), torch.arange(5)),
                       lambda *sizes: [p.requires_grad_() * 1 for p in fresh(*sizes)]),
}


@pytest.mark.parametrize("answer", E02_KINDS.values(), ids=E02_KINDS)
def test_e02_says_yes_to_numbers_and_parameters_of_any_kind(right, own_words, answer):
    right(e02_uniform_start, answer, own_words)


def test_e02_says_yes_on_the_lectures_list(right, lecture_words):
    right(e02_uniform_start, (math.log(27), fresh), lecture_words)


UNIFORM_WRONG = {
    "bits": (math.log2(27), "natural logarithm"), "the probability": (1 / 27, "the probability of a uniform guess"),
    "without the end": (math.log(26), "The '.' is one too"), "the sign": (-math.log(27), "sign is turned around"),
    "base 10": (math.log10(27), "to base 10"), "the perplexity": (27, "how many characters there are"),
    "what was seen": (17.77, "17.7700"),
    "p log p": (math.log(27) / 27, "p · log p"), "of three characters": (3 * math.log(27), "−log"),
    "nan": (math.nan, "uniform_mine is nan"), "inf": (math.inf, "uniform_mine is inf"),
}


def test_e02_judges_its_first_half_alone(verdict, own_words):
    for right in (math.log(27), torch.tensor(27).log()):
        for missing in (None, ...):
            result, told = verdict(e02_uniform_start, (right, missing), own_words)
            assert result is None and told.startswith("E02: uniform_mine is right, init_mine is still missing")
    for wrong in (1 / 27, 27, torch.tensor(3.0)):
        result, told = verdict(e02_uniform_start, (wrong, None), own_words)
        assert result is False and "E02: not yet. uniform_mine is" in told
    result, told = verdict(e02_uniform_start, (None, fresh), own_words)
    assert result is None and told.startswith("E02: not tried yet")


@pytest.mark.parametrize("uniform, telling", UNIFORM_WRONG.values(), ids=UNIFORM_WRONG)
def test_e02_says_no_to_another_loss_than_the_uniform_ones(wrong, own_words, uniform, telling):
    wrong(["uniform_mine is", telling], e02_uniform_start, (uniform, fresh), own_words)
    wrong(["uniform_mine is", telling], e02_uniform_start, (torch.tensor(uniform), fresh), own_words)


def alike(n_embd, n_hidden):
    """All neurons the same, the embeddings at random."""
    C, W1, b1, W2, b2 = fresh(n_embd, n_hidden, (1, 0.2, 0.01, 0.001, 0))
    return [C, W1[:, :1].expand(-1, n_hidden), b1[:1].expand(n_hidden), W2[:1].expand(n_hidden, -1), b2]


SHAPES = "instead of [(27, 10), (30, 200), (200,), (200, 27), (27,)]"
E02_WRONG = {
    "the lecture's start": (["n_embd 10 and n_hidden 200", "not within 0.05 of 3.2958", "How large are the logits"],
                            lambda *sizes: fresh(*sizes, (1,) * 5)),
    "b2 as it was": ("not within 0.05", lambda *sizes: fresh(*sizes, (1, 0.2, 0.01, 0.01, 1))),
    "W2 a tenth": ("not within 0.05", lambda *sizes: fresh(*sizes, (1, 1, 1, 0.1, 0))),
    "better than uniform": ("not within 0.05", lambda *sizes: [*fresh(*sizes)[:4], torch.arange(27.0) * -0.03]),
    "small for one size only": (["n_embd 4 and n_hidden 30", "not within 0.05"],
                                lambda n, m: fresh(n, m, (1, 1, 1, 0.01 if m == 200 else 1, 0))),
    "nan": ("starts at nan", lambda *sizes: fresh(*sizes, (1, 1, 1, math.nan, 0))),
    "one size": (["init_mine(4, 30)", "instead of [(27, 4), (12, 30), (30,), (30, 27), (27,)]"],
                 lambda *sizes: fresh(10, 200)),
    "sizes swapped": (SHAPES, lambda n_embd, n_hidden: fresh(n_hidden, n_embd)),
    "without b2": (SHAPES, lambda *sizes: fresh(*sizes)[:4]),
    "another order": (SHAPES, lambda *sizes: fresh(*sizes)[::-1]),
    "two characters": (SHAPES, lambda n, m: [p[:2 * n] if p.shape == (3 * n, m) else p for p in fresh(n, m)]),
    "b1 in two dimensions": (SHAPES, lambda *sizes: [p[None] if p.dim() == 1 else p for p in fresh(*sizes)]),
    "W1 of one character": (SHAPES, lambda n, m: [p[:n] if p.shape == (3 * n, m) else p for p in fresh(n, m)]),
    "W2 divided by n_hidden only in W1": ("not within 0.05", lambda n, m: fresh(n, m, (1, 1 / m, 1, 1, 0))),
    "no return": ("could not be used", lambda *sizes: None),
    "a dict": ("could not be used", lambda *sizes: dict(zip("abcde", fresh(*sizes), strict=True))),
    "a seed too": ("instead of", lambda *sizes: [*fresh(*sizes), 2147483647]),
    "a table": ("init_mine must be a function", fresh(10, 200)),
    "all zeros": ("Is a whole layer zero", lambda *sizes: fresh(*sizes, (0,) * 5)),
    "zero but for C": ("Is a whole layer zero", lambda *sizes: fresh(*sizes, (1, 0, 0, 0, 0))),
    "C and W1 zero": ("Is a whole layer zero", lambda *sizes: fresh(*sizes, (0, 0, 0.1, 0.01, 0))),
    "all neurons the same": (["all 200 neurons are the same", "a net with one neuron"], alike),
    "constants": (["all 200 neurons are the same", "at random"],
                  lambda *sizes: [torch.full_like(p, 0.01) for p in fresh(*sizes)]),
}


@pytest.mark.parametrize("telling, init", E02_WRONG.values(), ids=E02_WRONG)
def test_e02_says_no(wrong, own_words, telling, init):
    wrong(telling, e02_uniform_start, (math.log(27), init), own_words)


# ----- E03 ------------------------------------------------------------------------------------------------------------

def by_hand(parameters, X):
    C, W1, b1, W2, b2, Wd = parameters
    emb = torch.cat([C[X[:, k]] for k in range(3)], 1)
    return F.linear(F.linear(emb, W1.T, b1).tanh(), W2.T, b2).add(torch.einsum("ni,ij->nj", emb, Wd))


E03_RIGHT = {
    "a list": lambda net: (net, direct), "a tuple": lambda net: (tuple(net), direct),
    "with gradients": lambda net: ([p.clone().requires_grad_() for p in net], direct),
    "nn.ParameterList": lambda net: (nn.ParameterList(net), direct),
    "double": lambda net: ([p.double() for p in net], direct),
    "written otherwise": lambda net: (net, by_hand),
    "logits as an array": lambda net: (net, lambda parameters, X: direct(parameters, X).numpy()),
    "parameters as arrays": lambda net: ([p.numpy() for p in net], direct),
}


@pytest.mark.parametrize("make", E03_RIGHT.values(), ids=E03_RIGHT)
def test_e03_says_yes(right, own_words, stoi, parts, net_direct, make):
    told = right(e03_direct, make(net_direct), own_words)
    assert f"Dev {loss_on(lambda X: direct(net_direct, X), parts[1], stoi):.4f}" in told


@pytest.mark.parametrize("n_embd, n_hidden", [(1, 10), (2, 20), (10, 200), (27, 5)])
def test_e03_says_yes_to_any_sizes(right, own_words, parts, n_embd, n_hidden):
    parameters = trained(direct, fresh(n_embd, n_hidden, (1, 0.2, 0.01, 0.01, 0, 0)), parts[0])
    right(e03_direct, (parameters, direct), own_words)


E03_WRONG_PARAMETERS = {
    "without Wd": ("there are 5 parameters; six are needed", lambda net: net[:5]),
    "a seventh": ("there are 7 parameters", lambda net: [*net, net[4]]),
    "Wd transposed": (["the shape (27, 12)", "it is (12, 27)"], lambda net: [*net[:5], net[5].T]),
    "Wd of one embedding": ("the shape (4, 27)", lambda net: [*net[:5], net[5][:4]]),
    "Wd from the hidden layer": ("the shape (30, 27)", lambda net: [*net[:5], net[3]]),
    "another order": ("Wd has the shape (27,)", lambda net: [*net[:3], net[3], net[5], net[4]]),
    "Wd zero": (["still all zeros", "the list that is updated"], lambda net: [*net[:5], net[5] * 0]),
    "Wd nan": ("nan", lambda net: [*net[:5], net[5] * math.nan]),
    "untrained": ("hardly trained", lambda net: fresh(4, 30, (1, 0.2, 0.01, 0.01, 0.01, 0.01))),
    "untrained, the lecture's start": ("hardly trained", lambda net: fresh(10, 200, (1,) * 6)),
    "W2 zero": ("W2 is still all zeros", lambda net: [*net[:3], net[3] * 0, *net[4:]]),
}


@pytest.mark.parametrize("telling, make", E03_WRONG_PARAMETERS.values(), ids=E03_WRONG_PARAMETERS)
def test_e03_says_no_to_other_parameters(wrong, own_words, net_direct, telling, make):
    wrong(telling, e03_direct, (make(net_direct), direct), own_words)


def linear(parameters, X):
    C, W1, b1, W2, b2, Wd = parameters
    emb = embedded(parameters, X)
    return (emb @ W1 + b1) @ W2 + b2 + emb @ Wd


E03_WRONG = {
    "Wd unused": ("Wd is not used", lambda p, X: mlp(p[:5], X)),
    "tanh around the connection": ("no nonlinearity on the way",
                                   lambda p, X: mlp(p[:5], X) + torch.tanh(embedded(p, X) @ p[5])),
    "tanh around the embeddings": ("no nonlinearity on the way",
                                   lambda p, X: mlp(p[:5], X) + torch.tanh(embedded(p, X)) @ p[5]),
    "tanh around all": ("no nonlinearity on the way", lambda p, X: torch.tanh(direct(p, X))),
    "only the last character": ("must be emb @ Wd + b2",
                                lambda p, X: mlp(p[:5], X) + p[0][X[:, 2]] @ p[5][-4:]),
    "b2 forgotten": ("must be emb @ Wd + b2", lambda p, X: direct(p, X) - p[4]),
    "hidden layer forgotten": ("the hidden layer is not used", lambda p, X: embedded(p, X) @ p[5] + p[4]),
    "tanh forgotten": ("its tanh is missing", linear),
    "embeddings not side by side": ("one dimension too many", lambda p, X: mlp(p[:5], X)[:, None] + p[0][X] @ p[5][:4]),
    "b2 twice": ("b2 is added twice", lambda p, X: direct(p, X) + p[4]),
    "Wd once more": ("something else", lambda p, X: direct(p, X) + embedded(p, X) @ p[5]),
    "h + emb": ("something else", lambda p, X: mlp(p[:5], X) * 2 + embedded(p, X) @ p[5]),
    "b1 forgotten": ("something else", lambda p, X: direct([*p[:2], p[2] * 0, *p[3:]], X)),
    "no return": ("end without return", lambda p, X: None),
    "probabilities": ("before the softmax", lambda p, X: direct(p, X).softmax(1)),
    "dropout left on": ("Switch dropout off", lambda p, X: F.dropout(direct(p, X))),
    "one example": ("instead of (9360, 27)", lambda p, X: direct(p, X[:1])),
    "a list": ("could not be used", lambda p, X: [direct(p, X), p]),
}


@pytest.mark.parametrize("telling, forward", E03_WRONG.values(), ids=E03_WRONG)
def test_e03_says_no_to_another_forward_pass(wrong, own_words, net_direct, telling, forward):
    wrong(telling, e03_direct, (net_direct, forward), own_words)


def test_e03_says_no_to_a_function_with_parameters_of_its_own(wrong, own_words, net_direct):
    def forward(parameters, X):
        return direct(net_direct, X)

    wrong("take them from its argument", e03_direct, (net_direct, forward), own_words)


@pytest.mark.parametrize("i, name", list(enumerate(("C", "W1", "b1", "W2", "b2", "Wd"))))
def test_e03_says_no_to_a_parameter_of_the_page(wrong, own_words, net_direct, i, name):
    def forward(parameters, X):
        return direct([*parameters[:i], net_direct[i], *parameters[i + 1:]], X)

    wrong(f"{name} is not taken from the argument", e03_direct, (net_direct, forward), own_words)


def test_e03_says_no_to_a_net_trained_on_dev(wrong, own_words, parts):
    parameters = trained(direct, fresh(10, 100, (1, 0.2, 0.01, 0.1, 0, 0.1)), parts[1], 200)
    wrong("dev was trained on", e03_direct, (parameters, direct), own_words)


def test_e03_tells_of_embeddings_that_do_not_lie_side_by_side(wrong, own_words, net_direct):
    def forward(parameters, X):
        C, W1, b1, W2, b2, Wd = parameters
        return torch.tanh(C[X] @ W1 + b1) @ W2 + b2 + C[X] @ Wd

    wrong(["cannot be multiplied", "side by side", "a view"], e03_direct, (net_direct, forward), own_words)


def test_e03_wants_a_function(wrong, own_words, net_direct):
    wrong("must be a function", e03_direct, (net_direct, net_direct), own_words)
