"""Exercises: lecture 1, fed with right answers and with the usual wrong ones."""

import math
import random
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mmutils import build_dataset, build_vocabulary, split_words
from mmutils.exercises.lecture1 import (
    e01_trigram,
    e02_split,
    e03_smoothing,
    e04_index,
    e05_cross_entropy,
    e06_own_model,
)

# ----- what all checks promise ----------------------------------------------------------------------------------------

ON_WORDS = [e01_trigram, e02_split, e03_smoothing, e06_own_model]
CHECKS = [*ON_WORDS, e04_index, e05_cross_entropy]


def rest_of(check, words):
    return (words,) if check in ON_WORDS else ()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("answer", [None, (None,), (None, None, None), (1, None, 3), ..., (), [], [None, None],
                                    (None, None, None, None)], ids=str)
def test_an_empty_answer_is_not_tried_yet(verdict, own_words, check, answer):
    result, told = verdict(check, answer, *rest_of(check, own_words))
    assert result is None
    assert told.startswith(f"{check.__name__[:3].upper()}: not tried yet") and "then this check" in told


def fails(*args):
    raise RuntimeError("a mistake of the reader's")


JUNK = {
    "str": "emma", "int": 3, "float": 2.5, "bool": True, "dict": {},
    "object": object(), "class": int, "tuple": (1, 2, 3), "four numbers": (1, 2, 3, 4),
    "four strings": ("a", "b", "c", "d"), "three empty lists": ([], [], [], torch.zeros(27, 27)),
    "lists of numbers": ([1], [2.0], [{}], torch.zeros(27, 27)), "lists in lists": (["a", []], [], [], 0),
    "losses in words": ({1: "x", 2: "y", 3: "z"}, 1, 2.0),
    "fake counts in words": (dict.fromkeys("abc", 1.0), "a", 1.0),
    "negative fake counts": (dict.fromkeys((-1, -2, -3), 1.0), -1, 1.0),
    "losses nan": (dict.fromkeys((1, 2, 3), math.nan), 1, 0.0),
    "scalar": torch.tensor(1.0), "no numbers": torch.zeros(0), "vector": torch.zeros(3),
    "zeros": torch.zeros(27, 27, 27), "zeros of int": torch.zeros(27, 27, 27, dtype=torch.int64),
    "complex": torch.zeros(27, 27, 27, dtype=torch.complex64), "bool tensor": torch.zeros(27, 27, 27) > 0,
    "inf": torch.full((27, 27, 27), math.inf), "negative": torch.full((27, 27, 27), -1.0),
    "half": torch.zeros(729, 27, dtype=torch.float16), "no data": torch.empty(27, 27, 27, device="meta"),
    "sparse": torch.zeros(27, 27, 27).to_sparse(),
    "array": np.zeros((27, 27, 27)), "array of words": np.array(["emma", "ava"]), "array of objects": np.array([{}, 3]),
    "function that raises": fails, "function without arguments": lambda: 3, "function that gives None": lambda *a: None,
    "function that gives a str": lambda *a: "emma", "function that gives its arguments": lambda *a: a,
    "function that gives a scalar": lambda *a: torch.tensor(1.0), "function that gives nan": lambda *a: math.nan,
    "function that gives ints": lambda *a: torch.zeros(27, dtype=torch.int64),
    "function that gives an array": lambda *a: np.zeros(27), "function that gives complex": lambda *a: 1j,
    "function that gives a function": lambda *a: fails,
}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("answer", JUNK.values(), ids=JUNK)
def test_a_check_says_no_to_junk_and_never_raises(capsys, own_words, check, answer):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy's and torch's own, about what a reader does
        assert check(answer, *rest_of(check, own_words)) is False
    assert f"{check.__name__[:3].upper()}: not yet. " in capsys.readouterr().out


@pytest.mark.parametrize("check", [e04_index, e05_cross_entropy, e06_own_model], ids=lambda check: check.__name__)
def test_a_mistake_inside_the_readers_function_is_told(wrong, own_words, check):
    wrong(["could not be used", "RuntimeError", "a mistake of the reader's"], check, fails, *rest_of(check, own_words))


# ----- counts, as a reader makes them ---------------------------------------------------------------------------------

def bigram_counts(words, stoi):
    N = torch.zeros(len(stoi), len(stoi), dtype=torch.int32)
    X, Y = build_dataset(words, stoi, 1)
    return N.index_put_((X[:, 0], Y), torch.ones(len(Y), dtype=torch.int32), accumulate=True)


def trigram_counts(words, stoi, dots=2):
    """Counts of three characters in a row, with one or two dots in front of a word."""
    N = torch.zeros(len(stoi), len(stoi), len(stoi), dtype=torch.int32)
    indices = [[stoi[ch] for ch in "." * dots + word + "."] for word in words]
    triples = torch.tensor([triple for word in indices for triple in zip(word, word[1:], word[2:], strict=False)])
    return N.index_put_(tuple(triples.T), torch.ones(len(triples), dtype=torch.int32), accumulate=True)


def normalised(N, fake_count=0.0):
    P = N + fake_count
    return P / P.sum(-1, keepdim=True)


