"""Exercises: the exercises of lecture 3: fed with right answers and with the usual wrong ones."""

import math
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmutils import build_dataset, build_vocabulary, figures, split_words
from mmutils.exercises.lecture3 import ILLNESSES, e01_zeros, e02_fold, e03_diagnosis, patients

NAMES = ("C", "W1", "b1", "W2", "b2")


def fails(*args):
    raise RuntimeError("a mistake of the reader's")


# ----- what both checks promise ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("answer", [None, (None,), (None, None), (None, {"b2"}), ([torch.zeros(27)] * 5, None),
                                    ..., [], ([None] * 5, {"b2"}), ([None, None], [None])],
                         ids=["None", "(None,)", "(None, None)", "without the net", "without the names", "...", "[]",
                              "five times None", "nested"])
def test_an_empty_answer_to_e01_is_not_tried_yet(verdict, own_words, answer):
    result, told = verdict(e01_zeros, answer, own_words)
    assert result is None
    assert told.startswith("E01: not tried yet") and "then this check" in told


def test_an_empty_answer_to_e02_is_not_tried_yet(verdict):
    result, told = verdict(e02_fold, None)
    assert result is None
    assert told.startswith("E02: not tried yet") and "then this check" in told


JUNK = {
    "str": "emma", "name": "b2", "int": 3, "nan": math.nan, "dict": {},
    "object": object(), "class": int, "five words": list("abcde"), "five numbers": [1.0] * 5,
    "scalar": torch.tensor(1.0), "five scalars": [torch.tensor(0.0)] * 5, "no numbers": [torch.zeros(0)] * 5,
    "nothing in two dimensions": [torch.zeros(27, 0), torch.zeros(0, 0), torch.zeros(0), torch.zeros(0, 27),
                                  torch.zeros(27)],
    "zeros": torch.zeros(27, 27), "complex": [torch.ones(27, 27, dtype=torch.complex64)] * 5,
    "cube": torch.zeros(6, 27, 27), "whole numbers": [torch.zeros(27, 27, dtype=torch.int64)] * 5,
    "bools": [torch.zeros(5, 27) > 0] * 5, "no data": [torch.empty(27, 27, device="meta")] * 5,
    "array of objects": np.array([{}, 3]), "set of tensors": {torch.zeros(3)}, "names and None": {"b2", None},
    "list of lists": [["b2"]], "function that raises": fails,
    "function without arguments": lambda: 3, "function that gives None": lambda *a: None,
    "function that gives a str": lambda *a: "emma", "function that gives two letters": lambda *a: ("a", "b"),
    "function that gives a number": lambda *a: 3.0, "function that gives its arguments": lambda *a: a,
    "function that gives a function": lambda *a: (fails, fails), "function that gives a dict": lambda *a: {1: 2, 3: 4},
    "function that gives two of None": lambda *a: (None, None), "function that gives numbers": lambda *a: (3.0, 4.0),
    "function that gives three": lambda *a: [torch.zeros(6, 8), torch.zeros(8), 3],
    "function that gives whole numbers": lambda *a: (torch.zeros(6, 8, dtype=int), torch.zeros(8, dtype=int)),
    "function that gives bools": lambda *a: (torch.zeros(6, 8) > 0, torch.zeros(8) > 0),
    "function that gives complex": lambda *a: (torch.full((6, 8), 1j), torch.full((8,), 1j)),
    "function that gives no data": lambda *a: (torch.empty(6, 8, device="meta"), torch.empty(8, device="meta")),
    "function that gives scalars": lambda *a: (torch.tensor(1.0), torch.tensor(1.0)),
    "function that deletes": lambda linear, norm: vars(norm).clear(),
}


@pytest.mark.parametrize("junk", JUNK.values(), ids=JUNK)
def test_a_check_says_no_to_junk_and_never_raises(capsys, own_words, learned, junk):
    answers = [junk, (junk,), (junk, junk), (junk, junk, junk), (junk, {"b2"})]
    if junk is not JUNK["name"]:  # b2, the right one, may stand alone
        answers.append((learned, junk))
    for answer in answers:
        for check, rest in ((e01_zeros, [own_words]), (e02_fold, [])):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch's own, about what a reader does
                assert check(answer, *rest) is False
            assert f"{check.__name__[:3].upper()}: not yet. " in capsys.readouterr().out


@pytest.mark.parametrize("words", [[], ["abcdefghijklmnopqrstuvwxyz"], "emma", [3, 4], None], ids=str)
def test_e01_does_not_raise_on_words_that_are_none(capsys, learned, words):
    assert e01_zeros((learned, {"b2"}), words) is False  # of one word no split can be made
    assert "could not be used" in capsys.readouterr().out


# ----- E01: nets from zeros -------------------------------------------------------------------------------------------

def frequencies(words, stoi):
    Y = build_dataset(words, stoi, 1)[1]
    return (Y.bincount(minlength=len(stoi)) + 1e-6) / len(Y)


def arrived(words, b2=None, *, n_embd=4, n_hidden=20, block_size=3, **changed):
    """[C, W1, b1, W2, b2] as they are after training from zeros on the train of `words`, or with what is changed."""
    stoi, _ = build_vocabulary(words)
    net = {"C": torch.randn((len(stoi), n_embd), generator=torch.Generator().manual_seed(1)),
           "W1": torch.zeros(block_size * n_embd, n_hidden), "b1": torch.zeros(n_hidden),
           "W2": torch.zeros(n_hidden, len(stoi)),
           "b2": frequencies(split_words(words)[0], stoi).log() if b2 is None else b2}
    return list((net | changed).values())


