"""Expected figures, and the checks of the exercises.

A check takes the reader's answer, prints a verdict that helps, and returns True, False, or None for "not tried yet". It
never raises: an answer that cannot be used gets a verdict too.
"""

import collections
import contextlib
import functools
import math
import os
import types

import torch
import torch.nn.functional as F

from mmutils.data import build_dataset, build_vocabulary, is_lecture_list, split_words

SLACK = 5e-4  # how far two ways to compute the same loss may lie apart (nats)


def expect(name, value, low, high):
    """Say whether a figure lies where it does with the given settings and the lecture's list.

    Inside low to high: prints the same text on every machine, without the value. Outside (or nan): tells the value and
    what may be the cause; under `make test` with the lecture's list in place it raises AssertionError instead.

    value: a number, or a tensor with one element. low, high: the bounds, both included; equal for an exact figure.
    Raises ValueError if low is above high.
    """
    if not low <= high:
        raise ValueError(f"expect({name!r}): low={low!r} must not be above high={high!r}.")
    value = _number(value)
    bounds = f"within {low:,} to {high:,}" if low < high else f"{low:,}"
    if low <= value <= high:
        print(f"{name}: {bounds}")
        return
    message = f"{name}: {value:,.4f} instead of {bounds}"
    if os.environ.get("MMUTILS_TEST") == "raise":
        raise AssertionError(message)
    print(f"{message}.\n"
          f"  That is to be expected if you changed a setting, stopped a run early, or work on another list;\n"
          f"  with the settings as they were given and the lecture's list of words it would be a mistake.")


def check_settings(*, at_least=None, **settings):
    """Raise ValueError that names every setting a notebook cannot run with, and says what it must be.

    A setting whose name ends in rate or gain: a number above 0. Any other: a whole number from 1, or from what
    at_least says, a dict of name → smallest number.
    """
    wrong = []
    for name, value in settings.items():
        whole, least = not name.endswith(("rate", "gain")), (at_least or {}).get(name, 1)
        if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)) \
                or not (least <= value < 1e9 if whole else 0 < value < 1e9):
            wrong.append(f"{name} = {value!r} must be a "
                         + (f"whole number, {least} or more." if whole else "number above 0."))
    if wrong:
        raise ValueError(" ".join(wrong) + " Change that in the settings cell, and run on from there.")


def _check(code):
    """Make a check of a function that returns a verdict: None if right, else what is wrong (str).

    The function's first argument is the answer: None stands for "not tried yet", also inside a tuple. A right verdict's
    text is what the function put into the list `found`, its last argument.
    """
    def decorate(function):
        @functools.wraps(function)
        def check(answer, *rest):
            parts = answer if isinstance(answer, tuple) else (answer,)
            if any(part is None for part in parts):
                print(f"{code}: not tried yet. Write your answer in the cell above, run it, then run this check again.")
                return None
            found = []
            try:
                wrong = function(answer, *rest, found)
            except Exception as error:  # whatever an answer may be: a check tells, and never stops a notebook
                wrong = (f"your answer could not be used ({type(error).__name__}: {error}). "
                         f"Look again at what the exercise asks for.")
            print(f"{code}: not yet. {wrong[0].upper()}{wrong[1:]}" if wrong else f"{code}: right. {' '.join(found)}")
            return not wrong
        return check
    return decorate


def _number(x):
    """A number, or a tensor with one element (that may still have its graph), as float."""
    return x.item() if isinstance(x, torch.Tensor) else float(x)


# ----- lecture 1 ------------------------------------------------------------------------------------------------------

def _trigram_examples(words, stoi):
    """(context 1, context 2, target), each int64 (N,): two '.' in front of every word."""
    X, Y = build_dataset(words, stoi, 2)
    return X[:, 0], X[:, 1], Y


def _not_probabilities(P, dim, how):
    """What is wrong with P as probabilities over `dim`, or None. how: P's axes in words."""
    if not P.is_floating_point():
        return f"these are whole numbers ({P.dtype}): counts, not probabilities. Divide every row by its sum."
    if P.isnan().any():
        return ("some entries are nan: 0 / 0, the rows of contexts that never occur. Add fake counts before you "
                "divide.")
    if (P < 0).any():
        return "some probabilities are negative."

    def near_one(sums):
        return torch.allclose(sums, torch.ones_like(sums), atol=1e-3)

    if near_one(P.sum(dim)):
        return None
    for other in range(P.dim()):
        if other != dim and near_one(P.sum(other)):
            return (f"it is normalised over the wrong axis: the sums over dim {other} are 1, those over dim {dim} are "
                    f"not. {how} A sum without keepdim=True, or over another dim, does that without an error.")
    if abs(P.sum().item() - 1) < 1e-3:
        return f"all entries together sum to 1, but each row of its own must. {how}"
    sums = P.sum(dim)
    return f"the sums over dim {dim} must all be 1, but go from {sums.min():.4f} to {sums.max():.4f}. {how}"


@_check("E01")
def e01_trigram(P, words, found):
    """E01 of lecture 1: P[i, j, k], the probability of character k after i and then j; (27, 27, 27) or (729, 27).

    Made from `words` by counting or by training. Held against the conditional entropy of `words` given two characters.
    """
    stoi, _ = build_vocabulary(words)
    side = len(stoi)
    P = torch.as_tensor(P).detach()
    if P.shape == (side * side, side):
        P = P.view(side, side, side)
    if P.shape == (2 * side, side):
        return (f"shape {tuple(P.shape)} is the weights of a net on two one-hots. Turn them into the table of "
                f"probabilities it predicts: ({side}, {side}, {side}).")
    if P.shape != (side, side, side):
        return f"the shape is {tuple(P.shape)}, but ({side}, {side}, {side}) is needed: two characters, then the next."
    how = "P[i, j] must be the distribution of the next character, so P.sum(2) must be 1 everywhere."
    if wrong := _not_probabilities(P, 2, how):
        return wrong
    i, j, k = _trigram_examples(words, stoi)
    counts = _trigram_counts(words, stoi)
    start = counts[0, 0].double() / counts[0, 0].sum()
    # a model that learned the first letters puts them near their frequencies; one padded with one '.' never saw them
    if (P[0, 0].double() - start).abs().sum() > 0.5:
        return (f"the row for '..' says nothing about first letters. With one '.' in front of a name its first letter "
                f"is never predicted: {len(k) - len(words):,} targets instead of {len(k):,}, and the loss of 2.09 or "
                f"so is not comparable with the bigram's. Put two dots in front: '.' * 2 + name + '.'.")
    p = P[i, j, k].double()
    if (p == 0).any():
        return ("some trigrams of the list have probability 0, so the loss is infinite. Count them all, and add fake "
                "counts.")
    loss = -p.log().mean().item()
    n = counts.double()
    floor = -((n / n.sum(2, keepdim=True).clamp(min=1)).clamp(min=1e-300).log() * n).sum().item() / len(k)
    pair = n.sum(0)
    bigram = -((pair / pair.sum(1, keepdim=True).clamp(min=1)).clamp(min=1e-300).log() * pair).sum().item() / len(k)
    if loss < floor - SLACK:
        return (f"loss {loss:.4f} on the list is below {floor:.4f}, which no model of two characters can reach. "
                f"Something else got in.")
    if loss > bigram - SLACK:
        return (f"loss {loss:.4f} on the list, while one character of context already reaches {bigram:.4f}. "
                f"Smooth less, or train longer. (An additive net on two one-hots stays near 2.3: a row of its own "
                f"for each pair of characters does better.)")
    found.append(f"Loss {loss:.4f} on the list's {len(k):,} targets; the bigram's best is {bigram:.4f}, the floor for "
                 f"two characters {floor:.4f}.")
    counted = -((n + 1) / (n + 1).sum(2, keepdim=True))[i, j, k].log().mean().item()
    if loss > counted + 0.05:
        found.append(f"Counts with one fake count come to {counted:.4f}, so there is more to be had: train longer, and "
                     f"give each pair of characters a row of its own. Two one-hot vectors side by side only add up.")