@pytest.fixture(scope="module")
def stoi(own_words):
    return build_vocabulary(own_words)[0]


@pytest.fixture(scope="module")
def N2(own_words, stoi):
    return bigram_counts(own_words, stoi)


@pytest.fixture(scope="module")
def N3(own_words, stoi):
    return trigram_counts(own_words, stoi)


def test_the_invented_words_have_the_alphabet_of_the_lecture(stoi):
    assert len(stoi) == 27


# ----- E01 ------------------------------------------------------------------------------------------------------------

def trained(words, stoi, n=400):
    """A net on the pair of characters before, (729, 27), trained for a while: its probabilities."""
    X, Y = build_dataset(words, stoi, 2)
    W = torch.zeros(729, 27, requires_grad=True)
    row = X[:, 0] * 27 + X[:, 1]
    for _ in range(n):
        loss = F.cross_entropy(W[row], Y)
        W.grad = None
        loss.backward()
        W.data -= 100 * W.grad
    return W.softmax(1)


E01_RIGHT = {
    "counts": lambda words, stoi, N3: normalised(N3, 0.01),
    "double": lambda words, stoi, N3: normalised(N3.double(), 0.01),
    "rows of pairs": lambda words, stoi, N3: normalised(N3.view(729, 27), 0.01),
    "array": lambda words, stoi, N3: normalised(N3, 0.01).numpy(),
    "uniform where nothing was seen": lambda words, stoi, N3: normalised(N3).nan_to_num(1 / 27),
    "softmax of logs": lambda words, stoi, N3: (N3 + 0.01).log().softmax(2),
    "trained": lambda words, stoi, N3: trained(words, stoi),
    "trained, as a cube": lambda words, stoi, N3: trained(words, stoi).view(27, 27, 27),
}


@pytest.mark.parametrize("make", E01_RIGHT.values(), ids=E01_RIGHT)
def test_e01_says_yes_to_counts_and_to_training(right, own_words, stoi, N3, make):
    assert "the floor for two characters" in right(e01_trigram, make(own_words, stoi, N3), own_words)


@pytest.mark.parametrize("fake_count", [0.01, 1])
def test_e01_says_yes_on_the_lectures_list(right, lecture_words, fake_count):
    stoi, _ = build_vocabulary(lecture_words)
    told = right(e01_trigram, normalised(trigram_counts(lecture_words, stoi), fake_count), lecture_words)
    assert "228,146 targets" in told and "2.454" in told and "only add up" not in told


def test_e01_says_that_there_is_more_to_be_had_than_a_net_on_two_one_hots_gets(right, lecture_words):
    N3 = trigram_counts(lecture_words, build_vocabulary(lecture_words)[0]).double()
    W = torch.zeros((54, 27), dtype=torch.float64, requires_grad=True)
    for _ in range(100):
        loss = -(N3 * (W[:27, None] + W[27:]).log_softmax(2)).sum() / N3.sum()
        W.data -= 20 * torch.autograd.grad(loss, W)[0]
    told = right(e01_trigram, (W[:27, None] + W[27:]).detach().softmax(2), lecture_words)
    assert "2.2126" in told and "only add up" in told


E01_WRONG = {
    "one dot": ("nan", lambda N2, N1: normalised(N1)),
    "one dot, fake counts": ("two dots", lambda N2, N1: normalised(N1, 1)),
    "uniform": ("first letters", lambda N2, N1: torch.full((27, 27, 27), 1 / 27)),
    "the bigram": ("does not depend on i", lambda N2, N1: normalised(N2, 1).expand(27, 27, 27)),
    "the bigram, unsmoothed": ("does not depend on i", lambda N2, N1: normalised(N2).expand(27, 27, 27)),
    "the bigram, unsmoothed, double": ("does not depend on i",
                                       lambda N2, N1: normalised(N2.double()).expand(27, 27, 27)),
    "the bigram, as a cube": ("does not depend on i", lambda N2, N1: normalised(N2, 1)[None].repeat(27, 1, 1)),
    "net weights": (["weights", "(27, 27, 27)"], lambda N2, N1: torch.randn(54, 27)),
    "with an end sign": ("(28, 28, 28)", lambda N2, N1: torch.full((28, 28, 28), 1 / 28)),
    "a table of pairs": (["the shape is (27, 27)", "(27, 27, 27)"], lambda N2, N1: normalised(N2, 1)),
}


@pytest.mark.parametrize("telling, make", E01_WRONG.values(), ids=E01_WRONG)
def test_e01_says_no(wrong, own_words, stoi, N2, telling, make):
    wrong(telling, e01_trigram, make(N2, trigram_counts(own_words, stoi, dots=1)), own_words)