def trained(words, random=(), n=150, lr=2.0, still=(), weight_decay=0.0, block_size=3):
    """[C, W1, b1, W2, b2] after n steps on `words`: C and those in `random` start at random, the others at zero."""
    g = torch.Generator().manual_seed(1)
    stoi, _ = build_vocabulary(words)
    X, Y = build_dataset(words, stoi, block_size)
    shapes = [(len(stoi), 4), (4 * block_size, 20), (20,), (20, len(stoi)), (len(stoi),)]
    parameters = [torch.randn(shape, generator=g) * (name == "C" or name in random)
                  for name, shape in zip(NAMES, shapes, strict=True)]
    learn = [p.requires_grad_() for name, p in zip(NAMES, parameters, strict=True) if name not in still]
    optimizer = torch.optim.SGD(learn, lr=lr, weight_decay=weight_decay)
    for i in range(n):
        for group in optimizer.param_groups:
            group["lr"] = lr if i < 0.7 * n else lr / 10
        ix = torch.randint(0, len(X), (512,), generator=g)
        C, W1, b1, W2, b2 = parameters
        optimizer.zero_grad()
        F.cross_entropy(torch.tanh(C[X[ix]].view(512, -1) @ W1 + b1) @ W2 + b2, Y[ix]).backward()
        optimizer.step()
    return parameters


def moved_in(words, **settings):
    """The names of those that training changes."""
    before, after = trained(words, **settings | {"n": 0}), trained(words, **settings)
    return {name for name, a, b in zip(NAMES, before, after, strict=True) if not a.equal(b)}


def unigram(words):
    """The entropy of the characters of train, counted letter by letter."""
    text = [ch for word in split_words(words)[0] for ch in (*word, ".")]
    return -sum(text.count(ch) / len(text) * math.log(text.count(ch) / len(text)) for ch in set(text))


@pytest.fixture(scope="module")
def train(own_words):
    return split_words(own_words)[0]


@pytest.fixture(scope="module")
def learned(train):
    """A right net, trained in earnest, with its gradients."""
    return trained(train)


def test_only_the_output_bias_learns(right, own_words, train, learned):
    assert moved_in(train) == {"b2"}  # what the check holds for right, from a training of its own
    told = right(e01_zeros, (learned, {"b2"}), own_words)
    assert f"a unigram has {unigram(own_words):.4f}" in told


def test_e01_tells_the_loss_on_all_of_train(right, own_words, train, learned):
    X, Y = build_dataset(train, build_vocabulary(own_words)[0], 3)
    C, W1, b1, W2, b2 = learned
    loss = F.cross_entropy(torch.tanh(C[X].view(len(X), -1) @ W1 + b1) @ W2 + b2, Y).item()
    assert unigram(own_words) < loss < unigram(own_words) + 0.01
    assert f"the loss comes to {loss:.4f}" in right(e01_zeros, (learned, {"b2"}), own_words)


@pytest.mark.parametrize("sizes", [{"n_embd": 10, "n_hidden": 200}, {"n_embd": 1, "n_hidden": 1},
                                   {"n_embd": 2, "block_size": 1}, {"n_embd": 30, "n_hidden": 7, "block_size": 8},
                                   {"block_size": 50}], ids=str)
def test_e01_says_yes_to_any_sizes(right, own_words, sizes):
    right(e01_zeros, (arrived(own_words, **sizes), {"b2"}), own_words)


E01_RIGHT = {
    "a tuple": lambda net: tuple(net),
    "without gradients": lambda net: [p.detach() for p in net],
    "with its graph": lambda net: [p * 1 for p in net],
    "nn.ParameterList": lambda net: nn.ParameterList(p.detach() for p in net),
    "values of a dict": lambda net: dict(zip(NAMES, net, strict=True)).values(),
    "a dict": lambda net: dict(zip(NAMES, net, strict=True)),
    "double": lambda net: [p.detach().double() for p in net],
    "zeros from numpy": lambda net: [p if name in ("C", "b2") else np.zeros(p.shape)
                                     for name, p in zip(NAMES, net, strict=True)],
    "arrays": lambda net: [p.detach().numpy() for p in net],
    "lists": lambda net: [p.tolist() for p in net],
    "biases as rows": lambda net: [p[None] if p.dim() == 1 else p for p in net],
    "minus zero": lambda net: [p if name in ("C", "b2") else -p for name, p in zip(NAMES, net, strict=True)],
    "a constant on all of b2": lambda net: [*net[:4], net[4] + 5],
    "C far out": lambda net: [net[0] * 1e6, *net[1:]],
}


@pytest.mark.parametrize("make", E01_RIGHT.values(), ids=E01_RIGHT)
def test_e01_says_yes_to_a_net_of_any_form(right, own_words, learned, make):
    right(e01_zeros, (make(learned), {"b2"}), own_words)


@pytest.mark.parametrize("moved", [{"b2"}, ["b2"], ("b2",), "b2", frozenset({"b2"}), ["b2", "b2"]], ids=repr)
def test_e01_says_yes_to_the_names_in_any_form(right, own_words, learned, moved):
    right(e01_zeros, (learned, moved), own_words)


def test_e01_says_yes_whatever_trained_it(right, own_words, train):
    right(e01_zeros, (trained(train, block_size=5), {"b2"}), own_words)
    right(e01_zeros, (trained(train, random=["b2"]), {"b2"}), own_words)  # b2 comes to the same from anywhere