@_check("E02")
def e02_split(answer, words, found):
    """E02 of lecture 1: answer = (train, dev, test, N), three lists of names and the bigram counts N of train."""
    if not isinstance(answer, tuple) or len(answer) != 4:
        return "the answer must be four things: (train, dev, test, N), three lists of names and a table of counts."
    *parts, N = answer
    parts = [list(part) for part in parts]
    names = ("train", "dev", "test")
    stoi, _ = build_vocabulary(words)
    total = sum(len(part) for part in parts)
    not_words = [x for part in parts for x in part[:100] if not isinstance(x, str)]
    marked = any("." in x for part in parts for x in part if isinstance(x, str))
    if not_words or marked or total > 2 * len(words):
        return (f"these are pairs, not names: {total:,} items, while the list has {len(words):,} names. Split the "
                f"names: pairs of one name on both sides of the split make dev no test of new names.")
    if collections.Counter(x for part in parts for x in part) != collections.Counter(words):
        return (f"the three parts together must be the list, every name as often as it stands there: they have "
                f"{total:,} names, the list has {len(words):,}.")
    wanted = [0.8, 0.1, 0.1]
    for name, part, share in zip(names, parts, wanted, strict=True):
        if abs(len(part) / total - share) > 0.005:
            return f"{name} has {len(part) / total:.1%} of the names; {share:.0%} were asked for."
    if parts[0] == list(words[:len(parts[0])]):
        return ("the parts are the list cut in order, and its order has a meaning: the girls' names come first, so "
                "dev and test would hold boys' names only. Shuffle a copy first.")
    N = torch.as_tensor(N)
    side = len(stoi)
    if N.shape != (side, side):
        return f"N has the shape {tuple(N.shape)}; bigram counts are ({side}, {side})."

    def count(names):
        return _bigram_counts(names, stoi)

    if torch.equal(N.long(), count(words)):
        return "N counts the whole list, so the names of dev and test were trained on too. Count train only."
    if not torch.equal(N.long(), count(parts[0])):
        return (f"N is not the bigram counts of train: it sums to {N.sum().item():,}, train has "
                f"{count(parts[0]).sum().item():,} pairs (the end of each name included).")
    P = (N + 1) / (N + 1).sum(1, keepdim=True)
    losses = [-(count(part) * P.log()).sum().item() / count(part).sum().item() for part in parts]
    found.append("With one fake count: " + ", ".join(f"{n} {x:.4f}" for n, x in zip(names, losses, strict=True)) + ".")


def _bigram_counts(words, stoi):
    """How often each pair stands in `words`: int64 (V, V)."""
    X, Y = build_dataset(words, stoi, 1)
    side = len(stoi)
    return torch.bincount(X[:, 0] * side + Y, minlength=side * side).view(side, side)


def _trigram_counts(words, stoi):
    """How often each three characters stand in `words`, two '.' in front of each: int64 (V, V, V)."""
    i, j, k = _trigram_examples(words, stoi)
    side = len(stoi)
    return torch.bincount((i * side + j) * side + k, minlength=side**3).view(side, side, side)


def _trigram_loss(N, n, fake_count):
    """Loss of the counts N with fake counts, on names with the counts n; nats per character, inf where needed."""
    N = N.double() + fake_count
    return -torch.xlogy(n, N / N.sum(2, keepdim=True)).sum().item() / n.sum().item()


@_check("E03")
def e03_smoothing(answer, words, found):
    """E03 of lecture 1: answer = (dev_losses, best, test_loss) of trigram counts, trained on the train names only.

    dev_losses: dict of fake count → loss on dev, at least three. best: the fake count chosen. test_loss: the loss on
    test with it, one number. On the split of split_words(words).
    """
    if not isinstance(answer, tuple) or len(answer) != 3:
        return "the answer must be three things: (dev_losses, best, test_loss)."
    dev_losses, best, test_loss = answer
    if not isinstance(dev_losses, dict) or len(dev_losses) < 3:
        return "dev_losses must be a dict of fake count → dev loss, with at least three fake counts to choose from."
    if isinstance(test_loss, (dict, list, tuple)):
        return "test_loss must be one number: the test set is scored once, after the choice is made."
    stoi, _ = build_vocabulary(words)
    n = {name: _trigram_counts(part, stoi)
         for name, part in zip(("train", "dev", "test"), split_words(words), strict=True)}
    ours = {name: {c: _trigram_loss(n["train"], n[name], c) for c in dev_losses} for name in n}

    def same(x, y):  # without smoothing both are inf or nan
        return abs(x - y) < SLACK or not (math.isfinite(x) or math.isfinite(y))

    def matches(a, b):
        return all(same(a[c], b[c]) for c in b)

    given = {c: _number(loss) for c, loss in dev_losses.items()}
    finite = {c: loss for c, loss in given.items() if math.isfinite(loss)}
    if len(finite) < 2:
        return "at least two of the dev losses must be finite, to choose from: try more fake counts above 0."
    if not matches(given, ours["dev"]):
        if matches(given, ours["test"]):
            return ("these losses are those of the test names: the smoothing was chosen on test. Then nothing is left "
                    "to tell how good the choice is. Compare on dev; score test once, at the end.")
        if matches(given, ours["train"]):
            return ("these losses are those of the train names, where the smallest smoothing always looks best. "
                    "Compare on dev.")
        whole = {c: _trigram_loss(sum(n.values()), n["dev"], c) for c in dev_losses}
        if matches(given, whole):
            return "the counts come from the whole list, dev included. Count the train names only."
        c = next(c for c in given if not same(given[c], ours["dev"][c]))
        return (f"with a fake count of {c} your dev loss is {given[c]:.4f}; trigram counts of the train names give "
                f"{ours['dev'][c]:.4f}. Take split_words(words), two dots in front of each name, and the mean over "
                f"all of dev's characters.")
    right = min(finite, key=finite.get)
    if best != right:
        on_test = min(finite, key=ours["test"].get)
        extra = " It is the best one on test: do not choose there." if best == on_test else ""
        return f"the lowest dev loss, {given[right]:.4f}, belongs to {right}, but you chose {best}.{extra}"
    test_loss = _number(test_loss)
    if not abs(test_loss - ours["test"][best]) <= SLACK:
        if abs(test_loss - given[best]) < SLACK:
            return "test_loss is the dev loss again. Score the test names with the chosen fake count."
        return (f"test_loss is {test_loss:.4f}, but with a fake count of {best} test has "
                f"{ours['test'][best]:.4f}.")
    found.append(f"Fake count {best}: dev {given[best]:.4f}, test {test_loss:.4f}.")


