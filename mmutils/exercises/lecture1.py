"""The checks of lecture 1, bigrams."""

import collections
import math

import torch
import torch.nn.functional as F

from mmutils.data import build_dataset, build_vocabulary, split_words
from mmutils.exercises.verdict import SLACK, Calls, check, number


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


@check("E01")
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


@check("E02")
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


@check("E03")
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

    given = {c: number(loss) for c, loss in dev_losses.items()}
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
    test_loss = number(test_loss)
    if not abs(test_loss - ours["test"][best]) <= SLACK:
        if abs(test_loss - given[best]) < SLACK:
            return "test_loss is the dev loss again. Score the test names with the chosen fake count."
        return (f"test_loss is {test_loss:.4f}, but with a fake count of {best} test has "
                f"{ours['test'][best]:.4f}.")
    found.append(f"Fake count {best}: dev {given[best]:.4f}, test {test_loss:.4f}.")


@check("E04")
def e04_index(function, found):
    """E04 of lecture 1: function(W, xs) → logits, as one_hot(xs) @ W, without making a one-hot vector."""
    if not callable(function):
        return "the answer must be a function of W and xs that returns the logits."
    g = torch.Generator().manual_seed(1)
    W = torch.randn((27, 27), generator=g).requires_grad_()
    xs = torch.randint(27, (50,), generator=g)
    with Calls() as calls:
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


@check("E05")
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


@check("E06")
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