def test_e01_takes_a_list_in_any_alphabet(right, wrong, own_words):
    greek = str.maketrans("aeioubcdfghjklmnpqrstvwxyz", "αεηιωβγδζθκλμνξπβγδζθκλμνξ")
    words = [word.translate(greek) for word in own_words]
    assert len(build_vocabulary(words)[0]) == 17
    right(e01_zeros, (arrived(words), {"b2"}), words)
    wrong(["C (17, n_embd)", "W2 (n_hidden, 17), b2 (17)"], e01_zeros, (arrived(own_words), {"b2"}), words)


def test_e01_does_its_work_on_the_lectures_list(right, wrong, lecture_words, own_words):
    told = right(e01_zeros, (arrived(lecture_words, n_embd=10, n_hidden=200), {"b2"}), lecture_words)
    assert "comes to 2.8226; a unigram has 2.8226" in told
    right(e01_zeros, (trained(split_words(lecture_words)[0]), "b2"), lecture_words)
    stoi = build_vocabulary(lecture_words)[0]
    for part in (lecture_words, *split_words(lecture_words)[1:]):  # as frequent as in train, to 0.01
        right(e01_zeros, (arrived(lecture_words, frequencies(part, stoi).log()), {"b2"}), lecture_words)
    wrong("if it was trained on train", e01_zeros, (arrived(own_words), {"b2"}), lecture_words)


def test_e01_leaves_the_readers_net_and_random_numbers_alone(right, own_words, learned):
    before, grads = [p.detach().clone() for p in learned], [p.grad.clone() for p in learned]
    moved, state = {"b2"}, torch.get_rng_state()
    right(e01_zeros, (learned, moved), own_words)
    assert all(torch.equal(old, new) for old, new in zip(before, learned, strict=True))
    assert all(p.requires_grad and p.grad.equal(grad) for p, grad in zip(learned, grads, strict=True))
    assert moved == {"b2"} and torch.equal(state, torch.get_rng_state())


# ----- E01: wrong -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("random", [["W1"], ["W2"], ["b1"], NAMES[1:]], ids=str)
def test_e01_says_no_if_one_was_left_at_random(wrong, own_words, train, random):
    settings = {"random": random, "n": 20, "lr": 0.1}
    assert moved_in(train, **settings) == set(NAMES)  # from there everything learns
    for moved in (set(NAMES), {"b2"}):
        wrong(["W1 is not zero", "left at random?", "Scale all four by 0"], e01_zeros,
              (trained(train, **settings), moved), own_words)


def test_weight_decay_moves_c_and_teaches_it_nothing(wrong, own_words, train):
    assert moved_in(train, weight_decay=1e-4) == {"C", "b2"}
    wrong("not all that moved_mine names have learned", e01_zeros, (trained(train, weight_decay=1e-4), {"C", "b2"}),
          own_words)


@pytest.mark.parametrize("name", ["W1", "b1", "W2"])
@pytest.mark.parametrize("size", [1.0, 1e-3, -1e-30])
def test_e01_names_the_one_that_is_not_zero(wrong, own_words, name, size):
    p = dict(zip(NAMES, arrived(own_words), strict=True))[name].clone()
    p.view(-1)[-1] = size
    wrong(f"not yet. {name} is not zero", e01_zeros, (arrived(own_words, **{name: p}), {"b2"}), own_words)


B2 = {
    "uphill": ("goes against the gradient", lambda train: -trained(train, n=20)[4]),
    "too short by a little": ("take more steps", lambda train: trained(train, n=25, lr=1.0)[4]),
    "untrained": ("this net has not been trained yet", lambda train: trained(train, n=0)[4]),
    "not updated": ("the loop updates other tensors", lambda train: trained(train, still=["b2"])[4]),
    "trained too briefly": ("take more steps", lambda train: trained(train, n=10)[4]),
    "a low rate": ("or a higher learning rate", lambda train: trained(train, lr=0.02)[4]),
    "a high rate": ("a lower rate at the end", lambda train: trained(train, lr=300.0)[4]),
    "random and untrained": ("it can come lower", lambda train: trained(train, ["b2"], n=0)[4]),
    "the probabilities": ("it can come lower", lambda train: frequencies(train, build_vocabulary(train)[0])),
    "the sign": ("and goes the wrong way", lambda train: -frequencies(train, build_vocabulary(train)[0]).log()),
    "blown up": ("the learning rate was far too high", lambda train: trained(train)[4] * math.inf),
    "nan": ("some parameters are nan", lambda train: trained(train, n=5)[4] * math.nan),
    "one nan": ("some parameters are nan", lambda train: trained(train)[4].index_fill(0, torch.tensor(3), math.nan)),
}


@pytest.mark.parametrize("telling, make", B2.values(), ids=B2)
def test_e01_says_no_to_another_b2(wrong, own_words, train, telling, make):
    wrong(telling, e01_zeros, (arrived(own_words, make(train)), {"b2"}), own_words)


@pytest.mark.parametrize("name", ["C", "W1", "b1", "W2"])
def test_e01_says_no_to_nan_anywhere(wrong, own_words, name):
    net = dict(zip(NAMES, arrived(own_words), strict=True))
    wrong("some parameters are nan", e01_zeros, (list((net | {name: net[name] * math.nan}).values()), "b2"), own_words)