class _Calls(torch.overrides.TorchFunctionMode):
    """Records the names of the torch functions called under it."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.names.add(getattr(func, "__name__", ""))
        return func(*args, **(kwargs or {}))


@_check("E04")
def e04_index(function, found):
    """E04 of lecture 1: function(W, xs) → logits, as one_hot(xs) @ W, without making a one-hot vector."""
    if not callable(function):
        return "the answer must be a function of W and xs that returns the logits."
    g = torch.Generator().manual_seed(1)
    W = torch.randn((27, 27), generator=g).requires_grad_()
    xs = torch.randint(27, (50,), generator=g)
    with _Calls() as calls:
        logits = function(W, xs)
    if not isinstance(logits, torch.Tensor):
        return f"it returns a {type(logits).__name__}, not a tensor."
    right = F.one_hot(xs, 27).float() @ W
    if logits.shape == right.T.shape and torch.allclose(logits, W[:, xs]):
        return f"it picks columns of W: the shape is {tuple(logits.shape)}. An example's logits are a row: W[xs]."
    if logits.shape != right.shape:
        return f"for xs of shape (50,) it returns the shape {tuple(logits.shape)} instead of (50, 27)."
    if torch.allclose(logits, right.exp()) or torch.allclose(logits, right.softmax(1)):
        return "it returns counts or probabilities. Return the logits, before exp."
    if not torch.allclose(logits, right):
        return "the shape is right, the values are not: row i must be the row of W that belongs to xs[i]."
    if calls.names & {"one_hot", "matmul", "__matmul__", "mm", "einsum", "linear"}:
        return "the values are right, but they were still made with one-hot vectors or a matrix product. Index W."
    if logits.requires_grad:
        logits.sum().backward()
    if W.grad is None:
        return "no gradient flows back to W. Do not detach it, and make no copy with torch.tensor."
    found.append("The same logits and gradients as one_hot(xs) @ W, without 27 numbers an example of which 26 are 0.")


@_check("E05")
def e05_cross_entropy(function, found):
    """E05 of lecture 1: function(W, xs, ys) → the mean negative log likelihood by F.cross_entropy, and only that."""
    if not callable(function):
        return "the answer must be a function of W, xs and ys that returns the loss."
    g = torch.Generator().manual_seed(2)
    W = torch.randn((27, 27), generator=g).requires_grad_()
    xs, ys = torch.randint(27, (2, 200), generator=g)
    loss = torch.as_tensor(function(W, xs, ys))
    right = F.cross_entropy(W[xs], ys)
    if loss.shape != ():
        return f"it returns the shape {tuple(loss.shape)}; a loss is one number, the mean over the examples."

    def close(other):
        return abs(loss.item() - other.item()) < 1e-4

    if not close(right):
        if close(-right):
            return "the sign is turned around: a likelihood goes up, a loss must go down."
        if close(right * len(xs)):
            return "this is the sum over the examples. Take the mean, so that losses of any number of them compare."
        if close(right / math.log(2)):
            return "this is in bits (logarithm to base 2). The lecture counts in nats: the natural logarithm."
        if close(F.cross_entropy(W[xs].softmax(1), ys)):
            return "F.cross_entropy takes logits: it does the softmax itself. Here it got probabilities."
        extra = loss.item() - right.item()
        strength = extra / (W**2).mean().item()
        at_zero = torch.as_tensor(function(torch.zeros(27, 27), xs, ys)).item()
        # a penalty depends on W alone: other examples must give the same one
        others = torch.as_tensor(function(W.detach(), ys, xs)).item() - F.cross_entropy(W.detach()[ys], xs).item()
        if extra > 0 and abs(at_zero - math.log(27)) < 1e-4 and abs(others - extra) < 1e-4:
            return (f"it is {extra:.4f} too high, and right for W = 0: the penalty is inside (about {strength:.3g} "
                    f"times the mean of W²). Train on loss + penalty if you like, but report the loss alone: only "
                    f"that compares with other models.")
        return f"it gives {loss.item():.4f} where the mean negative log likelihood is {right.item():.4f}."
    big = torch.as_tensor(function(1000 * W.detach(), xs, ys)).item()
    if not math.isfinite(big):
        return (f"for large logits it gives {big}: exp of a large number overflows. F.cross_entropy(logits, ys) "
                f"takes the largest logit away first.")
    if not loss.requires_grad:
        return "no gradient flows back to W: return the tensor, not loss.item()."
    found.append("The loss alone, in nats per character, and finite for logits in the thousands.")


@_check("E06")
def e06_own_model(probs, words, found):
    """E06 of lecture 1: probs(context) → 27 probabilities of the next character; context: the letters so far (str).

    Trained on the train names of split_words(words); scored here on dev.
    """
    if not callable(probs):
        return "the answer must be a function: probs('emm') returns the probabilities of the character after 'emm'."
    stoi, _ = build_vocabulary(words)
    side = len(stoi)
    train, dev, _ = split_words(words)
    seen, n, known = {}, 0, [0.0, 0]
    in_train, total = set(train), 0.0
    for word in dev:
        loss = 0.0
        for k, ch in enumerate(word + "."):
            context = word[:k]
            if context not in seen:
                p = torch.as_tensor(probs(context)).detach().double()
                if p.shape != (side,):
                    return f"probs({context!r}) has the shape {tuple(p.shape)}; ({side},) is needed, '.' first."
                if p.isnan().any() or (p < 0).any() or abs(p.sum().item() - 1) > 1e-3:
                    return f"probs({context!r}) is no distribution: its sum is {p.sum().item():.4f}; it must be 1."
                seen[context] = p.tolist()
            p = seen[context][stoi[ch]]
            if p == 0:
                return (f"after {context!r} it gives {ch!r} the probability 0, and dev has that: the loss is infinite. "
                        f"Leave something for what was never seen.")
            loss -= math.log(p)
        total, n = total + loss, n + len(word) + 1
        if word in in_train:
            known = [known[0] + loss, known[1] + len(word) + 1]
    mean = total / n
    new = (total - known[0]) / (n - known[1])
    # the best that is known on names that are not in train is 1.93 or so; a table of dev itself reaches far less
    if new < 1.5:
        return (f"dev loss {mean:.4f}, and {new:.4f} on the dev names that train does not have. No model of letters "
                f"knows that much about new names: dev must have been trained on.")
    if mean > math.log(side) - SLACK:
        return f"dev loss {mean:.4f} is no better than a uniform guess, {math.log(side):.4f}."
    found.append(f"Dev loss {mean:.4f} over {n:,} characters (standard error about 0.01).")


# ----- lecture 2 ------------------------------------------------------------------------------------------------------

def _floor(X, Y):
    """The lowest loss that anything can have on (X, Y) if it sees X only: their conditional entropy, in nats."""
    side = max(X.max(), Y.max()).item() + 1
    context = (X * side ** torch.arange(X.shape[1])).sum(1)  # (N,) a number for each context

    def entropy(numbers):
        return torch.special.entr(numbers.unique(return_counts=True)[1].double() / len(numbers)).sum().item()

    return entropy(context * side + Y) - entropy(context)


def _unigram(Y):
    """The lowest loss on Y without any context: the entropy of its characters, in nats."""
    return torch.special.entr(Y.bincount().double() / len(Y)).sum().item()


def _logits_of(function, X, side):
    """The logits of function(X), or (None, what is wrong with them)."""
    with torch.no_grad():
        logits = torch.as_tensor(function(X)).detach()
        if logits.shape != (len(X), side):
            extra = ""
            if logits.dim() == 3 and logits.shape[-1] == side:
                extra = (" That is one dimension too many: F.cross_entropy takes the middle one for classes, accepts "
                         "such logits with some targets, and gives a loss that means nothing.")
            return None, (f"for contexts of shape {tuple(X.shape)} the logits have the shape {tuple(logits.shape)} "
                          f"instead of ({len(X)}, {side}): a row for each example.{extra}")
        if not logits.isfinite().all():
            return None, ("some logits are nan or infinite: the training has blown up (take a smaller learning rate), "
                          "or they are logarithms of 0.")
        if (logits >= 0).all() and torch.allclose(logits.sum(1), torch.ones(len(X), dtype=logits.dtype), atol=1e-3):
            return None, "these are probabilities: their rows sum to 1. Return the logits, before the softmax."
        some, same = torch.as_tensor(function(X[:64])), logits[:64]  # compared without what is added to all of a row
        if not torch.allclose(some.double().log_softmax(1), same.double().log_softmax(1), atol=1e-2):
            return None, ("the logits of an example change with the examples beside it, or from call to call. Switch "
                          "dropout off when you evaluate, and let no statistics of the batch in.")
    return logits, None


def _judge(function, words, context=3, n_train=None):
    """Score function(X) on the canonical split, contexts (n, context): (losses by part, None) or (None, wrong).

    n_train: score that many names of train only.

    Finds the usual ways to a loss that is too good: dev or test in the training data, more than the context seen.
    """
    stoi, _ = build_vocabulary(words)
    names = split_words(words)
    in_train, losses, error = set(names[0]), {}, {}
    for part, part_words in zip(("train", "dev", "test"), names, strict=True):
        part_words = part_words[:n_train] if part == "train" else part_words
        X, Y = build_dataset(part_words, stoi, context)
        logits, wrong = _logits_of(function, X, len(stoi))
        if wrong:
            return None, wrong
        each = F.cross_entropy(logits.float(), Y, reduction="none")
        losses[part] = each.mean().item()
        if losses[part] < _floor(X, Y) - SLACK:
            return None, (f"the loss on {part} is {losses[part]:.4f}, below {_floor(X, Y):.4f}, which nothing that "
                          f"sees {'three' if context == 3 else context} characters can reach. The answers got in "
                          f"somewhere.")
        if part != "train":  # names that also stand in train are no test of anything
            new = torch.tensor([w not in in_train for w in part_words for _ in range(len(w) + 1)])
            each = each[new] if new.sum() > 1 else each
            losses[part, "new"], error[part] = each.mean().item(), (each.var() / len(each)).sqrt().item()
    for part in ("dev", "test"):  # on a short list, or before training, they lie far apart by chance
        if losses[part, "new"] < losses["train"] - max(0.03, 3 * error[part]):
            return None, (f"the loss on {part}, {losses[part]:.4f}, is lower than that on train, "
                          f"{losses['train']:.4f}: {part} was trained on. Train on split_words(words)[0] only.")
    low, high = sorted(("dev", "test"), key=lambda part: losses[part, "new"])
    chance = math.hypot(error[low], error[high])
    if losses[low, "new"] < losses[high, "new"] - max(0.05, 3 * chance):
        return None, (f"the loss on {low}, {losses[low]:.4f}, is far below that on {high}, {losses[high]:.4f}; by "
                      f"chance they differ by {chance:.2f} or so. Names of {low} were trained on.")
    return losses, None


def _wrong_dev_loss(quoted, losses, words, *, below, least_gap):
    """What is wrong with a dev loss that a reader quotes, beside the losses of _judge(), or None.

    below: what was asked for. least_gap: no net gets there without knowing train better than dev by that much or far
    more, unless dev is in its train. Both are asked of the lecture's list only.
    """
    quoted = _number(quoted)
    if not abs(quoted - losses["dev"]) <= SLACK:
        if abs(quoted - losses["test"]) < SLACK:
            return (f"dev_loss_mine is {quoted:.4f}, the loss on test. Choices are made on dev; who looks at test on "
                    f"the way has no test set any more.")
        if abs(quoted - losses["train"]) < SLACK:
            return f"dev_loss_mine is {quoted:.4f}, the loss on train. On dev this net has {losses['dev']:.4f}."
        return (f"dev_loss_mine is {quoted:.4f}, but over all of dev this net has {losses['dev']:.4f}. Take the mean "
                f"over all of dev, in evaluation mode if the net has one, and do not round it. The loss of one "
                f"minibatch is off by a tenth, by chance.")
    uniform = math.log(len(build_vocabulary(words)[0]))
    if losses["dev"] > uniform - SLACK:
        return f"dev loss {losses['dev']:.4f} is no better than a uniform guess, {uniform:.4f}."
    if is_lecture_list(words) and losses["dev"] >= below:
        return (f"dev loss {losses['dev']:.4f}; below {below:g} was asked for. Train {losses['train']:.4f}: "
                + ("train is high too, so a larger net or more steps will help."
                   if losses["dev"] - losses["train"] < 0.1 else
                   "train is far lower, so the net overfits: fewer steps, a smaller net, dropout, or weight decay."))
    if is_lecture_list(words) and losses["dev"] - losses["train"] < least_gap:
        return (f"the loss on dev, {losses['dev']:.4f}, is as low as that on train, {losses['train']:.4f}: dev was "
                f"trained on, or the whole list. Train on split_words(words)[0] only.")


@_check("E01")
def e01_tuning(answer, words, found):
    """E01 of lecture 2: answer = (logits, dev_loss). logits(X): int64 (n, 3) → (n, 27). Dev below 2.1 on the list.

    Scored here on all of dev of split_words(words); dev_loss is the loss that the reader quotes for it.
    """
    if not isinstance(answer, tuple) or len(answer) != 2:
        return "the answer must be two things: (logits_mine, dev_loss_mine)."
    logits_of, quoted = answer
    if not callable(logits_of):
        return "logits_mine must be a function: contexts (n, 3) go in, logits (n, 27) come out."
    losses, wrong = _judge(logits_of, words)
    if wrong:
        return wrong
    if wrong := _wrong_dev_loss(quoted, losses, words, below=2.1, least_gap=0.02):
        return wrong
    found.append(f"Dev {losses['dev']:.4f}, train {losses['train']:.4f}; floor of dev with three characters "
                 f"{_floor(*build_dataset(split_words(words)[1], build_vocabulary(words)[0], 3)):.4f}.")
    if is_lecture_list(words):
        found.append("Counts of three characters, backing off (notebook 1), come to 2.077.")


def _mlp(parameters, X):
    """The lecture's forward pass: [C, W1, b1, W2, b2], contexts (n, block_size) → logits (n, V)."""
    C, W1, b1, W2, b2 = parameters
    return torch.tanh(C[X].reshape(len(X), -1) @ W1 + b1) @ W2 + b2