E01_WRONG_SUMS = {
    "nan rows": ("nan", lambda N3: normalised(N3)),
    "counts": (["counts", "Divide every row by its sum"], lambda N3: N3),
    "fake counts, not divided": ("sums over dim 2", lambda N3: N3 + 0.5),
    "over the second axis": ("wrong axis", lambda N3: (N3 + 1) / (N3 + 1).sum(1, keepdim=True)),
    "over the first axis": ("wrong axis", lambda N3: (N3 + 1) / (N3 + 1).sum(0, keepdim=True)),
    "without keepdim": ("dim 2", lambda N3: (N3 + 1) / (N3 + 1).sum(2)),
    "over all": ("all entries together", lambda N3: (N3 + 1) / (N3 + 1).sum()),
    "logarithms": (["negative", "their logarithms: take exp"], lambda N3: normalised(N3, 1).log()),
    "next character first": ("wrong axis", lambda N3: normalised(N3, 1).permute(2, 0, 1)),
    "context swapped": ("two characters of context are swapped", lambda N3: normalised(N3, 0.01).transpose(0, 1)),
    "pairs as columns": ("the shape is (27, 729)", lambda N3: normalised(N3, 1).view(729, 27).T),
    "smoothed away": ("Smooth less", lambda N3: normalised(N3, 30)),
    "logits": (["negative", "softmax"], lambda N3: (N3 + 1).log() - 3),
    "zeros": ("sums over dim 2", lambda N3: torch.zeros(27, 27, 27)),
    "rows empty": (["rows sum to 0", "never seen", "Smooth them"], lambda N3: normalised(N3).nan_to_num(0)),
    "a trigram forgotten": ("probability 0", lambda N3: normalised(N3.where(N3.ne(N3.max()), 0)).nan_to_num(1 / 27)),
}


@pytest.mark.parametrize("telling, make", E01_WRONG_SUMS.values(), ids=E01_WRONG_SUMS)
def test_e01_says_what_is_wrong_with_the_sums(wrong, own_words, N3, telling, make):
    wrong(telling, e01_trigram, make(N3), own_words)


# ----- E02 ------------------------------------------------------------------------------------------------------------

def with_counts(stoi, train, dev, test):
    return train, dev, test, bigram_counts(train, stoi)


def cut(words, a=.8, b=.9):
    return words[:int(a * len(words))], words[int(a * len(words)):int(b * len(words))], words[int(b * len(words)):]


def shuffled(words, seed=3):
    words = list(words)
    random.Random(seed).shuffle(words)
    return words


def test_e02_says_yes_to_any_shuffle(right, own_words, stoi):
    told = right(e02_split, with_counts(stoi, *cut(shuffled(own_words))), own_words)
    assert "train" in told and "dev" in told and "test" in told
    right(e02_split, with_counts(stoi, *split_words(own_words, seed=7)), own_words)
    train, dev, test, N = with_counts(stoi, *cut(shuffled(own_words, 4)))
    right(e02_split, (tuple(train), tuple(dev), tuple(test), N.float().numpy()), own_words)


def test_e02_says_yes_on_the_lectures_list(right, lecture_words):
    stoi, _ = build_vocabulary(lecture_words)
    told = right(e02_split, with_counts(stoi, *split_words(lecture_words, seed=7)), lecture_words)
    assert "With a fake count of 1: train 2.45" in told and "The page's split gives: train 2.4548, dev 2.4533" in told


def test_e02_says_no_to_the_lists_of_the_page(wrong, own_words, stoi):
    wrong(["the page's own lists", "seed of your own"], e02_split, with_counts(stoi, *split_words(own_words)),
          own_words)


def test_e02_says_no_to_pairs(wrong, own_words, stoi, N2):
    pairs = [pair for word in own_words for pair in zip("." + word, word + ".", strict=True)]
    wrong(["pairs, not names", "Split the names"], e02_split, (*cut(shuffled(pairs)), N2), own_words)
    wrong("pairs, not names", e02_split, (*cut(shuffled([a + b for a, b in pairs])), N2), own_words)
    X, _ = build_dataset(own_words, stoi, 1)
    wrong("pairs, not names", e02_split, (*cut(X), N2), own_words)


def test_e02_says_no_to_a_list_cut_in_order(wrong, own_words, stoi):
    wrong(["cut in order", "Shuffle a copy"], e02_split, with_counts(stoi, *cut(own_words)), own_words)


def test_e02_says_no_to_a_list_that_was_shuffled_in_place(wrong, own_words, stoi):
    words = shuffled(own_words)
    wrong("Shuffle a copy", e02_split, with_counts(stoi, *cut(words)), words)


@pytest.mark.parametrize("a, b, telling", [(.5, .75, "train has 50.0%"), (.9, .95, "train has 90.0%"),
                                           (.8, .95, "dev has 15.0%"), (.1, .2, "train has 10.0%")])
def test_e02_says_no_to_other_shares(wrong, own_words, stoi, a, b, telling):
    wrong(telling, e02_split, with_counts(stoi, *cut(shuffled(own_words), a, b)), own_words)