def test_e01_wants_the_loss_to_a_hundredth(right, wrong, own_words, train):
    best = frequencies(train, build_vocabulary(own_words)[0])

    def loss(scale):
        return -(best * (best.log() * scale).log_softmax(0)).sum().item()

    assert 0.007 < loss(0.87) - unigram(own_words) < 0.0099 and 0.0101 < loss(0.85) - unigram(own_words) < 0.013
    right(e01_zeros, (arrived(own_words, best.log() * 0.87), {"b2"}), own_words)
    wrong(f"the loss on train is {loss(0.85):.4f}", e01_zeros, (arrived(own_words, best.log() * 0.85), {"b2"}),
          own_words)


def test_e01_scores_train_and_nothing_else(right, wrong, own_words, train):
    """Dev of 200 names has other frequencies by chance; the whole list hardly."""
    stoi = build_vocabulary(own_words)[0]
    right(e01_zeros, (arrived(own_words, frequencies(own_words, stoi).log()), {"b2"}), own_words)
    short = own_words[:300]
    for part in split_words(short)[1:]:
        wrong("if it was trained on train, ", e01_zeros,
              (arrived(short, frequencies(part, build_vocabulary(short)[0]).log()), {"b2"}), short)
    right(e01_zeros, (arrived(short), {"b2"}), short)


MOVED = {
    "none": (["one of those you leave out does learn", "before the training"], set()),
    "an empty list": ("one of those you leave out does learn", []),
    "C": ("one of those you leave out does learn", {"C"}),
    "W2": ("one of those you leave out does learn", "W2"),
    "all but b2": ("one of those you leave out does learn", NAMES[:4]),
    "C too": (["not all that moved_mine names", "Which gradients are other than 0?"], {"C", "b2"}),
    "W2 too": ("not all that moved_mine names have learned", ["b2", "W2"]),
    "the biases": ("not all that moved_mine names have learned", ("b1", "b2")),
    "all": ("not all that moved_mine names have learned", set(NAMES)),
    "another spelling": ("has 'B2' in it; the names are C, W1, b1, W2 and b2", {"B2"}),
    "both in one word": ("has 'b1, b2' in it", "b1, b2"),
    "all biases": ("not all that moved_mine names have learned", ["b1", "b2"]),
    "W1 and b2, as the loss falls": ("not all that moved_mine names have learned", {"W1", "b2"}),
    "an unknown name": ("has 'bias' in it", {"b2", "bias"}),
    "two unknown names": ("has 'bngain' in it", ["b2", "weight", "bngain"]),
    "an empty name": ("has '' in it", {""}),
    "a dict": ("must be a set of names", {"C": False, "b2": True}),
    "an empty dict": ("must be a set of names", {}),
    "a number": ("must be a set of names", 1),
    "places": ("must be a set of names", [4]),
    "the tensor": ("must be a set of names", torch.zeros(27)),
    "the tensors": ("must be a set of names", [torch.zeros(27)]),
    "flags": ("must be a set of names", [False, False, False, False, True]),
    "None among them": ("must be a set of names", ["b2", None]),
}


@pytest.mark.parametrize("telling, moved", MOVED.values(), ids=MOVED)
def test_e01_says_no_to_other_names(wrong, own_words, learned, telling, moved):
    wrong(telling, e01_zeros, (learned, moved), own_words)


FIT = "do not fit together as C (27, n_embd), W1 (block_size · n_embd, n_hidden)"
PARAMETERS = {
    "four": ("zeros_mine has 4 tensors", lambda net: net[:4]),
    "none": ("zeros_mine has 0 tensors", lambda net: []),
    "six, of the net with BatchNorm": ("zeros_mine has 6 tensors", lambda net: [*net, net[2]]),
    "C zero": ("C is zero too", lambda net: [net[0] * 0, *net[1:]]),
    "all zero": ("C is zero too", lambda net: [p * 0 for p in net]),
    "another order": (FIT, lambda net: net[::-1]),
    "W1 transposed": ("(20, 12)", lambda net: [net[0], net[1].T, *net[2:]]),
    "W2 transposed": ("(27, 20)", lambda net: [*net[:3], net[3].T, net[4]]),
    "C without the end": ("(26, 4)", lambda net: [net[0][1:], *net[1:]]),
    "C in three dimensions": ("(1, 27, 4)", lambda net: [net[0][None], *net[1:]]),
    "C in one dimension": (FIT, lambda net: [net[0].flatten(), *net[1:]]),
    "W1 of half a character": ("(10, 20)", lambda net: [net[0], net[1][:10], *net[2:]]),
    "W1 without a character": ("(0, 20)", lambda net: [net[0], net[1][:0], *net[2:]]),
    "W1 a number": (FIT, lambda net: [net[0], 0.0, *net[2:]]),
    "no embedding": ("(27, 0)", lambda net: [net[0][:, :0], *net[1:]]),
    "b1 of another size": ("(19,)", lambda net: [*net[:2], net[2][1:], *net[3:]]),
    "b1 a number": (FIT, lambda net: [*net[:2], 0.0, *net[3:]]),
    "b1 as a column": ("(20, 1)", lambda net: [*net[:2], net[2][:, None], *net[3:]]),
    "b2 of another size": ("(26,)", lambda net: [*net[:4], net[4][1:]]),
    "b2 as a column": ("(27, 1)", lambda net: [*net[:4], net[4][:, None]]),
    "small instead of zero": ("W1 is not zero", lambda net: [net[0], net[1] + 1e-4, *net[2:]]),
    "a module": ("could not be used", lambda net: nn.Linear(3, 3)),
    "one is None": ("there is None", lambda net: [*net[:4], None]),
    "a number": ("could not be used", lambda net: 3),
}