@_check("E02")
def e02_uniform_start(answer, words, found):
    """E02 of lecture 2: answer = (uniform, init). uniform: a uniform guess's loss. init(n_embd, n_hidden) → parameters.

    The parameters [C, W1, b1, W2, b2] (three characters of context) must start within 0.05 of uniform, and learn: the
    check trains them for 200 steps of Adam.
    """
    if not isinstance(answer, tuple) or len(answer) != 2:
        return "the answer must be two things: (uniform_mine, init_mine)."
    uniform, init = answer
    stoi, _ = build_vocabulary(words)
    side = len(stoi)
    right, uniform = math.log(side), _number(uniform)
    if not abs(uniform - right) <= 1e-3:
        if abs(uniform - math.log2(side)) < 1e-3:
            return f"uniform_mine is {uniform:.4f}: that is in bits. The loss is in nats, the natural logarithm."
        if abs(uniform - 1 / side) < 1e-3:
            return f"uniform_mine is {uniform:.4f}, the probability of a uniform guess. What is its loss?"
        if abs(uniform - math.log(side - 1)) < 1e-3:
            return f"uniform_mine is {uniform:.4f}, that of {side - 1} characters. The '.' is one too: {side}."
        return f"uniform_mine is {uniform:.4f}. Each of {side} characters has the same probability: what is its −log?"
    if not callable(init):
        return "init_mine must be a function of n_embd and n_hidden that returns [C, W1, b1, W2, b2]."
    X, Y = build_dataset(split_words(words)[0], stoi, 3)
    for n_embd, n_hidden in ((10, 200), (4, 30)):
        parameters = [torch.as_tensor(p).detach().clone() for p in init(n_embd, n_hidden)]
        shapes = [(side, n_embd), (3 * n_embd, n_hidden), (n_hidden,), (n_hidden, side), (side,)]
        if [tuple(p.shape) for p in parameters] != shapes:
            return (f"init_mine({n_embd}, {n_hidden}) has the shapes {[tuple(p.shape) for p in parameters]} instead of "
                    f"{shapes}: C, W1, b1, W2, b2 for three characters of context.")
        start = F.cross_entropy(_mlp(parameters, X[:20_000]), Y[:20_000]).item()
        if not abs(start - right) <= 0.05:
            return (f"with n_embd {n_embd} and n_hidden {n_hidden} the loss starts at {start:.4f}, not within 0.05 of "
                    f"{right:.4f}. How large are the logits? They are h @ W2 + b2.")
        _, W1, b1, W2, _ = parameters
        one = all((p == first).all().item() for p, first in ((W1, W1[:, :1]), (b1, b1[:1]), (W2, W2[:1])))
        g = torch.Generator().manual_seed(1)
        optimizer = torch.optim.Adam([p.requires_grad_() for p in parameters], lr=0.01)  # learns from small weights too
        for _ in range(200):
            ix = torch.randint(0, len(X), (64,), generator=g)
            optimizer.zero_grad()
            F.cross_entropy(_mlp(parameters, X[ix]), Y[ix]).backward()
            optimizer.step()
        with torch.no_grad():
            end = F.cross_entropy(_mlp(parameters, X[:20_000]), Y[:20_000]).item()
        if not end < _unigram(Y) - 0.02:
            return (f"it starts at {start:.4f}, but after 200 steps the loss is {end:.4f}: no better than knowing how "
                    f"often each letter occurs ({_unigram(Y):.4f}). It does not learn from the context. Is a whole "
                    f"layer zero, or are all neurons the same?")
        if one:
            return (f"it starts at {start:.4f}, but all {n_hidden} neurons are the same, in W1, b1 and W2. They get "
                    f"the same gradients and stay the same: a net with one neuron. Draw W1 or W2 at random.")
    found.append(f"The uniform loss is {right:.4f}, the net starts at {start:.4f} and learns.")


