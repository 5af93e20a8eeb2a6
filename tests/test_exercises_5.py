"""Exercises: the exercises of lecture 5: fed with right answers and with the usual wrong ones."""

import math
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmutils import build_dataset, build_vocabulary, split_words
from mmutils.exercises.lecture5 import e01_beat, e02_factors, e03_causal


def one(x, d):
    padded = F.pad(x, (0, 0, d, 0))
    return padded[:, :x.shape[1]], padded[:, d:]


def two(x, d):
    padded = F.pad(x, (0, 0, d // 2, d - d // 2))
    return padded[:, :x.shape[1]], padded[:, d:]


def three(x, d):
    return torch.roll(x, d, 1), x


SUSPECTS = {"one": one, "two": two, "three": three}
LEAKS = {"two", "three"}


def earlier(x, d):
    return F.pad(x, (0, 0, d, 0))[:, :x.shape[1]]


@pytest.fixture(params=[e01_beat, e02_factors, e03_causal], ids=lambda check: check.__name__)
def check(request, own_words):
    """A check, and what it takes besides the answer."""
    return request.param, {e01_beat: [own_words], e02_factors: [], e03_causal: [SUSPECTS]}[request.param]


# ----- what all checks promise ----------------------------------------------------------------------------------------

@pytest.mark.parametrize("answer", [None, (None,), (None, None), (None, None, None), (len, 8, None), ((4, 2), None, 3),
                                    ..., [], ((None, None), 89, 3)], ids=str)
def test_an_empty_answer_is_not_tried_yet(verdict, check, answer):
    function, rest = check
    result, told = verdict(function, answer, *rest)
    assert result is None
    assert told.startswith(f"{function.__name__[:3].upper()}: not tried yet") and "run this check again" in told


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
               ((4, 2), junk, 22_458), ((4, 2), 89, junk), (junk, 89, 22_458), (LEAKS, junk), (junk, earlier)]
    for answer in answers:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # numpy's and torch's own, about what a reader does
            assert function(answer, *rest) is False, answer
        assert f"{function.__name__[:3].upper()}: not yet. " in capsys.readouterr().out


# ----- E01 ------------------------------------------------------------------------------------------------------------

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
def test_e01_takes_any_context(right, own_words, stoi, context):
    net = logits_from(own_words, stoi, context)
    told = right(e01_beat, (net, context, loss_on(net, split_words(own_words)[1], stoi, context)), own_words)
    assert f"with {context} characters" in told


def test_e01_the_quoted_loss_is_that_of_dev(wrong, own_words, stoi):
    net, (_, dev, test) = logits_from(own_words, stoi, 4), split_words(own_words)
    on_dev = loss_on(net, dev, stoi, 4)
    wrong("the loss on test", e01_beat, (net, 4, loss_on(net, test, stoi, 4)), own_words)
    wrong(["over all of dev", f"{on_dev:.4f}"], e01_beat, (net, 4, round(on_dev, 1) - 0.1), own_words)
    wrong("over all of dev", e01_beat, (net, 4, math.nan), own_words)
    for quoted, words in ((math.log10(on_dev), "that the plot shows"), (math.exp(on_dev), "perplexity"),
                          (on_dev / math.log(2), "in bits"), (-on_dev, "sign is turned around"),
                          ("low", "could not be used")):
        wrong(words, e01_beat, (net, 4, quoted), own_words)


def test_e01_the_usual_wrong_nets(wrong, own_words, stoi):
    train, dev, test = split_words(own_words)
    overfit = logits_from(own_words, stoi, 8, dev, 1500)
    wrong("dev was trained on", e01_beat, (overfit, 8, loss_on(overfit, dev, stoi, 8)), own_words)
    wrong("from 1 to 64", e01_beat, (overfit, 0, 2.0), own_words)
    wrong("from 1 to 64", e01_beat, (overfit, 8.0, 2.0), own_words)
    wrong("from 1 to 64", e01_beat, (overfit, "8", 2.0), own_words)
    wrong("could not be used", e01_beat, (overfit, 3, 2.0), own_words)  # a net of another context
    wrong("returns 2 things", e01_beat, (lambda X: (overfit(X), 2.0), 8, 2.0), own_words)
    wrong("must be a function", e01_beat, (torch.zeros(3), 8, 2.0), own_words)
    wrong("three things", e01_beat, (overfit, 8), own_words)
    wrong("no better than a uniform guess", e01_beat,
          (lambda X: torch.zeros(len(X), len(stoi)), 8, math.log(len(stoi))), own_words)
    wrong(["27)", "one dimension too many"], e01_beat,
          (lambda X: torch.zeros(len(X), 2, len(stoi)), 8, 0.2), own_words)
    dropping = logits_from(own_words, stoi, 8, None, 50, nn.Dropout(0.5)).train()
    wrong("change with the examples beside it, or from call to call", e01_beat, (dropping, 8, 2.0), own_words)
    wrong(["could not be used", "a mistake of the reader's"], e01_beat, (fails, 8, 2.0), own_words)


def test_e01_asks_for_less_than_the_lectures_loss_on_its_list(wrong, lecture_words):
    stoi, _ = build_vocabulary(lecture_words)
    net = logits_from(lecture_words, stoi, 3, None, 300)
    dev = loss_on(net, split_words(lecture_words)[1], stoi, 3)
    wrong(["below 1.993 was asked for", "a larger net or more steps"], e01_beat, (net, 3, dev), lecture_words)


# ----- E02 ------------------------------------------------------------------------------------------------------------

def size(factors, n):
    """Parameters of the tree, counted from its tensors."""
    tensors, fan_in = [torch.zeros(27, 10)], 10
    for k in factors:
        tensors += [torch.zeros(fan_in * k, n), torch.zeros(n), torch.zeros(n)]
        fan_in = n
    return sum(t.numel() for t in [*tensors, torch.zeros(fan_in, 27), torch.zeros(27)])


@pytest.mark.parametrize("factors, n", [((4, 2), 89), ([4, 2], 89), ((2, 4), 68), ((np.int64(4), 2), 89),
                                        ((4, 2), torch.tensor(89))])
def test_e02_right(right, factors, n):
    told = right(e02_factors, (factors, n, size(factors, int(n))))
    assert f"{size(factors, n):,} parameters" in told


def test_the_lectures_tree_has_the_lectures_size():
    assert size((2, 2, 2), 68) == 22_397


@pytest.mark.parametrize("factors, told", [
    ((2, 2, 2), "in the log already: the tree"), ((8,), "in the log already: the flat net"),
    ((2, 2), "multiply to 4"), ((2, 2, 2, 2), "multiply to 16"), ((8, 1), "joins nothing"),
    ((), "list of whole numbers"), ((4.0, 2), "no whole number"), ((-4, -2), "no whole number"),
    ((True, 8), "no whole number"), (8, "list of whole"), ("4, 2", "list of whole"), ((4, "2"), "no whole number"),
    ([(4, 2)], "no whole number"), ((8, 8), "multiply to 64"), ((4, 2, 1), "joins nothing")])
def test_e02_factors_that_do_not_fit(wrong, factors, told):
    wrong(told, e02_factors, (factors, 89, 22_458))


@pytest.mark.parametrize("off, told", [
    (-2 * 2 * 89, "gains and biases of the batch norms are missing"), (-2 * 89, "two numbers for each neuron"),
    (2 * 89, "have no bias"), (-270, "table of embeddings is missing"), (-27, "bias of the last layer is missing"),
    (2 * 2 * 89, "no parameters: no gradient trains them"), (-27 * 89 - 27, "The last layer is missing"),
    (1, "not 22,459")])
def test_e02_a_wrong_count_is_told_why(wrong, off, told):
    wrong([told, "22,458 parameters"], e02_factors, ((4, 2), 89, 22_458 + off))


@pytest.mark.parametrize("n, told", [(80, "take more neurons"), (100, "take fewer neurons"), (88, "take more")])
def test_e02_the_comparison_must_be_fair(wrong, n, told):
    wrong(["nobody can tell the order from the size", told], e02_factors, ((4, 2), n, size((4, 2), n)))


# ----- E03 ------------------------------------------------------------------------------------------------------------

def by_cat(x, d):
    return torch.cat([x.new_zeros(len(x), d, x.shape[2]), x], 1)[:, :x.shape[1]]


def by_index(x, d):
    y = torch.zeros_like(x)
    y[:, d:] = x[:, :max(0, x.shape[1] - d)]
    return y


@pytest.mark.parametrize("function", [earlier, by_cat, by_index], ids=lambda f: f.__name__)
@pytest.mark.parametrize("leaks", [LEAKS, ["two", "three"], ("three", "two"), {two, three}])
def test_e03_right(right, function, leaks):
    told = right(e03_causal, (leaks, function), SUSPECTS)
    assert "three and two" in told


@pytest.mark.parametrize("leaks, told", [
    ({"two"}, "1 more lets the future in"), ("three", "1 more lets the future in"), (set(), "2 more let the future in"),
    ({"one", "two", "three"}, "'one' does not see the future"), ({"one"}, "'one' does not see the future"),
    ({"two", "four"}, "no suspect 'four'")])
def test_e03_wrong_suspects(wrong, leaks, told):
    wrong(told, e03_causal, (leaks, earlier), SUSPECTS)


def in_place(x, d):
    x[:, d:] = x[:, :-d].clone() if d < x.shape[1] else 0
    x[:, :d] = 0
    return x


WRONG = {
    "the future": (lambda x, d: F.pad(x, (0, 0, 0, d))[:, -x.shape[1]:], "LATER: the future"),
    "roll": (lambda x, d: torch.roll(x, d, 1), "come back at the front"),
    "itself": (lambda x, d: x, "not moved at all"),
    "rolled the other way": (lambda x, d: torch.roll(x, -d, 1), "rolled the wrong way"),
    "rolled along the batch": (lambda x, d: torch.roll(x, d, 0), "earlier"),
    "cut in front": (lambda x, d: F.pad(x, (0, 0, d, 0))[:, d:], "not moved at all"),
    "padded at both ends": (lambda x, d: F.pad(x, (0, 0, d, d)), "must stay what it is"),
    "too short": (lambda x, d: x[:, :-d], "must stay what it is"),
    "half as far": (lambda x, d: earlier(x, d // 2), "not moved at all"),
    "no return": (lambda x, d: None, "returns a NoneType"),
    "too long": (lambda x, d: F.pad(x, (0, 0, d, 0)), "must stay what it is"),
    "channels": (lambda x, d: F.pad(x, (d, 0))[:, :, :x.shape[2]], "the channels are moved"),
    "always one": (lambda x, d: earlier(x, 1), "not those of d places earlier"),
    "first repeated": (lambda x, d: torch.cat([x[:, :1].repeat(1, d, 1), x], 1)[:, :x.shape[1]], "must be zeros"),
    "one too far": (lambda x, d: earlier(x, d + 1), "not those of d places earlier"),
    "in place": (in_place, "changes x itself"),
    "list": (lambda x, d: earlier(x, d).tolist(), "returns a list"),
    "nan": (lambda x, d: earlier(x, d) / 0, "not those of d places earlier"),
    "raises": (fails, "a mistake of the reader's"),
}


@pytest.mark.parametrize("function, told", WRONG.values(), ids=WRONG)
def test_e03_the_usual_wrong_functions(wrong, function, told):
    wrong(told, e03_causal, (LEAKS, function), SUSPECTS)