@pytest.mark.parametrize("telling, make", PARAMETERS.values(), ids=PARAMETERS)
def test_e01_says_no_to_other_parameters(wrong, own_words, learned, telling, make):
    wrong(telling, e01_zeros, (make(learned), {"b2"}), own_words)


def test_e01_wants_two_things(wrong, own_words, learned):
    for answer in (learned, (learned,), [learned, {"b2"}], (learned, {"b2"}, 2.8), {"b2"}, fails):
        wrong("must be two things: (zeros_mine, moved_mine)", e01_zeros, answer, own_words)


# ----- E02: right -----------------------------------------------------------------------------------------------------

def fold(linear, norm, *, gamma=1, beta=1, mean=1, bias=1, std=None):
    """Right with what it is given; the factors say what is left out (0) or has the wrong sign (-1)."""
    scale = (norm.gamma if gamma else 1) / (torch.sqrt(norm.running_var + norm.eps) if std is None else std)
    b = torch.zeros(len(norm.beta)) if linear.bias is None else linear.bias
    return linear.weight * scale, (bias * b - mean * norm.running_mean) * scale + beta * norm.beta


def by_steps(linear, norm):
    out_bias = norm.beta - norm.gamma * norm.running_mean / (norm.running_var + norm.eps)**0.5
    if linear.bias is not None:
        out_bias = out_bias + norm.gamma * linear.bias / (norm.running_var + norm.eps)**0.5
    return linear.weight * norm.gamma / (norm.running_var + norm.eps)**0.5, out_bias


def by_diag(linear, norm):
    scale = torch.diag(norm.gamma * torch.rsqrt(norm.running_var + norm.eps))
    b = -norm.running_mean if linear.bias is None else linear.bias - norm.running_mean
    return linear.weight @ scale, b @ scale + norm.beta


def by_loops(linear, norm):
    weight, bias = torch.zeros_like(linear.weight), torch.zeros(linear.weight.shape[1])
    for j in range(weight.shape[1]):
        s = norm.gamma[j].item() / math.sqrt(norm.running_var[j].item() + norm.eps)
        for i in range(weight.shape[0]):
            weight[i, j] = linear.weight[i, j] * s
        bias[j] = norm.beta[j] + s * ((0 if linear.bias is None else linear.bias[j]) - norm.running_mean[j])
    return weight, bias


def by_probing(linear, norm):
    """What the two layers make of zeros and of ones in one place each."""
    def both(x):
        x = x @ linear.weight + (0 if linear.bias is None else linear.bias)
        return F.batch_norm(x, norm.running_mean, norm.running_var, norm.gamma, norm.beta, False, 0.1, norm.eps)

    bias = both(torch.zeros(1, linear.weight.shape[0]))
    return both(torch.eye(linear.weight.shape[0])) - bias, bias[0]


def by_numpy(linear, norm):
    scale = norm.gamma.numpy() / np.sqrt(norm.running_var.numpy() + norm.eps)
    b = 0 if linear.bias is None else linear.bias.numpy()
    return linear.weight.numpy() * scale, (b - norm.running_mean.numpy()) * scale + norm.beta.numpy()


def by_torch(linear, norm):
    """torch's own, which folds layers of torch.nn."""
    n_in, n_out = linear.weight.shape
    with torch.random.fork_rng(), torch.no_grad():
        theirs, its_norm = nn.Linear(n_in, n_out, bias=linear.bias is not None), nn.BatchNorm1d(n_out, eps=norm.eps)
        for ours, p in ((linear.weight.T, theirs.weight), (linear.bias, theirs.bias), (norm.gamma, its_norm.weight),
                        (norm.beta, its_norm.bias), (norm.running_mean, its_norm.running_mean),
                        (norm.running_var, its_norm.running_var)):
            if p is not None:
                p.copy_(ours)
    folded = nn.utils.fusion.fuse_linear_bn_eval(theirs.eval(), its_norm.eval())
    return folded.weight.T, folded.bias


def in_double(linear, norm):
    scale = norm.gamma.double() / torch.sqrt(norm.running_var.double() + norm.eps)
    b = 0 if linear.bias is None else linear.bias.double()
    return linear.weight.double() * scale, (b - norm.running_mean.double()) * scale + norm.beta.double()


class Folder:
    def __call__(self, linear, norm):
        return fold(linear, norm)


E02_RIGHT = {
    "a scale": fold, "step by step": by_steps, "diag": by_diag, "loops": by_loops, "by probing": by_probing,
    "numpy": by_numpy, "torch's own": by_torch, "float64": in_double, "an object": Folder(),
    "a list": lambda linear, norm: list(fold(linear, norm)),
    "lists of numbers": lambda linear, norm: [part.tolist() for part in fold(linear, norm)],
    "bias (1, n)": lambda linear, norm: (fold(linear, norm)[0], fold(linear, norm)[1][None]),
    "weight in double only": lambda linear, norm: (fold(linear, norm)[0].double(), fold(linear, norm)[1]),
    "bias in double only": lambda linear, norm: (fold(linear, norm)[0], fold(linear, norm)[1].double()),
    "with its graph": lambda linear, norm: tuple(part.requires_grad_() * 1 for part in fold(linear, norm)),
    "nn.Parameter": lambda linear, norm: tuple(map(nn.Parameter, fold(linear, norm))),
    "a transposed view": lambda linear, norm: (fold(linear, norm)[0].T.contiguous().T, fold(linear, norm)[1]),
    "rounding": lambda linear, norm: (fold(linear, norm)[0] * (1 + 1e-7), fold(linear, norm)[1] + 1e-6),
}