SPOILED = {
    "a name lost": lambda train, dev, test: (train[1:], dev, test),
    "a name doubled": lambda train, dev, test: (train, [*dev, dev[0]], test),
    "dev inside train": lambda train, dev, test: (train + dev, dev, test),
    "a name changed": lambda train, dev, test: ([*train[:-1], "zzzz"], dev, test),
    "repeats taken out": lambda train, dev, test: (list(dict.fromkeys(train)), dev, test),
    "everything three times": lambda train, dev, test: (train + dev + test,) * 3,
}


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED)
def test_e02_says_no_to_parts_that_are_not_the_list(verdict, own_words, stoi, spoil):
    parts = spoil(*split_words(own_words))
    result, told = verdict(e02_split, with_counts(stoi, *parts), own_words)
    assert result is False and f"the list has {len(own_words):,}" in told


def test_e02_says_no_to_other_counts(wrong, own_words, stoi, N2, N3):
    train, dev, test = split_words(own_words)
    wrong("whole list", e02_split, (train, dev, test, N2), own_words)
    wrong("not the bigram counts of train", e02_split, (train, dev, test, bigram_counts(dev, stoi)), own_words)
    wrong("not the bigram counts of train", e02_split, (train, dev, test, bigram_counts(train, stoi) + 1), own_words)
    wrong("not the bigram counts of train", e02_split, (train, dev, test, bigram_counts(train, stoi).T), own_words)
    wrong("the shape (27, 27, 27)", e02_split, (train, dev, test, N3), own_words)


def test_e02_says_no_to_probabilities(wrong, own_words, stoi):
    train, dev, test = split_words(own_words)
    P = normalised(bigram_counts(train, stoi), 1)
    wrong("not the bigram counts of train", e02_split, (train, dev, test, P), own_words)


E02_WRONG = {
    "two shuffles": (["of it are missing", "one shuffled copy"],
                     lambda words: (*cut(shuffled(words))[:2], cut(shuffled(words, 4))[2]), None),
    "by the alphabet": ("cut by the alphabet", lambda words: cut(sorted(words)), None),
    "the last names first": ("the list cut in order", lambda words: (words[400:], words[:200], words[200:400]), None),
    "dev counted too": ("N counts dev too", split_words, lambda train, dev, stoi: bigram_counts(train + dev, stoi)),
    "transposed": ("it is transposed", split_words, lambda train, dev, stoi: bigram_counts(train, stoi).T),
    "fake counts": ("fake counts are in it", split_words, lambda train, dev, stoi: bigram_counts(train, stoi) + 1),
    "a dict": ("N_mine is a dict", split_words, lambda train, dev, stoi: {("a", "n"): 3}),
    "start and end": ("(28, 28)", split_words, lambda train, dev, stoi: torch.zeros(28, 28)),
}


@pytest.mark.parametrize("telling, split, count", E02_WRONG.values(), ids=E02_WRONG)
def test_e02_knows_the_usual_mistakes(verdict, own_words, stoi, telling, split, count):
    train, dev, test = split(own_words)
    N = bigram_counts(train, stoi) if count is None else count(train, dev, stoi)
    result, told = verdict(e02_split, (train, dev, test, N), own_words)
    assert result is False and all(x in told for x in ([telling] if isinstance(telling, str) else telling)), told


@pytest.mark.parametrize("form", [torch.Tensor.double, torch.Tensor.tolist, torch.Tensor.numpy, list])
def test_e02_takes_counts_of_any_form(right, own_words, stoi, form):
    train, dev, test = split_words(own_words, seed=7)
    right(e02_split, (train, dev, test, form(bigram_counts(train, stoi))), own_words)


def test_e02_says_no_to_three_things(wrong, own_words):
    wrong("four things", e02_split, split_words(own_words), own_words)


# ----- E03 ------------------------------------------------------------------------------------------------------------

FAKE_COUNTS = [0.01, 0.1, 0.3, 1, 3]


def loss_of(P, words, stoi):
    X, Y = build_dataset(words, stoi, 2)
    return -P[X[:, 0], X[:, 1], Y].log().mean()


def sweep(words, on, fake_counts=FAKE_COUNTS, *, train=0, dots=2):
    """Losses of trigrams on one part of the split, as a dict over the fake counts."""
    stoi, _ = build_vocabulary(words)
    splits = split_words(words)
    names = words if train is None else sum(splits[train], []) if isinstance(train, slice) else splits[train]
    N = trigram_counts(names, stoi, dots)
    return {c: loss_of(normalised(N, c), splits[on], stoi) for c in fake_counts}


def e03_answer(words, fake_counts=FAKE_COUNTS):
    dev, test = sweep(words, 1, fake_counts), sweep(words, 2, fake_counts)
    best = min(dev, key=dev.get)
    return dev, best, test[best]


@pytest.fixture(scope="module")
def e03(own_words):
    return e03_answer(own_words)


def test_e03_says_yes_to_tensors_and_to_numbers(right, own_words, e03):
    dev, best, test = e03
    assert f"Fake count {best}" in right(e03_smoothing, e03, own_words)
    right(e03_smoothing, ({c: loss.item() for c, loss in dev.items()}, best, test.item()), own_words)
    right(e03_smoothing, ({c: loss.double().numpy() for c, loss in dev.items()}, best, test.numpy()), own_words)


def test_e03_says_yes_on_the_lectures_list(right, lecture_words):
    right(e03_smoothing, e03_answer(lecture_words, [0.1, 0.3, 1]), lecture_words)