@_check("E03")
def e03_direct(answer, words, found):
    """E03 of lecture 2: answer = (parameters, forward), [C, W1, b1, W2, b2, Wd] and forward(parameters, X) → logits.

    logits = tanh(emb @ W1 + b1) @ W2 + b2 + emb @ Wd with emb = C[X] side by side, three characters of context.
    """
    if not isinstance(answer, tuple) or len(answer) != 2:
        return "the answer must be two things: (parameters_direct, forward_direct)."
    parameters, forward = answer
    if not callable(forward):
        return "forward_direct must be a function: forward_direct(parameters, X) returns the logits."
    parameters = [torch.as_tensor(p).detach() for p in parameters]
    stoi, _ = build_vocabulary(words)
    if len(parameters) != 6:
        return f"there are {len(parameters)} parameters; six are needed: C, W1, b1, W2, b2 and Wd."
    C, W1, b1, W2, b2, Wd = parameters
    if Wd.shape != (C.shape[1] * 3, len(stoi)):
        return (f"Wd has the shape {tuple(Wd.shape)}; from the three embeddings to the logits it is "
                f"({C.shape[1] * 3}, {len(stoi)}).")
    losses, wrong = _judge(lambda X: forward(parameters, X), words)
    if wrong:
        return wrong
    if (Wd == 0).all():
        return "Wd is still all zeros: it has not been trained. Is it in the list that is updated?"
    X, _ = build_dataset(split_words(words)[1][:200], stoi, 3)
    with torch.no_grad():
        emb = C[X].reshape(len(X), -1)
        full, without, nothing = (torch.as_tensor(forward(some, X)) for some in (
            parameters, [*parameters[:3], W2 * 0, b2, Wd], [p * 0 for p in parameters]))
        if torch.allclose(full, nothing, atol=1e-5):
            return ("the logits stay the same whatever parameters it gets: forward_direct(parameters, X) must take "
                    "them from its argument.")
        if torch.allclose(full, without, atol=1e-5):
            return "with W2 = 0 the logits stay the same: the hidden layer is not used in forward_direct."
        if torch.allclose(without, b2.expand_as(without), atol=1e-5):
            return "with W2 = 0 the logits no longer depend on the context: Wd is not used in forward_direct."
        if not torch.allclose(without, emb @ Wd + b2, atol=1e-3):
            return ("with W2 = 0 the logits must be emb @ Wd + b2, with no nonlinearity on the way. They are "
                    "something else.")
        if torch.allclose(full - without, (emb @ W1 + b1) @ W2, atol=1e-3):
            return "the hidden layer is linear, so it adds nothing to emb @ Wd: its tanh is missing."
    unigram = _unigram(build_dataset(split_words(words)[0], stoi, 3)[1])
    if not losses["dev"] < unigram - 0.02:
        return (f"the connection is right, but the net is hardly trained: dev loss {losses['dev']:.4f}, no better than "
                f"knowing how often each letter occurs ({unigram:.4f}).")
    found.append(f"Dev {losses['dev']:.4f}, train {losses['train']:.4f}.")


# ----- lecture 3: activations, gradients, BatchNorm -------------------------------------------------------------------

@_check("E01")
def e01_zeros(answer, words, found):
    """E01 of lecture 3: answer = (parameters, moved), [C, W1, b1, W2, b2] trained from zeros, and who learned.

    W1, b1, W2 and b2 start as zeros, C at random. moved: the names (a set of str) of those that training has changed.
    The loss on train must be that of the unigram, to 0.01.
    """
    if not isinstance(answer, tuple) or len(answer) != 2:
        return "the answer must be two things: (zeros_mine, moved_mine)."
    parameters, moved = answer
    names = ("C", "W1", "b1", "W2", "b2")
    moved = {moved} if isinstance(moved, str) else moved
    if not isinstance(moved, (set, frozenset, list, tuple)) or not all(isinstance(name, str) for name in moved):
        return 'moved_mine must be a set of names, such as {"C", "W1"}.'
    moved = set(moved)
    if unknown := moved - set(names):
        return f"moved_mine has {min(unknown)!r} in it; the names are C, W1, b1, W2 and b2."
    parameters = [torch.as_tensor(p).detach() for p in parameters]
    if len(parameters) != 5:
        return f"zeros_mine has {len(parameters)} tensors; the net with one hidden layer has five: C, W1, b1, W2, b2."
    C, W1, b1, W2, b2 = parameters
    stoi, _ = build_vocabulary(words)
    side = len(stoi)
    block_size, rest = divmod(len(W1), C.shape[1]) if C.dim() == W1.dim() == 2 and C.shape[1] else (0, 1)
    hidden = W1.shape[-1] if W1.dim() else 0
    if (rest or not block_size or len(C) != side or tuple(b1.shape) not in ((hidden,), (1, hidden))
            or tuple(W2.shape) != (hidden, side) or tuple(b2.shape) not in ((side,), (1, side))):
        return (f"the shapes {[tuple(p.shape) for p in parameters]} do not fit together as C ({side}, n_embd), W1 "
                f"(block_size · n_embd, n_hidden), b1 (n_hidden), W2 (n_hidden, {side}), b2 ({side}).")
    if not all(p.isfinite().all() for p in parameters):
        return "some parameters are nan or infinite: the learning rate was far too high."
    if not C.any():
        return "C is zero too. The exercise leaves it random (with zeros there the answer would be the same)."
    for name, p in (("W1", W1), ("b1", b1), ("W2", W2)):
        if p.any():
            return (f"{name} is not zero. From zeros in W1, b1, W2 and b2 it stays zero in every step: was one of them "
                    f"left at random? (Scale all four by 0.)")
    if not b2.any():
        return "b2 is zero too: this net has not been trained yet, or its b2 is not in the list that is updated."
    _, Y = build_dataset(split_words(words)[0], stoi, 1)
    loss, unigram = F.cross_entropy(b2.view(1, -1).expand(len(Y), -1), Y).item(), _unigram(Y)  # h is 0: b2 is all
    if loss > unigram + 0.01:
        return (f"the loss on train is {loss:.4f}, and b2 can bring it lower. If it was trained on the examples of "
                f"train, take more steps, or a higher learning rate, until b2 has arrived; average out the noise with "
                f"a large batch or a lower rate at the end.")
    if moved != {"b2"}:
        if "b2" not in moved:
            return "one of those you leave out does learn: compare each parameter with what it was before the training."
        return (f"moved_mine names {', '.join(sorted(moved - {'b2'}))} besides b2. Look at the gradients: is any of "
                f"theirs not 0? (h is 0, and so is W2.)")
    found.append(f"Only the output bias learns, and the loss comes to {loss:.4f}; a unigram has {unigram:.4f}.")


@_check("E02")
def e02_fold(fold, found):
    """E02 of lecture 3: fold(linear, norm) → (weight, bias) that do in one step what the two layers do at test time.

    linear has weight (fan_in, fan_out) and bias (fan_out,) or None; norm has gamma, beta, running_mean, running_var,
    each (fan_out,), eps and training. x @ weight + bias must be norm(linear(x)) to 1e-5.
    """
    if not callable(fold):
        return "fold_mine must be a function: fold_mine(linear, norm) returns (weight, bias)."
    for with_bias in (False, True):
        linear, norm, x, right = _layers_to_fold(with_bias)
        before = _contents(linear, norm)
        answer = fold(linear, norm)
        if not isinstance(answer, (tuple, list)) or len(answer) != 2:
            return "fold_mine must return two things: (weight, bias)."
        if _contents(linear, norm) != before:
            return "it changes the layers that it gets. Make new tensors instead of writing into theirs."
        if any(part is None for part in answer):
            return ("one of the two that it returns is None. Without linear.bias too there is a new bias, made of "
                    "running_mean and beta.")
        weight, bias = (torch.as_tensor(part).detach().double() for part in answer)
        if weight.shape != linear.weight.shape:
            hint = " It is transposed." if weight.shape == linear.weight.T.shape else ""
            return f"weight has the shape {tuple(weight.shape)} instead of {tuple(linear.weight.shape)}.{hint}"
        if tuple(bias.shape) not in ((weight.shape[1],), (1, weight.shape[1])):
            return f"bias has the shape {tuple(bias.shape)} instead of ({weight.shape[1]},)."
        out = x.double() @ weight + bias
        if not torch.allclose(out, right.double(), atol=1e-5, rtol=1e-5):
            return _why_not_folded(out, linear, norm, x)
    found.append("One linear layer does the work of the two, with and without a bias before.")


def _layers_to_fold(with_bias):
    """A Linear and a BatchNorm1d with lively numbers, an input, and what they make of it. A neuron has a tiny variance.

    Each time with another eps, so that one written as a number is found out.
    Returns (linear, norm, x (64, 6), out (64, 8)).
    """
    g = torch.Generator().manual_seed(7)
    linear = types.SimpleNamespace(weight=torch.randn((6, 8), generator=g),
                                   bias=torch.randn(8, generator=g) if with_bias else None)
    norm = types.SimpleNamespace(gamma=0.5 + torch.rand(8, generator=g), beta=torch.randn(8, generator=g),
                                 eps=1e-3 if with_bias else 1e-5, training=False,
                                 running_mean=torch.randn(8, generator=g),
                                 running_var=torch.tensor([1e-4, 0.01, 0.3, 0.5, 2.0, 3.0, 4.0, 9.0]))
    x = torch.randn((64, 6), generator=g) * 0.1
    return linear, norm, x, _normed(linear, norm, x)