@pytest.mark.parametrize("function", E02_RIGHT.values(), ids=E02_RIGHT)
def test_e02_says_yes(right, function):
    state = torch.get_rng_state()
    assert "with and without a bias" in right(e02_fold, function)
    assert torch.equal(state, torch.get_rng_state())


def test_e02_asks_for_the_layers_of_the_exercise():
    seen = []

    def looks(linear, norm):
        seen.append((linear, norm))
        return fold(linear, norm)

    assert e02_fold(looks) is True
    assert [linear.bias is None for linear, _ in seen] == [True, False]
    for linear, norm in seen:
        fan_in, fan_out = linear.weight.shape
        assert norm.training is False and (norm.running_var > 0).all() and fan_in != fan_out
        assert norm.eps > norm.running_var.min() / 11  # so large that it cannot be left out unseen
        for t in (norm.gamma, norm.beta, norm.running_mean, norm.running_var):
            assert t.shape == (fan_out,) and t.dtype == torch.float32
        x = torch.randn((5, fan_in), generator=torch.Generator().manual_seed(1))
        weight, bias = fold(linear, norm)
        there = F.batch_norm(F.linear(x, linear.weight.T, linear.bias), norm.running_mean, norm.running_var,
                             norm.gamma, norm.beta, False, 0.1, norm.eps)  # torch's own, at test time
        assert torch.allclose(x @ weight + bias, there, atol=1e-4, rtol=1e-4)


# ----- E02: wrong -----------------------------------------------------------------------------------------------------

def rewrites(linear, norm):
    norm.gamma /= torch.sqrt(norm.running_var + norm.eps)
    linear.weight *= norm.gamma
    b = 0 if linear.bias is None else linear.bias
    return linear.weight, (b - norm.running_mean) * norm.gamma + norm.beta


def replaces(linear, norm):
    weight, bias = fold(linear, norm)
    linear.weight = weight
    return weight, bias


def gives_a_bias(linear, norm):
    answer = fold(linear, norm)
    linear.bias = torch.zeros(8) if linear.bias is None else linear.bias
    return answer


def leaves_something(linear, norm):
    norm.scale = norm.gamma / torch.sqrt(norm.running_var + norm.eps)
    return fold(linear, norm)


def writes_and_returns_nothing(linear, norm):
    linear.weight, linear.bias = fold(linear, norm)


def flips_the_switch(linear, norm):
    norm.training = True
    return fold(linear, norm)


def sets_eps(linear, norm):
    norm.eps = 0.0
    return fold(linear, norm)