def test_e03_tells_dev_among_the_counts_from_the_dev_loss_on_the_lectures_list(wrong, lecture_words):
    dev, best, _ = e03_answer(lecture_words, [0.01, 0.1, 1])
    both = sweep(lecture_words, 2, [best], train=slice(0, 2))[best]
    assert abs(both - dev[best]) < 5e-4
    wrong("has dev among its counts", e03_smoothing, (dev, best, both), lecture_words)
    wrong("the dev loss again", e03_smoothing, (dev, best, dev[best]), lecture_words)


@pytest.mark.parametrize("fake_counts, telling", [([1, 3, 10], "the smallest that you tried"),
                                                  ([0.001, 0.002, 0.003], "the largest that you tried")])
def test_e03_tells_that_the_best_is_at_an_end(right, own_words, fake_counts, telling):
    assert telling in right(e03_smoothing, e03_answer(own_words, fake_counts), own_words)


@pytest.mark.parametrize("loss", [math.inf, math.nan])
def test_e03_says_yes_if_no_smoothing_was_tried_too(right, own_words, e03, loss):
    dev, best, test = e03
    right(e03_smoothing, ({0: loss} | dev, best, test), own_words)


def test_e03_says_no_to_a_choice_made_on_test(wrong, own_words, e03):
    losses = sweep(own_words, 2)
    best = min(losses, key=losses.get)
    wrong(["chosen on test", "Compare on dev"], e03_smoothing, (losses, best, losses[best]), own_words)


def test_e03_says_no_to_a_choice_made_on_train(wrong, own_words, e03):
    losses = sweep(own_words, 0)
    wrong(["train names", "Compare on dev"], e03_smoothing, (losses, min(losses, key=losses.get), e03[2]), own_words)


def test_e03_says_no_to_counts_of_the_whole_list(wrong, own_words, e03):
    losses = sweep(own_words, 1, train=None)
    wrong("whole list", e03_smoothing, (losses, min(losses, key=losses.get), e03[2]), own_words)


def test_e03_says_no_to_one_dot(wrong, own_words, e03):
    losses = sweep(own_words, 1, dots=1)
    wrong("two dots", e03_smoothing, (losses, min(losses, key=losses.get), e03[2]), own_words)


def test_e03_says_no_to_test_losses_of_every_fake_count(wrong, own_words, e03):
    wrong(["one number", "once"], e03_smoothing, (e03[0], e03[1], sweep(own_words, 2)), own_words)


def test_e03_says_no_to_another_choice_than_the_best(wrong, own_words, e03):
    other = FAKE_COUNTS[-1]
    assert other != e03[1]
    wrong(["the lowest dev loss", f"you chose {other}"], e03_smoothing, (e03[0], other, e03[2]), own_words)


def test_e03_says_no_to_the_dev_loss_as_test_loss(wrong, own_words, e03):
    wrong("the dev loss again", e03_smoothing, (e03[0], e03[1], e03[0][e03[1]]), own_words)


def test_e03_says_no_to_another_test_loss(wrong, own_words, e03):
    wrong(["test_loss is", "but with a fake count"], e03_smoothing, (e03[0], e03[1], e03[2] + 0.1), own_words)


@pytest.mark.parametrize("test_loss", [math.nan, torch.tensor(math.nan)])
def test_e03_nan_is_no_test_loss(wrong, own_words, e03, test_loss):
    wrong("test_loss is nan", e03_smoothing, (e03[0], e03[1], test_loss), own_words)


def test_e03_says_no_to_fewer_than_three_fake_counts(wrong, own_words, e03):
    few = {c: e03[0][c] for c in (e03[1], FAKE_COUNTS[-1])}
    wrong("at least three", e03_smoothing, (few, e03[1], e03[2]), own_words)
    wrong("dict", e03_smoothing, (list(e03[0].values()), e03[1], e03[2]), own_words)


def test_e03_says_no_to_two_things(wrong, own_words, e03):
    wrong("three things", e03_smoothing, e03[:2], own_words)


E03_WRONG = {
    "bigrams": ("losses of bigrams", lambda words: bigram_sweep(words)),
    "train and dev": ("from train and dev", lambda words: sweep(words, 1, train=slice(0, 2))),
    "the sign": ("sign is turned around", lambda words: {c: -x for c, x in sweep(words, 1).items()}),
    "bits": ("in bits", lambda words: {c: x / math.log(2) for c, x in sweep(words, 1).items()}),
    "sums": ("sum over the examples", lambda words: {c: x * characters(words) for c, x in sweep(words, 1).items()}),
    "perplexities": ("perplexity", lambda words: {c: x.exp() for c, x in sweep(words, 1).items()}),
    "off by a little": ("your dev loss is", lambda words: {c: x + 0.01 for c, x in sweep(words, 1).items()}),
}


def bigram_sweep(words):
    stoi, _ = build_vocabulary(words)
    train, dev, _ = split_words(words)
    X, Y = build_dataset(dev, stoi, 1)
    N = bigram_counts(train, stoi)
    return {c: -normalised(N, c)[X[:, 0], Y].log().mean() for c in FAKE_COUNTS}