def _contents(linear, norm):
    """What the two layers hold, as lists and numbers that can be compared."""
    return [{name: value.tolist() if isinstance(value, torch.Tensor) else value for name, value in vars(layer).items()}
            for layer in (linear, norm)]


def _normed(linear, norm, x, *, gamma=True, beta=True, mean=True, bias=True, std=None):
    """norm(linear(x)) at test time, or with one thing forgotten, or divided by another std."""
    x = x @ linear.weight
    if bias and linear.bias is not None:
        x = x + linear.bias
    std = (norm.running_var + norm.eps).sqrt() if std is None else std
    x = (x - (norm.running_mean if mean else 0)) / std
    return x * (norm.gamma if gamma else 1) + (norm.beta if beta else 0)


def _why_not_folded(out, linear, norm, x):
    """Which of the usual mistakes gives these outputs."""
    def like(**forgotten):
        return torch.allclose(out, _normed(linear, norm, x, **forgotten).double(), atol=1e-5, rtol=1e-5)

    if not out.isfinite().all():
        return "the result is not finite."
    var, eps = norm.running_var, norm.eps
    for forgotten, text in (
            ({"gamma": False}, "the gain is forgotten: gamma multiplies what is standardised."),
            ({"beta": False}, "beta is forgotten: BatchNorm's own bias is added at the end."),
            ({"std": var.sqrt()}, "eps is forgotten: the root is taken of running_var + eps. (A small variance shows "
                                  "it.)"),
            ({"std": var.sqrt() + eps}, "eps stands outside the root: the root is taken of running_var + eps. (A small "
                                        "variance shows it.)"),
            ({"std": (var + 1e-5).sqrt()}, f"eps is taken as 1e-5, but norm.eps is {eps} here."),
            ({"std": var + eps}, "running_var is taken as the std. It is the variance: divide by the root of "
                                 "running_var + eps."),
            ({"std": var}, "running_var is taken as the std. It is the variance: divide by the root of running_var + "
                           "eps."),
            ({"mean": False}, "running_mean is forgotten: it is subtracted before the division."),
            ({"bias": False}, "with a biased Linear it goes wrong: its bias is standardised too, so it belongs into "
                              "the new bias.")):
        if like(**forgotten):
            return text
    centred = (x @ linear.weight) * norm.gamma / (norm.running_var + norm.eps).sqrt()
    rest = out - centred
    if torch.allclose(rest, rest[:1].expand_as(rest), atol=1e-4):
        return ("the weight is right, the bias is not. What becomes of linear.bias, of running_mean and of beta? The "
                "first two are scaled, the third is not.")
    return ("x @ weight + bias is not norm(linear(x)). Write the formula of norm down, put x @ W + b in for its input, "
            "and collect what multiplies x.")


# ----- lecture 4: gradients by hand -----------------------------------------------------------------------------------

def gradient(answer, tensor, loss, name="the gradient"):
    """Hold a gradient that was made by hand against autograd's: that of `loss` with respect to `tensor`.

    Prints a verdict that helps (wrong shape, transposed, right up to a factor, one of two uses forgotten, …). Returns
    True, False, or None if the answer is None, "not tried yet"; never raises. An entry is right if it differs by at
    most 1e-5 of its size, plus what rounding may leave of the sums behind it (some last bits of the largest number in
    them). The graph of `loss` must have been kept (retain_graph=True).
    """
    if answer is None:
        print(f"{name}: not tried yet. Write your answer in place of None, then run it and its check again.")
        return None
    try:
        if _is_own_grad(answer, tensor):
            wrong = "this is the gradient that autograd has computed. Write down how it is made."
        else:
            reference, uses, noise = _traced(tensor, loss)
            wrong = _wrong_gradient(answer, reference, uses, noise)
    except Exception as error:  # whatever an answer may be: a check tells, and never stops a notebook
        told = (str(error).splitlines() or [""])[0]
        wrong = f"your answer could not be used ({type(error).__name__}: {told})."
        if "modified by an inplace operation" in told or "does not depend on this tensor" in told and tensor._version:
            wrong = ("your code has changed a tensor of the forward pass in place, so nothing can be checked any more. "
                     "Change a copy, made by .clone(); then run the forward cell and the cards below it again.")
    shape = f"right, {tuple(tensor.shape)}, equal to autograd's up to rounding."
    print(f"{name}: not yet. {wrong[0].upper()}{wrong[1:]}" if wrong else f"{name}: {shape}")
    return not wrong


def _is_own_grad(answer, tensor):
    """Whether the answer is nothing but tensor.grad."""
    kept = tensor.grad if tensor.is_leaf or tensor.retains_grad else None
    return kept is not None and isinstance(answer, torch.Tensor) and answer.data_ptr() == kept.data_ptr() != 0


_Use = collections.namedtuple("_Use", "share above kind", defaults=(None, ""))
_KINDS = {"Sum": "the sum", "Mul": "the product", "Pow": "the power", "Sub": "the difference", "Max": "the maximum"}
_LOOKUPS = ("Index", "IndexSelect", "Embedding", "Gather")


def _traced(tensor, loss):
    """(d loss / d tensor, the uses of the tensor, how much of the gradient may be rounding).

    A use has `share` (of the gradient: what comes back by it), `above` (the gradient of what it made) and `kind`.
    Goes through autograd's graph node by node: a second backward() would add to the .grad of what keeps its gradient.
    """
    target, slot = torch.autograd.graph.get_gradient_edge(tensor)[:2]
    order, seen, todo = [], set(), [(loss.grad_fn, False)]
    while todo:  # every node after all those that it leads to
        node, left = todo.pop()
        if left:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            todo.append((node, True))
            todo += [(other, False) for other, _ in node.next_functions if other is not None]
    arrived = {loss.grad_fn: {0: torch.ones_like(loss)}}  # node → which of its outputs → the gradient of that
    uses, size, earlier = [], 0.0, {}  # earlier: node → the gradient above all that only hands on what it gets (+ 1e-5)
    for node in reversed(order):
        grads = arrived.pop(node)
        if node is target:
            return grads[slot], uses, 8 * torch.finfo(tensor.dtype).eps * size
        if not node.next_functions:  # a parameter, and not the one that was asked for
            continue
        passed = node(*[grads.get(k) for k in range(len(node._input_metadata))])
        passed = passed if isinstance(passed, tuple) else (passed,)
        for grad, (other, k) in zip(passed, node.next_functions, strict=True):
            if other is None or grad is None:
                continue
            grad = grad.sum_to_size(other._input_metadata[k].shape)  # where it had been broadcast
            above = next(iter(grads.values()))
            earlier[other] = earlier.get(node, above) if grad.equal(above) else above
            if other is target and k == slot:
                uses.append(_Use(grad, earlier[other], node.name().partition("Backward")[0]))
                size = max(size, grad.abs().max().item(),
                           above.abs().max().item() * max(1, above.numel() / tensor.numel()))
            there = arrived.setdefault(other, {})
            there[k] = there[k] + grad if k in there else grad
    raise ValueError("the loss does not depend on this tensor")