CHANGES = "it changes the layers"
THE_BIAS = ["the weight is right, the bias is not", "first two are scaled, the third is not"]
THE_FORMULA = ["is not norm(linear(x))", "collect what multiplies x"]
THE_STD = "running_var is taken as the std"
TWO = "must return two things: (weight, bias)"
E02_WRONG = {
    "gamma forgotten": ("the gain is forgotten", lambda lin, norm: fold(lin, norm, gamma=0)),
    "beta forgotten": ("beta is forgotten", lambda lin, norm: fold(lin, norm, beta=0)),
    "eps forgotten": ("eps is forgotten", lambda lin, norm: fold(lin, norm, std=norm.running_var.sqrt())),
    "eps outside the root": ("eps stands outside the root",
                             lambda lin, norm: fold(lin, norm, std=norm.running_var.sqrt() + norm.eps)),
    "eps as a number": (["eps is taken as 1e-5", "norm.eps is 0.001"],
                        lambda lin, norm: fold(lin, norm, std=(norm.running_var + 1e-5).sqrt())),
    "running_var as the std": (THE_STD, lambda lin, norm: fold(lin, norm, std=norm.running_var)),
    "running_var as the std, with eps": (THE_STD, lambda lin, norm: fold(lin, norm, std=norm.running_var + norm.eps)),
    "running_mean forgotten": ("running_mean is forgotten", lambda lin, norm: fold(lin, norm, mean=0)),
    "linear.bias forgotten": ("its bias is standardised too", lambda lin, norm: fold(lin, norm, bias=0)),
    "linear.bias not scaled": (THE_BIAS, lambda lin, norm: (fold(lin, norm)[0], fold(lin, norm, bias=0)[1]
                                                           + (0 if lin.bias is None else lin.bias))),
    "linear.bias subtracted": (THE_BIAS, lambda lin, norm: fold(lin, norm, bias=-1)),
    "running_mean not scaled": (THE_BIAS, lambda lin, norm: (fold(lin, norm)[0],
                                                            fold(lin, norm, mean=0)[1] - norm.running_mean)),
    "running_mean added": ("running_mean has the wrong sign", lambda lin, norm: fold(lin, norm, mean=-1)),
    "beta scaled": (THE_BIAS, lambda lin, norm: (fold(lin, norm)[0], fold(lin, norm, beta=0)[1] + norm.beta
                                                * norm.gamma / (norm.running_var + norm.eps).sqrt())),
    "beta subtracted": ("beta has the wrong sign", lambda lin, norm: fold(lin, norm, beta=-1)),
    "running_mean divided, not multiplied": (THE_BIAS, lambda lin, norm: (fold(lin, norm)[0], fold(lin, norm, mean=0)[1]
                                             - norm.running_mean / (norm.running_var + norm.eps).sqrt())),
    "Bessel": (THE_FORMULA, lambda lin, norm: fold(lin, norm, std=(norm.running_var * 32 / 31 + norm.eps).sqrt())),
    "gamma on the bias only": (THE_FORMULA, lambda lin, norm: (fold(lin, norm, gamma=0)[0], fold(lin, norm)[1])),
    "gamma added": (THE_FORMULA, lambda lin, norm: (lin.weight / (norm.running_var + norm.eps).sqrt() + norm.gamma,
                                                    fold(lin, norm)[1])),
    "no bias": (THE_BIAS, lambda lin, norm: (fold(lin, norm)[0], torch.zeros(8))),
    "both biases forgotten": ("running_mean is forgotten", lambda lin, norm: (fold(lin, norm)[0], norm.beta)),
    "bias in the order of another": (THE_BIAS, lambda lin, norm: (fold(lin, norm)[0], fold(lin, norm)[1].flip(0))),
    "weight not scaled": (THE_FORMULA, lambda lin, norm: (lin.weight, fold(lin, norm)[1])),
    "multiplied by the std": ("it multiplies by the std",
                              lambda lin, norm: fold(lin, norm, std=(norm.running_var + norm.eps)**-0.5)),
    "nothing done": (THE_FORMULA, lambda lin, norm: (lin.weight, torch.zeros(8) if lin.bias is None else lin.bias)),
    "off by a little": (THE_FORMULA, lambda lin, norm: (fold(lin, norm)[0] * 1.001, fold(lin, norm)[1])),
    "bias off by a little": (THE_BIAS, lambda lin, norm: (fold(lin, norm)[0], fold(lin, norm)[1] + 0.01)),
    "weight transposed": (["(8, 6) instead of (6, 8)", "It is transposed"],
                          lambda lin, norm: (fold(lin, norm)[0].T, fold(lin, norm)[1])),
    "weight of one neuron": ("weight has the shape (6,) instead of (6, 8).\n",
                             lambda lin, norm: (fold(lin, norm)[0][:, 0], fold(lin, norm)[1])),
    "the two swapped": ("weight has the shape (8,)", lambda lin, norm: fold(lin, norm)[::-1]),
    "rows scaled": (["two shapes do not fit", "the columns of the weight"],
                    lambda lin, norm: (lin.weight * norm.gamma[:, None], norm.beta)),
    "bias a number": ("bias has the shape () instead of (8,)", lambda lin, norm: (fold(lin, norm)[0], 0.0)),
    "bias too short": ("bias has the shape (6,)", lambda lin, norm: (fold(lin, norm)[0], fold(lin, norm)[1][:6])),
    "bias as a column": ("bias has the shape (8, 1)", lambda lin, norm: (fold(lin, norm)[0],
                                                                        fold(lin, norm)[1][:, None])),
    "bias as a matrix": ("bias has the shape (64, 8)", lambda lin, norm: (fold(lin, norm)[0],
                                                                         fold(lin, norm)[1].expand(64, 8))),
    "None as the bias": (["is None", "made of running_mean and beta"],
                         lambda lin, norm: (fold(lin, norm)[0], None if lin.bias is None else fold(lin, norm)[1])),
    "linear.bias taken for a tensor": ("linear.bias may be None",
                                       lambda lin, norm: (lin.weight, (lin.bias - norm.running_mean) * norm.gamma)),
    "the layers called": (["could not be used", "not callable"],
                          lambda lin, norm: (lin.weight, norm(lin(torch.zeros(1, 6))))),
    "the weight alone": (TWO, lambda lin, norm: fold(lin, norm)[0]),
    "three things": (TWO, lambda lin, norm: (*fold(lin, norm), 1)),
    "a tensor of two": (TWO, lambda lin, norm: torch.zeros(2, 8)),
    "a dict": (TWO, lambda lin, norm: {"weight": lin.weight, "bias": norm.beta}),
    "None": (TWO, lambda lin, norm: None),
    "written into the layer, nothing returned": (TWO, writes_and_returns_nothing),
    "in place": (CHANGES, rewrites),
    "weight replaced": (CHANGES, replaces),
    "a bias given to the layer": (CHANGES, gives_a_bias),
    "something left in the layer": (CHANGES, leaves_something),
    "the switch": (CHANGES, flips_the_switch),
    "eps set": (CHANGES, sets_eps),
    "raises": (["could not be used", "RuntimeError", "a mistake of the reader's"], fails),
    "one argument": (["could not be used", "TypeError"], lambda lin: fold(lin, lin)),
    "nan": ("not finite", lambda lin, norm: fold(lin, norm, std=math.nan)),
    "one nan": ("not finite", lambda lin, norm: (fold(lin, norm)[0], fold(lin, norm)[1] / torch.arange(8) * 0)),
    "divided by zero": ("not finite", lambda lin, norm: fold(lin, norm, std=torch.zeros(8))),
    "a pair of words": ("could not be used", lambda lin, norm: ("weight", "bias")),
}


@pytest.mark.parametrize("telling, function", E02_WRONG.values(), ids=E02_WRONG)
def test_e02_says_no(wrong, telling, function):
    wrong(telling, e02_fold, function)


def test_e02_says_no_to_a_fold_that_is_wrong_with_a_bias_only_or_without_only(wrong):
    for with_bias in (False, True):
        wrong("the gain is forgotten", e02_fold,
              lambda lin, norm, with_bias=with_bias: fold(lin, norm, gamma=(lin.bias is None) == with_bias))