def characters(words):
    return sum(len(word) + 1 for word in split_words(words)[1])


@pytest.mark.parametrize("telling, losses", E03_WRONG.values(), ids=E03_WRONG)
def test_e03_knows_the_usual_mistakes(wrong, own_words, e03, telling, losses):
    losses = losses(own_words)
    wrong(telling, e03_smoothing, (losses, min(losses, key=losses.get), e03[2]), own_words)


def test_e03_knows_the_usual_test_losses(wrong, own_words, e03):
    dev, best, _ = e03
    other = FAKE_COUNTS[-1]
    wrong("Which fake count has it?", e03_smoothing, (dev, dev[best].item(), e03[2]), own_words)
    wrong(f"that of a fake count of {other}", e03_smoothing, (dev, best, sweep(own_words, 2)[other]), own_words)
    wrong("has dev among its counts", e03_smoothing, (dev, best, sweep(own_words, 2, train=slice(0, 2))[best]),
          own_words)


def test_e03_tells_a_choice_that_would_be_the_best_on_test(wrong, own_words):
    words = own_words[:1500]  # of these, dev and test want another one
    dev, test = sweep(words, 1, [0.1, 0.2, 0.3]), sweep(words, 2, [0.1, 0.2, 0.3])
    assert (min(dev, key=dev.get), min(test, key=test.get)) == (0.2, 0.3)
    wrong("do not choose there", e03_smoothing, (dev, 0.3, test[0.3]), words)


# ----- E04 ------------------------------------------------------------------------------------------------------------

E04_RIGHT = {
    "indexing": lambda W, xs: W[xs],
    "indexing both": lambda W, xs: W[xs, :],
    "index_select": lambda W, xs: W.index_select(0, xs),
    "F.embedding": lambda W, xs: F.embedding(xs, W),
    "row by row": lambda W, xs: torch.stack([W[x] for x in xs]),
    "gather": lambda W, xs: W.gather(0, xs[:, None].expand(-1, W.shape[1])),
}
E04_WRONG = {
    "columns": ("columns", lambda W, xs: W[:, xs]),
    "columns as rows": ("row of W", lambda W, xs: W.T[xs]),
    "transposed": ("(27, 50) instead of (50, 27)", lambda W, xs: W[xs].T),
    "counts": ("before exp", lambda W, xs: W[xs].exp()),
    "probabilities": ("before exp", lambda W, xs: W[xs].softmax(1)),
    "log-probabilities": ("before exp", lambda W, xs: W[xs].log_softmax(1)),
    "one-hot, multiplied and added": ("one-hot vectors", lambda W, xs: (F.one_hot(xs, 27)[:, :, None] * W).sum(1)),
    "eye, multiplied and added": ("one-hot vectors", lambda W, xs: (torch.eye(27)[xs][:, :, None] * W).sum(1)),
    "bmm": ("matrix product", lambda W, xs: torch.bmm(torch.eye(27)[xs][None], W[None])[0]),
    "the rows added up": ("(27,) instead of (50, 27)", lambda W, xs: W[xs].sum(0)),
    "counted from 1": ("row of W", lambda W, xs: W[xs - 1]),
    "no return": ("returns a NoneType", lambda W, xs: None),
    "one-hot": ("one-hot vectors", lambda W, xs: F.one_hot(xs, 27).float() @ W),
    "one-hot by hand": ("matrix product", lambda W, xs: torch.eye(27)[xs] @ W),
    "einsum": ("matrix product", lambda W, xs: torch.einsum("ni,ij->nj", torch.eye(27)[xs], W)),
    "torch.matmul": ("matrix product", lambda W, xs: torch.matmul(torch.eye(27)[xs], W)),
    "F.linear": ("matrix product", lambda W, xs: F.linear(torch.eye(27)[xs], W.T)),
    "detached": ("no gradient", lambda W, xs: W.detach()[xs]),
    "detached after": ("no gradient", lambda W, xs: W[xs].detach()),
    "data": ("no gradient", lambda W, xs: W.data[xs]),
    "a copy": ("no gradient", lambda W, xs: W[xs].detach().clone().requires_grad_()),
    "a list": ("not a tensor", lambda W, xs: W[xs].tolist()),
    "one row": ("instead of (50, 27)", lambda W, xs: W[xs[0]]),
    "the next rows": ("row of W", lambda W, xs: W[(xs + 1) % 27]),
}


@pytest.mark.parametrize("function", E04_RIGHT.values(), ids=E04_RIGHT)
def test_e04_says_yes(right, function):
    right(e04_index, function)


@pytest.mark.parametrize("telling, function", E04_WRONG.values(), ids=E04_WRONG)
def test_e04_says_no(wrong, telling, function):
    wrong(telling, e04_index, function)


# ----- E05 ------------------------------------------------------------------------------------------------------------

def by_hand(W, xs, ys):
    counts = W[xs].exp()
    return -(counts / counts.sum(1, keepdim=True))[torch.arange(len(ys)), ys].log().mean()


def by_hand_stably(W, xs, ys):
    logits = W[xs]
    return (logits.logsumexp(1) - logits[torch.arange(len(ys)), ys]).mean()