def _wrong_gradient(answer, reference, uses=(), noise=0.0):
    """What is wrong with a gradient (None if nothing is), found by trying the usual mistakes on the right one."""
    a, r = torch.as_tensor(answer).detach(), reference.detach().double()
    if not a.is_floating_point():
        return f"these are no real numbers with a point ({a.dtype})."
    a, shape, wanted = a.double(), tuple(a.shape), tuple(r.shape)

    def near(x, y=r):
        return bool(((x - y).abs() <= noise + 1e-5 * y.abs()).all())

    if shape != wanted:
        return _wrong_shape(a, r, near, uses)
    if not a.isfinite().all():
        return "some entries are nan or infinite."
    if near(a):
        return None
    if a.dim() == 2 and shape[0] == shape[1] and near(a.T):
        return "it is transposed: the shape cannot tell, since it is square, but the numbers can."
    if (r.abs() <= noise).all():
        return "the right answer is 0 up to rounding; yours is not. What cancels here?"
    if len(uses) > 1 and any(near(a, use.share.double()) for use in uses):
        return (f"this is the gradient by one use only. On the way forward it is used {len(uses)} times: "
                f"add up what comes back from each.")
    if (a == 0).all():
        return "it is zero everywhere."
    if (len(uses) == 1 and uses[0].above is not None and uses[0].above.shape == a.shape
            and near(a * uses[0].above.double())):
        return "this is the local derivative. Multiply it by what comes from above."
    if len(uses) < 2 and ((a - r).abs() <= noise + 5e-4 * r.abs()).all():
        return ("it is all but equal, though not up to rounding. Is every small constant in its place, such as the "
                "10⁻⁵ of the variance?")
    factor = ((a * r).sum() / (r * r).sum()).item()
    if abs(factor) > 1e-6 and near(a / factor):
        if abs(factor + 1) < 1e-4:
            return "the sign is turned around; all else is right."
        return (f"it is right up to a factor of {factor:.4g}. Is there a mean, an exponent or a scale whose derivative "
                f"is missing{', and a sign' if factor < 0 else ''}?")
    if len(uses) == 2 and (wrong := _wrong_share(a, uses, noise)):
        return wrong
    off = (a - r).abs()
    rows = (off <= noise + 1e-5 * r.abs()).double().flatten(1).mean(1) if a.dim() > 1 else torch.zeros(0)
    if (any(use.kind in _LOOKUPS for use in uses) and ((rows == 1) & (r != 0).flatten(1).any(1)).any()
            and (rows[rows < 1] < 0.5).all()):
        return ("whole rows are right and others are not. Is a row that is used several times overwritten instead of "
                "added?")
    where = [int(i) for i in torch.unravel_index(off.argmax(), off.shape)]
    right = (off <= noise + 1e-5 * r.abs()).double().mean().item()
    share = "nearly all" if right > 0.99 else f"{right:.0%}" if right >= 0.01 else "hardly any" if right else "none"
    return (f"the shape is right, {share} of the entries are. The largest "
            f"difference is {off.max().item():.1e}, at {where}: yours is {a[tuple(where)].item():.3g}, autograd's "
            f"{r[tuple(where)].item():.3g}.")


def _wrong_share(a, uses, noise):
    """Of a tensor that is used twice: which of the two shares is off by what factor (None if that is not it)."""
    first, second = (use.share.double().flatten() for use in uses)
    dots = torch.stack([first, second]) @ torch.stack([first, second, a.flatten()]).T
    if torch.linalg.det(dots[:, :2]) <= 1e-6 * dots[0, 0] * dots[1, 1]:
        return None  # one of them is nothing, or they cannot be told apart
    factors = torch.linalg.solve(dots[:, :2], dots[:, 2])
    fit = factors[0] * first + factors[1] * second
    if not ((a.flatten() - fit).abs() <= noise * max(1.0, factors.abs().max().item()) + 1e-5 * fit.abs()).all():
        return None
    told = []
    for use, factor in zip(uses, factors.tolist(), strict=True):
        what = ("is right" if abs(factor - 1) < 1e-3 else "is missing" if abs(factor) < 1e-3 else
                "has the wrong sign" if abs(factor + 1) < 1e-3 else f"is off by a factor of {factor:.4g}")
        told.append(f"the share that comes by {_KINDS.get(use.kind, 'an operation ' + use.kind)} {what}")
    return f"two shares make it up: {told[0]}, {told[1]}."


def _wrong_shape(a, r, near, uses=()):
    """What is wrong with a gradient whose shape is not that of its tensor."""
    shape, wanted = tuple(a.shape), tuple(r.shape)
    told = f"the shape is {shape} instead of {wanted}: a gradient has the shape of its tensor."
    if shape == wanted[::-1] and len(shape) == 2:
        return f"{told} It is transposed{'; the numbers are right' if near(a.T) else ''}."
    if a.numel() == r.numel() and near(a.reshape(r.shape)):
        if [size for size in shape if size > 1] != [size for size in wanted if size > 1]:
            return f"{told} The numbers are right: view gives them their place."
        if len(shape) > len(wanted):
            return f"{told} The numbers are right: leave keepdim=True out."
        return f"{told} The numbers are right: a sum with keepdim=True keeps the dimension."
    with contextlib.suppress(RuntimeError):
        summed = a.sum_to_size(wanted)
        over = [d for d in range(-a.dim(), 0) if -d > r.dim() or (r.shape[d] == 1 and a.shape[d] > 1)]
        dims = ", ".join(str(d + a.dim()) for d in over)
        return (f"{told} On the way forward it was broadcast: copied. What comes back to the copies is added up: sum "
                f"over dimension {dims}{'' if near(summed) else ' (the numbers would not be right yet)'}.")
    with contextlib.suppress(RuntimeError):
        if near(a.expand(wanted)):
            return f"{told} The numbers are right, but each entry has a gradient of its own: spread them out."
        if len(uses) > 1 and any(near(a.expand(wanted), use.share.double()) for use in uses):
            return (f"{told} And these are the numbers of one use only: spread them out, and add what comes back by "
                    f"the other.")
    return told


_NAMES_4 = ("C", "W1", "b1", "W2", "b2", "bngain", "bnbias")


def _mlp_batchnorm(parameters, X, Y, *, unbiased=True):
    """The lecture's loss: [C, W1, b1, W2, b2, bngain, bnbias], contexts and targets → mean negative log likelihood."""
    C, W1, b1, W2, b2, bngain, bnbias = parameters
    hprebn = C[X].reshape(len(X), -1) @ W1 + b1
    var = hprebn.var(0, keepdim=True, unbiased=unbiased)
    bnraw = (hprebn - hprebn.mean(0, keepdim=True)) * (var + 1e-5) ** -0.5
    return F.cross_entropy(torch.tanh(bngain * bnraw + bnbias) @ W2 + b2, Y)


@_check("E04")
def e04_gradients(function, found):
    """E04 of lecture 4: function(parameters, Xb, Yb) → (loss, [dC, dW1, db1, dW2, db2, dbngain, dbnbias]), no autograd.

    parameters: [C, W1, b1, W2, b2, bngain, bnbias]. Tried on nets and minibatches of three sizes, under no_grad.
    """
    if not callable(function):
        return "the answer must be a function of parameters, Xb and Yb that returns the loss and seven gradients."
    for n, n_embd, n_hidden, context in ((32, 10, 200, 3), (8, 4, 30, 3), (16, 5, 12, 2)):
        g = torch.Generator().manual_seed(n)
        shapes = [(27, n_embd), (context * n_embd, n_hidden), (n_hidden,), (n_hidden, 27), (27,), (1, n_hidden),
                  (1, n_hidden)]
        parameters = [torch.randn(shape, generator=g) * (1 if i == 0 else 0.3) + (i == 5)
                      for i, shape in enumerate(shapes)]
        X, Y = torch.randint(27, (n, context), generator=g), torch.randint(27, (n,), generator=g)
        X[:, -1] = X[0, -1]  # so that a row of C is used many times
        given = [p.clone() for p in parameters]
        exact = [p.double().requires_grad_() for p in parameters]
        loss = _mlp_batchnorm(exact, X, Y)
        reference = torch.autograd.grad(loss, exact)
        with torch.no_grad(), _Calls() as calls:
            answer = function(parameters, X, Y)
        if not isinstance(answer, (tuple, list)) or len(answer) != 2:
            return "it must return two things: the loss, and the list of the seven gradients."
        if not all(p.equal(q) for p, q in zip(parameters, given, strict=True)):
            return "it changes the parameters. Let it return the gradients only; the update comes after it."
        if "backward" in calls.names:
            return "it calls backward(). The point of this one is to do without."
        value, gradients = _number(answer[0]), list(answer[1])
        if len(gradients) != 7 or any(x is None for x in gradients):
            return f"seven gradients are needed, in the order of the parameters: {', '.join(_NAMES_4)}."
        if not abs(value - loss.item()) <= 1e-4:
            biased = _mlp_batchnorm(exact, X, Y, unbiased=False).item()
            if abs(value - biased) < 1e-4:
                return (f"with {n} examples the loss is {value:.4f} instead of {loss.item():.4f}: the variance is "
                        f"divided by n. The lecture divides by n − 1.")
            if abs(value - n * loss.item()) < 1e-2:
                return "the loss is the sum over the examples. Take the mean."
            return f"with {n} examples the loss is {value:.4f} instead of {loss.item():.4f}."
        largest = max(r.abs().max().item() for r in reference)
        made = dict(zip(_NAMES_4, zip(gradients, reference, strict=True), strict=True))
        for name in ("b2", "W2", "bngain", "bnbias", "b1", "W1", "C"):  # as they are found, from the loss backwards
            x, r = made[name]
            uses = [_Use(r, kind="Index")] if name == "C" else []
            if wrong := _wrong_gradient(x, r, uses, noise=1e-5 * r.abs().max().item() + 1e-6 * largest):
                more = (" (index_add_ adds, C[X] += … does not.) All the others are right." if "whole rows" in wrong
                        else " All the others are right." if name == "C" else "")
                return f"with {n} examples, d{name} is the first that is wrong, counted from the loss: {wrong}{more}"
    found.append("The loss and all seven gradients, for three sizes of net and minibatch.")