@pytest.mark.parametrize("answer", [3, "fold", torch.zeros(6, 8), (torch.zeros(6, 8), torch.zeros(8)), {}], ids=str)
def test_e02_wants_a_function(wrong, answer):
    wrong("must be a function: fold_mine(linear, norm) returns (weight, bias)", e02_fold, answer)


# ----- E03 ------------------------------------------------------------------------------------------------------------

DIAGNOSES = {"A": "learning rate too high", "B": "weights too small", "C": "dead neurons", "D": "last layer too small",
             "E": "weights too large", "F": "learning rate too low"}


@pytest.fixture(scope="module")
def six(own_words):
    """The six, and a healthy one."""
    return patients(own_words)


def outs(net, limit=0.97):
    """Of each tanh layer: std, share of saturated outputs, share of neurons that are saturated for every example."""
    layers = [layer.out for layer in net.layers[1::2]]
    full = [out.abs() > limit for out in layers]
    return ([out.std().item() for out in layers], [f.float().mean().item() for f in full],
            [f.all(0).float().mean().item() for f in full])


def updates(net):
    """log10(update:data) of the weight matrices, the embeddings left out, a row a step."""
    return torch.tensor([row[1::2] for row in net.ud])


def test_every_patient_has_what_the_four_pictures_take(six, clean_figures):
    assert list(six) == ["healthy", *"ABCDEF"]
    for net in six.values():
        axes = figures.four_pictures(net.layers, net.parameters, net.ud)
        assert axes.shape == (2, 2)


def test_every_patient_has_its_illness_and_no_other(six):
    for letter, net in six.items():
        stds, full, dead = outs(net)
        rates = updates(net)
        hidden, last = rates[:, :-1], rates[:, -1]
        assert (hidden.mean() > -1.7) == (letter == "A")
        assert (stds[-1] < 0.3) == (letter == "B")
        assert (max(dead) > 0.3 and min(dead) < 0.05) == (letter == "C")
        assert (last[0] - hidden[0].mean() > 2) == (letter == "D")
        assert letter == "A" or (min(full) > 0.3) == (letter == "E")
        assert (hidden.mean() < -3.5) == (letter == "F")


def test_patients_leave_the_readers_random_numbers_alone(own_words):
    state = torch.get_rng_state()
    one, two = patients(own_words), patients(own_words)
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(one["C"].parameters, two["C"].parameters, strict=True))


@pytest.mark.parametrize("answer", [None, ..., [], [None] * 6], ids=str)
def test_an_empty_answer_to_e03_is_not_tried_yet(verdict, answer):
    result, told = verdict(e03_diagnosis, answer)
    assert result is None and told.startswith("E03: not tried yet")


@pytest.mark.parametrize("answer", [
    DIAGNOSES, {letter.lower(): illness.upper() for letter, illness in DIAGNOSES.items()},
    {f" {letter} ": illness + " " for letter, illness in reversed(DIAGNOSES.items())}],
    ids=["as it is", "case", "blanks"])
def test_e03_says_yes(right, answer):
    assert "All six" in right(e03_diagnosis, answer)


@pytest.mark.parametrize("letter", DIAGNOSES)
def test_e03_names_who_is_wrong_and_where_to_look_but_not_the_illness(verdict, letter):
    for illness in set(ILLNESSES) - {DIAGNOSES[letter]}:
        result, told = verdict(e03_diagnosis, DIAGNOSES | {letter: illness})
        assert result is False and told.startswith(f"E03: not yet. 5 of 6 are right. {letter}: ")
        assert "picture" in told and not any(name in told for name in ILLNESSES)


def test_e03_tells_of_all_that_are_wrong(wrong):
    wrong(["4 of 6 are right", "A: ", "F: "], e03_diagnosis, DIAGNOSES | {"A": DIAGNOSES["F"], "F": DIAGNOSES["A"]})
    wrong(["0 of 6 are right", "A: ", "Without a diagnosis: B, C, D, E, F."], e03_diagnosis, {"A": DIAGNOSES["B"]})
    wrong("0 of 6 are right", e03_diagnosis, dict(zip(DIAGNOSES, [*DIAGNOSES.values()][1:] + ["no nonlinearity"],
                                                      strict=True)))


@pytest.mark.parametrize("telling, answer", {
    "one missing": (["without a diagnosis: F", "The others are right"], dict([*DIAGNOSES.items()][:-1])),
    "one None": (["without a diagnosis: B", "The others are right"], DIAGNOSES | {"B": None}),
    "nothing": ("without a diagnosis: A, B, C, D, E, F", {}),
    "a seventh": ("there is no patient 'G'", DIAGNOSES | {"G": "dead neurons"}),
    "another word": (["A has 'measles'", "none of the illnesses: dead neurons, "], DIAGNOSES | {"A": "measles"}),
    "a list for one": ("none of the illnesses", DIAGNOSES | {"A": ["dead neurons"]}),
    "a list": ("must be a dict", list(DIAGNOSES.values())), "a str": ("must be a dict", "dead neurons"),
    "a number": ("must be a dict", 3), "a set": ("must be a dict", set(DIAGNOSES.values())),
    "a function": ("must be a dict", fails), "a tensor": ("must be a dict", torch.zeros(6)),
    "pairs": ("must be a dict", [*DIAGNOSES.items()]), "the nets": ("none of the illnesses", {"A": torch.nn.Linear}),
}.values())
def test_e03_says_no(wrong, telling, answer):
    wrong(telling, e03_diagnosis, answer)