E05_RIGHT = {
    "indexing": lambda W, xs, ys: F.cross_entropy(W[xs], ys),
    "one-hot": lambda W, xs, ys: F.cross_entropy(F.one_hot(xs, 27).float() @ W, ys),
    "log_softmax": lambda W, xs, ys: F.nll_loss(F.log_softmax(W[xs], 1), ys),
    "one-hot targets": lambda W, xs, ys: F.cross_entropy(W[xs], F.one_hot(ys, 27).float()),
    "logsumexp": by_hand_stably,
}
FIRST_LOGITS = ["first the logits, (n, 27)", "then the indices ys"]
E05_WRONG = {
    "penalty": (["penalty is inside", "0.01 times"],
                lambda W, xs, ys: F.cross_entropy(W[xs], ys) + 0.01 * (W ** 2).mean()),
    "sum": ("sum over the examples", lambda W, xs, ys: F.cross_entropy(W[xs], ys, reduction="sum")),
    "sign": ("sign", lambda W, xs, ys: -F.cross_entropy(W[xs], ys)),
    "bits": ("bits", lambda W, xs, ys: F.cross_entropy(W[xs], ys) / math.log(2)),
    "probabilities": ("Here it got probabilities", lambda W, xs, ys: F.cross_entropy(W[xs].softmax(1), ys)),
    "exp by hand": ("overflows", by_hand),
    "item": ("loss.item()", lambda W, xs, ys: F.cross_entropy(W[xs], ys).item()),
    "detached": ("no gradient", lambda W, xs, ys: F.cross_entropy(W.detach()[xs], ys)),
    "one loss an example": ("one number", lambda W, xs, ys: F.cross_entropy(W[xs], ys, reduction="none")),
    "targets and inputs swapped": ("inputs and targets are swapped", lambda W, xs, ys: F.cross_entropy(W[ys], xs)),
    "columns": ("the columns of W", lambda W, xs, ys: F.cross_entropy(W[:, xs].T, ys)),
    "nll_loss of logits": ("F.nll_loss takes", lambda W, xs, ys: F.nll_loss(W[xs], ys)),
    "mean over a table": ("zeros too", lambda W, xs, ys: -(F.one_hot(ys, 27) * W[xs].log_softmax(1)).mean()),
    "log of the mean": ("where the mean",
                        lambda W, xs, ys: -W[xs].softmax(1)[range(len(ys)), ys].mean().log()),
    "perplexity": ("perplexity", lambda W, xs, ys: F.cross_entropy(W[xs], ys).exp()),
    "a small number inside": (["for large logits", "hides it"], lambda W, xs, ys: F.nll_loss(
        (W[xs].softmax(1) + 1e-9).log(), ys)),
    "no return": ("end without return", lambda W, xs, ys: None),
    "label smoothing": ("where the mean", lambda W, xs, ys: F.cross_entropy(W[xs], ys, label_smoothing=0.1)),
    "likelihood": ("where the mean", lambda W, xs, ys: F.cross_entropy(W[xs], ys).neg().exp()),
    "indices without logits": (FIRST_LOGITS, lambda W, xs, ys: F.cross_entropy(xs, ys)),
    "indices as floats": (FIRST_LOGITS, lambda W, xs, ys: F.cross_entropy(W[xs], ys.float())),
    "one-hot targets of int64": (FIRST_LOGITS, lambda W, xs, ys: F.cross_entropy(W[xs], F.one_hot(ys, 27))),
    "the targets first": (FIRST_LOGITS, lambda W, xs, ys: F.cross_entropy(ys, W[xs])),
}


@pytest.mark.parametrize("function", E05_RIGHT.values(), ids=E05_RIGHT)
def test_e05_says_yes(right, function):
    right(e05_cross_entropy, function)


@pytest.mark.parametrize("telling, function", E05_WRONG.values(), ids=E05_WRONG)
def test_e05_says_no(wrong, telling, function):
    wrong(telling, e05_cross_entropy, function)


# ----- E06 ------------------------------------------------------------------------------------------------------------

def bigram_model(words, stoi, fake_count=1.0):
    P = normalised(bigram_counts(words, stoi), fake_count)
    return lambda context: P[stoi[context[-1:] or "."]]


def trigram_model(words, stoi, fake_count=0.1):
    P = normalised(trigram_counts(words, stoi), fake_count)
    return lambda context: P[stoi[(".." + context)[-2]], stoi[(".." + context)[-1]]]


def prefix_model(words, stoi):
    """Knows how every one of `words` goes on."""
    seen = {}
    for word in words:
        for k, ch in enumerate(word + "."):
            seen.setdefault(word[:k], torch.full((27,), 1e-3))[stoi[ch]] += 1
    return lambda context: normalised(seen.get(context, torch.ones(27)))


@pytest.fixture(scope="module")
def parts(own_words):
    return split_words(own_words)