# ----- lecture 5: WaveNet ---------------------------------------------------------------------------------------------

@_check("E01")
def e01_beat(answer, words, found):
    """E01 of lecture 5: answer = (logits, context, dev_loss). logits(X): int64 (n, context) → (n, 27). Dev below 1.993.

    Scored on all of dev and test of split_words(words), and on 4,000 names of train. dev_loss: what the reader quotes.
    """
    if not isinstance(answer, tuple) or len(answer) != 3:
        return "the answer must be three things: (logits_mine, context_mine, dev_loss_mine)."
    logits_of, context, quoted = answer
    if not callable(logits_of):
        return "logits_mine must be a function: contexts (n, context_mine) go in, logits (n, 27) come out."
    if isinstance(context, bool) or not isinstance(context, int) or not 1 <= context <= 64:
        return f"context_mine is {context!r}; it must be a whole number from 1 to 64: how many characters the net sees."
    losses, wrong = _judge(logits_of, words, context, n_train=4000)
    if wrong:
        return wrong
    if wrong := _wrong_dev_loss(quoted, losses, words, below=1.993, least_gap=0.01):
        return wrong
    found.append(f"Dev {losses['dev']:.4f}, 4,000 names of train {losses['train']:.4f}; with {context} characters.")


def _tree_size(factors, n_hidden, n_embd=10, side=27):
    """Parameters of lecture 5's tree: table, each level's Linear (no bias) and batch norm, last Linear."""
    total, fan_in = side * n_embd, n_embd
    for n in factors:
        total, fan_in = total + fan_in * n * n_hidden + 2 * n_hidden, n_hidden
    return total + fan_in * side + side


@_check("E02")
def e02_factors(answer, found):
    """E02 of lecture 5: answer = (factors, hidden, parameters), a tree of eight characters as large as the lecture's.

    factors: whole numbers above 1 with the product 8, neither (2, 2, 2) nor (8,). hidden: neurons of each level, so
    that the tree has within 1% of 22,397 parameters (n_embd 10, 27 characters). parameters: how many it has.
    """
    if not isinstance(answer, tuple) or len(answer) != 3:
        return "the answer must be three things: (factors_mine, hidden_mine, parameters_mine)."
    factors, hidden, parameters = answer
    if not isinstance(factors, (tuple, list)) or not factors:
        return f"factors_mine is {factors!r}; it must be a list of whole numbers, such as (2, 2, 2)."
    for n in (*factors, hidden, parameters):
        if isinstance(n, bool) or not isinstance(n, int) or n < 1:
            return f"{n!r} is no whole number above 0, and factors, neurons and parameters all are."
    factors = tuple(factors)
    if 1 in factors:
        return f"the factors {factors} have a 1: that level joins nothing."
    if math.prod(factors) != 8:
        return (f"the factors {factors} multiply to {math.prod(factors)}. To join eight characters, no more and no "
                f"less, their product must be 8.")
    if factors in ((2, 2, 2), (8,)):
        return f"{factors} is in the log already: the {'tree' if len(factors) == 3 else 'flat net'}. Find another one."
    right = _tree_size(factors, hidden)
    if parameters != right:
        levels = len(factors)
        why = {right - 2 * hidden * levels: " The gains and biases of the batch norms are missing, two a neuron.",
               right - hidden * levels: " Each batch norm has two numbers for each neuron, a gain and a bias.",
               right + hidden * levels: " The Linear layers in front of a batch norm have no bias.",
               right - 270: " The table of embeddings is missing: 27 rows of 10 numbers.",
               right - 27: " The bias of the last layer is missing."}.get(parameters, "")
        return (f"with the factors {factors} and {hidden} neurons the tree has {right:,} parameters, not "
                f"{parameters:,}.{why}")
    if abs(right - 22_397) > 224:
        return (f"{right:,} parameters are {abs(right / 22_397 - 1):.0%} {'more' if right > 22_397 else 'less'} than "
                f"22,397. Then nobody can tell the order from the size. Take {'fewer' if right > 22_397 else 'more'} "
                f"neurons.")
    found.append(f"Factors {factors}, {hidden} neurons: {right:,} parameters, {right - 22_397:+,} against the tree.")


def _sees_the_future(pair):
    """Whether a place of pair(x, d), two tensors like x (B, T, C), depends on what comes after it."""
    g = torch.Generator().manual_seed(1)
    for d in (1, 2, 4):
        x = torch.randn((1, 9, 3), generator=g)
        before = [y.clone() for y in pair(x.clone(), d)]
        for t in range(1, 9):
            changed = x.clone()
            changed[:, t] += 1
            if any(not torch.equal(y[:, :t], z[:, :t]) for y, z in zip(before, pair(changed, d), strict=True)):
                return True
    return False


@_check("E03")
def e03_causal(answer, suspects, found):
    """E03 of lecture 5: answer = (leaks, earlier). leaks: the names of the suspects that let the future in (a set).

    suspects: dict of name → function (x, d) → (earlier, now). earlier(x, d): x (B, T, C) as it was d places earlier,
    zeros where there was nothing, in the same shape.
    """
    if not isinstance(answer, tuple) or len(answer) != 2:
        return "the answer must be two things: (leaks_mine, earlier_mine)."
    leaks, earlier = answer
    leaks = {leaks} if isinstance(leaks, str) else {getattr(name, "__name__", name) for name in leaks}
    if unknown := leaks - suspects.keys():
        return f"there is no suspect {unknown.pop()!r}; there are {', '.join(suspects)}."
    if not callable(earlier):
        return "earlier_mine must be a function: earlier_mine(x, d) returns x as it was d places earlier."
    g = torch.Generator().manual_seed(2)
    for shape, d in (((2, 7, 3), 1), ((2, 7, 3), 2), ((3, 5, 2), 4), ((1, 4, 4), 4), ((1, 3, 2), 5)):
        x = torch.randn(shape, generator=g)
        given, right = x.clone(), torch.cat([torch.zeros_like(x)[:, :d], x], 1)[:, :shape[1]]
        if d > shape[1]:
            right = torch.zeros_like(x)
        y = earlier(x, d)
        if not isinstance(y, torch.Tensor):
            return f"earlier_mine returns a {type(y).__name__}, not a tensor."
        if not x.equal(given):
            return "earlier_mine changes x itself. Return a new tensor, and leave x as it is."
        case = f"for x of shape {shape} and d = {d}"
        if y.shape != x.shape:
            return (f"{case} the shape is {tuple(y.shape)}; it must stay what it is: fill up d places in front, and "
                    f"cut as many off the end. (F.pad counts its pairs from the last dimension on.)")
        if torch.equal(y, right):
            continue
        ahead = torch.cat([x, torch.zeros_like(x)[:, :d]], 1)[:, -shape[1]:]
        if torch.equal(y, ahead):
            return f"{case} it is x as it will be d places LATER: the future. Fill up in front, and cut at the end."
        if torch.equal(y, torch.roll(x, d, 1)):
            return f"{case} the last places come back at the front: the future. Put zeros there."
        if torch.equal(y, x):
            return f"{case} it is x itself, not moved at all."
        if torch.equal(y[:, d:], right[:, d:]):
            return f"{case} the first {d} places, before which there is nothing, must be zeros."
        return f"{case} the values are not those of d places earlier."
    truth = {name for name, pair in suspects.items() if _sees_the_future(pair)}
    if wrongly := leaks - truth:
        return (f"{wrongly.pop()!r} does not see the future: in its picture nothing lies to the right of the dashed "
                f"line.")
    if missed := truth - leaks:
        return (f"{len(missed)} more let{'s' * (len(missed) == 1)} the future in. Look at the picture of each suspect, "
                f"up to its corners.")
    found.append(f"The future gets in with {' and '.join(sorted(truth)) or 'none'}; your own function keeps it out.")