@pytest.mark.parametrize("model", [bigram_model, trigram_model], ids=lambda model: model.__name__)
def test_e06_says_yes_to_models_of_the_train_names(right, own_words, stoi, parts, model):
    probs = model(parts[0], stoi)
    told = right(e06_own_model, probs, own_words)
    assert f"over {sum(len(word) + 1 for word in parts[1]):,} characters" in told
    assert right(e06_own_model, lambda context: probs(context).tolist(), own_words) == told
    assert right(e06_own_model, lambda context: probs(context).numpy(), own_words) == told


def test_e06_takes_probabilities_that_still_have_their_graph(right, own_words, stoi, parts):
    W = normalised(bigram_counts(parts[0], stoi), 1).log().requires_grad_()
    right(e06_own_model, lambda context: W[stoi[context[-1:] or "."]].softmax(0), own_words)


def test_e06_says_yes_on_the_lectures_list(right, lecture_words):
    stoi, _ = build_vocabulary(lecture_words)
    right(e06_own_model, trigram_model(split_words(lecture_words)[0], stoi), lecture_words)


E06_WRONG = {
    "wrong shape": ("the shape (1, 27)", lambda bigram, stoi: lambda context: bigram(context)[None]),
    "one number": ("the shape ()", lambda bigram, stoi: lambda context: 1 / 27),
    "without the end": ("the shape (26,)", lambda bigram, stoi: lambda context: torch.full((26,), 1 / 26)),
    "not normalised": ("no distribution", lambda bigram, stoi: lambda context: 2 * bigram(context)),
    "logits": ("no distribution", lambda bigram, stoi: lambda context: bigram(context).log()),
    "nan": ("no distribution", lambda bigram, stoi: lambda context: torch.full((27,), math.nan)),
    "zeros": ("no distribution", lambda bigram, stoi: lambda context: torch.zeros(27)),
    "sure of the end": ("probability 0", lambda bigram, stoi: lambda context: F.one_hot(torch.tensor(0), 27).float()),
    "uniform": ("no better than a uniform guess", lambda bigram, stoi: lambda context: torch.full((27,), 1 / 27)),
    "uniform, double": ("no better than a uniform guess", lambda bigram, stoi: lambda context: [1 / 27] * 27),
    "misleading": ("no better than a uniform guess",
                   lambda bigram, stoi: lambda context: normalised(1 / (bigram(context) + 1e-3))),
    "no context": ("probs_mine('') could not be used (IndexError", lambda bigram, stoi: lambda c: bigram(c[-1])),
    "logarithms": ("logits, or logarithms", lambda bigram, stoi: lambda context: bigram(context).log()),
    "the end last": ("'.' comes first", lambda bigram, stoi: lambda context: bigram(context).roll(-1)),
    "a column": ("the shape (27, 1)", lambda bigram, stoi: lambda context: bigram(context)[:, None]),
    "no return": ("end without return", lambda bigram, stoi: lambda context: None),
    "the likeliest": ("probability 0", lambda bigram, stoi: lambda context: F.one_hot(bigram(context).argmax(), 27)),
    "a table": ("must be a function", lambda bigram, stoi: torch.full((27, 27), 1 / 27)),
}


@pytest.mark.parametrize("telling, make", E06_WRONG.values(), ids=E06_WRONG)
def test_e06_says_no(wrong, own_words, stoi, parts, telling, make):
    wrong(telling, e06_own_model, make(bigram_model(parts[0], stoi), stoi), own_words)


@pytest.mark.parametrize("which", ["dev", "whole list"])
def test_e06_says_no_to_a_model_of_the_dev_names(wrong, own_words, stoi, parts, which):
    wrong("Did you count dev, too?", e06_own_model,
          prefix_model(parts[1] if which == "dev" else own_words, stoi), own_words)


def test_e06_says_no_to_a_model_of_the_lectures_dev_names(wrong, lecture_words):
    stoi, _ = build_vocabulary(lecture_words)
    wrong("Did you count dev, too?", e06_own_model, prefix_model(split_words(lecture_words)[1], stoi),
          lecture_words)


def test_e06_says_no_to_counts_without_smoothing(wrong, own_words, stoi, parts):
    def probs(context):
        return trigram_model(parts[0], stoi, 0.0)(context).nan_to_num(1 / 27)

    table = {}
    wrong("the probability 0", e06_own_model, lambda context: table.setdefault(context, probs(context[-2:])), own_words)


@pytest.mark.parametrize("model", [bigram_model, trigram_model], ids=lambda model: model.__name__)
@pytest.mark.parametrize("counted", ["train and dev", "the whole list"])
def test_e06_says_no_to_counts_of_more_than_train(wrong, lecture_words, model, counted):
    stoi, _ = build_vocabulary(lecture_words)
    train, dev, _ = split_words(lecture_words)
    names = lecture_words if counted == "the whole list" else train + dev
    wrong([f"the shares in {counted}", "Did you count dev, too?"], e06_own_model, model(names, stoi), lecture_words)


def test_e06_says_no_to_a_table_with_zeros_that_dev_does_not_ask_for(wrong, lecture_words):
    stoi, _ = build_vocabulary(lecture_words)
    wrong("the probability 0", e06_own_model, bigram_model(lecture_words, stoi, 0), lecture_words)
