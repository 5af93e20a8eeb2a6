"""The checks of lecture 1, bigrams."""

import collections
import itertools
import math

import torch
import torch.nn.functional as F

from mmutils.data import build_dataset, build_vocabulary, is_lecture_list, split_words
from mmutils.exercises.verdict import SLACK, Calls, Wrong, as_tensor, check, number, recognised, usual_losses


def _counts(words, stoi, context):
    """How often each character stands behind each `context` others, as many '.' in front: int64 (V, …, V)."""
    X, Y = build_dataset(words, stoi, context)
    side, code = len(stoi), 0
    for column in (*X.T, Y):
        code = code * side + column
    return torch.bincount(code, minlength=side ** (context + 1)).view((side,) * (context + 1))


def _loss(P, n):
    """Loss of the probabilities P, or of counts that are not divided yet, on counts n: nats a character."""
    P = P.double()
    return -torch.xlogy(n, P / P.sum(-1, keepdim=True).clamp(min=1e-300)).sum().item() / n.sum().item()


def _ask_probabilities(P):
    """Raise Wrong if P[i, j] are not the probabilities of the next character."""
    def near_one(sums):
        return torch.allclose(sums, torch.ones_like(sums), atol=1e-3)

    if not P.is_floating_point():
        raise Wrong(f"these are whole numbers ({P.dtype}): counts, not probabilities. Divide every row by its sum.")
    if P.isnan().any():
        raise Wrong("some entries are nan: 0 / 0, the rows of contexts that never occur. Add fake counts first.")
    if (P < 0).any():
        raise Wrong("some probabilities are negative. " + (
            "These are their logarithms: take exp." if near_one(P.exp().sum(2)) else
            "Are these logits, or logarithms? A softmax over the last axis makes probabilities of logits."))
    sums, how = P.sum(2), "P[i, j] must be the distribution of the next character, so P.sum(2) must be 1 everywhere."
    if near_one(sums):
        return
    empty = sums.abs() < 1e-6
    if empty.any() and near_one(sums[~empty]) and not empty.all():
        raise Wrong(f"{empty.sum()} rows sum to 0: contexts that were never seen. Smooth them: add fake counts first.")
    for other in (0, 1):
        if near_one(P.sum(other)):
            raise Wrong(f"it is normalised over the wrong axis: the sums over dim {other} are 1, those over dim 2 are "
                        f"not. {how} A sum without keepdim=True, or over another dim, does that without an error.")
    if abs(P.sum().item() - 1) < 1e-3:
        raise Wrong(f"all entries together sum to 1, but each row of its own must. {how}")
    raise Wrong(f"the sums over dim 2 must all be 1, but go from {sums.min():.4f} to {sums.max():.4f}. {how}")


@check("E01", "P3")
def e01_trigram(P, words, found):
    """E01 of lecture 1: P[i, j, k], the probability of k after i and then j on `words`; (27, 27, 27) or (729, 27)."""
    stoi, _ = build_vocabulary(words)
    side = len(stoi)
    P = as_tensor(P)
    if P.shape == (side * side, side):
        P = P.reshape(side, side, side)
    if P.shape == (2 * side, side):
        return (f"shape {tuple(P.shape)} is the weights of a net on two one-hots. Turn them into the table of "
                f"probabilities it predicts: ({side}, {side}, {side}).")
    if P.shape != (side, side, side):
        return f"the shape is {tuple(P.shape)}, but ({side}, {side}, {side}) is needed: two characters, then the next."
    _ask_probabilities(P)
    n = _counts(words, stoi, 2)
    # a model that learned the first letters puts them near their frequencies; one padded with one '.' never saw them
    if (P[0, 0].double() - n[0, 0].double() / n[0, 0].sum()).abs().sum() > 0.5:
        return (f"the row for '..' says nothing about first letters. With one '.' in front of a name its first letter "
                f"is never predicted: {n.sum() - len(words):,} targets instead of {n.sum():,}, and the loss of 2.09 or "
                f"so is not comparable with the bigram's. Put two dots in front: '.' * 2 + name + '.'.")
    loss, floor, bigram, counted = _loss(P, n), _loss(n, n), _loss(n.sum(0), n.sum(0)), _loss(n + 1, n)
    if torch.allclose(P, P[:1].expand_as(P), atol=1e-6):
        return (f"P3[i, j] does not depend on i: this is a bigram model, which sees j alone. Its loss cannot go below "
                f"{bigram:.4f}. Count what follows each pair of characters.")
    if _loss(P.transpose(0, 1), n) < min(loss, bigram):
        return "the two characters of context are swapped: P[i, j] is what follows i and then j."
    if loss == math.inf:
        return "some trigrams of the list have probability 0: the loss is infinite. Count them all, add fake counts."
    if loss < floor - SLACK:
        return f"loss {loss:.4f} on the list is below {floor:.4f}, which no model of two characters can reach."
    if loss > bigram - SLACK:
        return (f"loss {loss:.4f} on the list, while one character of context already reaches {bigram:.4f}. "
                f"Smooth less, or train longer. (An additive net on two one-hots stays near 2.3: a row of its own "
                f"for each pair of characters does better.)")
    found.append(f"Loss {loss:.4f} on the list's {n.sum():,} targets; the bigram's best is {bigram:.4f}, the floor for "
                 f"two characters {floor:.4f}.")
    if loss > counted + 0.05:
        found.append(f"Counts with a fake count of 1 come to {counted:.4f}, so there is more to be had. Train longer, "
                     f"and give each pair of characters its own row. Two one-hot vectors side by side only add up.")


@check("E02", "train_mine", "dev_mine", "test_mine", "N_mine")
def e02_split(train, dev, test, N, words, found):
    """E02 of lecture 1: answer = (train, dev, test, N), three lists of names and the bigram counts N of train."""
    parts = {"train": list(train), "dev": list(dev), "test": list(test)}
    stoi, _ = build_vocabulary(words)
    items, side = [x for part in parts.values() for x in part], len(stoi)
    if not all(isinstance(x, str) and "." not in x for x in items) or len(items) > 2 * len(words):
        return (f"these are pairs, not names: {len(items):,} items, and the list has {len(words):,} names. Split the "
                f"names: with pairs of one name in train and dev, dev is no test of new names.")
    have, must = collections.Counter(items), collections.Counter(words)
    if have != must:
        return (f"the three parts together must be the list, every name as often as it stands there: they have "
                f"{len(items):,} names, the list has {len(words):,}; {(must - have).total():,} of it are missing, and "
                f"{(have - must).total():,} are too many. Cut all three parts from one shuffled copy.")
    for (name, part), share in zip(parts.items(), (0.8, 0.1, 0.1), strict=True):
        if abs(len(part) / len(items) - share) > 0.005:
            return f"{name} has {len(part) / len(items):.1%} of the names; {share:.0%} were asked for."
    for order in itertools.permutations(parts.values()):
        if sum(order, []) in (list(words), sorted(words)):
            return ("the parts are the list cut in order, and its order has a meaning: the girls' names come first, so "
                    "dev and test would hold boys' names only; or they are cut by the alphabet. Shuffle a copy first.")
    if isinstance(N, dict):
        return f"N_mine is a dict. Put its counts into a table, ({side}, {side}): N[i, j] for j after i."
    N = as_tensor(N)
    if N.shape != (side, side):
        return f"N has the shape {tuple(N.shape)}; bigram counts are ({side}, {side})."
    n = {name: _counts(part, stoi, 1) for name, part in parts.items()}
    right, whole = n["train"], sum(n.values())
    if not N.equal(right.to(N.dtype)):
        told = "N is not the bigram counts of train: "
        return recognised(lambda other: N.equal(other.to(N.dtype)), {
            "N counts the whole list, so the names of dev and test were trained on too. Count train only.": whole,
            "N counts dev too. Count train only.": whole - n["test"],
            told + "it is transposed. N[i, j] counts j after i.": right.T,
            told + "fake counts are in it already. Add them when you divide.": right + 1,
        }) or f"{told}it sums to {N.sum():,}, train has {right.sum():,} pairs (the end of each name included)."
    pages = split_words(words)
    if [parts[name] for name in parts] == list(pages):
        return "these are the page's own lists. Shuffle a copy with a seed of your own, and cut that."
    page = dict(zip(parts, (_counts(part, stoi, 1) for part in pages), strict=True))
    for who, counts in (("With a fake count of 1", n), ("The page's split gives", page)):
        found.append(f"{who}: " + ", ".join(f"{name} {_loss(counts['train'] + 1, x):.4f}"
                                            for name, x in counts.items()) + ".")


@check("E03", "dev_losses", "best_count", "test_loss")
def e03_smoothing(dev_losses, best, test_loss, words, found):
    """E03 of lecture 1: answer = (dev_losses, best, test_loss) of trigram counts, on the split of split_words(words).

    dev_losses: dict of fake count → loss on dev, at least three. best: the one chosen. test_loss: the loss on test.
    """
    if not isinstance(dev_losses, dict) or len(dev_losses) < 3:
        return "dev_losses must be a dict of fake count → dev loss, with at least three fake counts to choose from."
    if isinstance(test_loss, (dict, list, tuple)):
        return "test_loss must be one number: the test set is scored once, after the choice is made."
    stoi, _ = build_vocabulary(words)
    train, dev, test = (_counts(part, stoi, 2) for part in split_words(words))

    def same(x, y):  # without smoothing both are inf or nan
        return abs(x - y) < SLACK or not (math.isfinite(x) or math.isfinite(y))

    given, right = {c: number(loss) for c, loss in dev_losses.items()}, {c: _loss(train + c, dev) for c in dev_losses}
    finite, on_test = [c for c in given if math.isfinite(given[c])], {c: _loss(train + c, test) for c in given}
    if len(finite) < 2:
        return "at least two of the dev losses must be finite, to choose from: try more fake counts above 0."
    for c in given:
        if not same(given[c], right[c]):
            return recognised(given[c], {
                "these are losses on test: the smoothing was chosen on test. Compare on dev; score test once, at the "
                "end, else nothing is left to tell how good the choice is.": on_test[c],
                "these are losses on the train names, where the smallest smoothing always looks best. Compare on dev.":
                    _loss(train + c, train),
                "the counts come from the whole list, dev included. Count the train names only.":
                    _loss(train + dev + test + c, dev),
                "the counts come from train and dev. Count the train names only.": _loss(train + dev + c, dev),
                "these are losses of bigrams. Two characters of context were asked for.":
                    _loss(train.sum(0) + c, dev.sum(0))} | usual_losses(right[c], dev.sum().item())
            ) or (f"with a fake count of {c} your dev loss is {given[c]:.4f}; counts of the train names give "
                  f"{right[c]:.4f}. Take split_words(words), two dots in front of each name, all of dev's characters.")
    lowest = min(finite, key=given.get)
    if best != lowest:
        extra = (" It is the best one on test: do not choose there." if best == min(finite, key=on_test.get) else
                 " That is the loss. Which fake count has it?" if abs(number(best) - given[lowest]) < SLACK else "")
        return f"the lowest dev loss, {given[lowest]:.4f}, belongs to {lowest}, but you chose {best}.{extra}"
    test_loss = number(test_loss)
    if not abs(test_loss - on_test[best]) <= SLACK:
        usual = {
            "test_loss is the dev loss again. Score the test names with the chosen fake count.": given[best],
            "test_loss has dev among its counts. Count the train names only.": _loss(train + dev + best, test)} | {
            f"test_loss is that of a fake count of {c}, and you chose {best}.": loss for c, loss in on_test.items()}
        nearest = min(usual, key=lambda text: abs(usual[text] - test_loss))  # two of these may lie close together
        return (recognised(test_loss, {nearest: usual[nearest]})
                or f"test_loss is {test_loss:.4f}, but with a fake count of {best} test has {on_test[best]:.4f}.")
    found.append(f"Fake count {best}: dev {given[best]:.4f}, test {test_loss:.4f}.")
    for end, other in ((min, "smaller"), (max, "larger")):
        if best == end(finite):
            found.append(f"It is the {other[:-1]}st that you tried, so a {other} one may be better: try.")


@check("E04", "logits_mine(W, xs) → the logits")
def e04_index(function, found):
    """E04 of lecture 1: function(W, xs) → logits, as one_hot(xs) @ W, without making a one-hot vector."""
    g = torch.Generator().manual_seed(1)
    W = torch.randn((27, 27), generator=g).requires_grad_()
    xs = torch.randint(27, (50,), generator=g)
    with Calls() as calls:
        logits = function(W, xs)
    if not isinstance(logits, torch.Tensor):
        return f"it returns a {type(logits).__name__}, not a tensor."
    right, given = W[xs].detach(), logits.detach().to(W.dtype)
    if given.shape == right.T.shape and given.allclose(W[:, xs]):
        return f"it picks columns of W: the shape is {tuple(logits.shape)}. An example's logits are a row: W[xs]."
    if given.shape != right.shape:
        return f"for xs of shape (50,) it returns the shape {tuple(logits.shape)} instead of (50, 27)."
    if any(given.allclose(other) for other in (right.exp(), right.softmax(1), right.log_softmax(1))):
        return "it returns counts, probabilities or their logarithms. Return the logits, before exp."
    if not given.allclose(right):
        return "the shape is right, the values are not: row i must be the row of W that belongs to xs[i]."
    if calls.names & {"one_hot", "eye", "matmul", "__matmul__", "mm", "bmm", "tensordot", "einsum", "linear"}:
        return "the values are right, but they were still made with one-hot vectors or a matrix product. Index W."
    if logits.requires_grad:
        logits.sum().backward()
    if W.grad is None:
        return "no gradient flows back to W. Do not detach it, and make no copy with torch.tensor."
    found.append("The same logits and gradients as one_hot(xs) @ W, without 27 numbers an example of which 26 are 0.")


@check("E05", "loss_mine(W, xs, ys) → the loss")
def e05_cross_entropy(function, found):
    """E05 of lecture 1: function(W, xs, ys) → the mean negative log likelihood by F.cross_entropy, and only that."""
    def loss_of(W, xs, ys):
        with Calls() as calls:
            try:
                return torch.as_tensor(function(W, xs, ys))
            except (RuntimeError, ValueError, IndexError, TypeError) as error:
                if "cross_entropy" not in calls.names:
                    raise
                raise Wrong(f"F.cross_entropy could not use what it got. It takes first the logits, (n, 27), then the "
                            f"indices ys, (n,), as whole numbers. ({str(error).splitlines()[0]})") from None

    g = torch.Generator().manual_seed(2)
    W = torch.randn((27, 27), generator=g).requires_grad_()
    xs, ys = torch.randint(27, (2, 200), generator=g)
    given, logits = loss_of(W, xs, ys), W.detach()[xs]
    if given.shape != ():
        return f"it returns the shape {tuple(given.shape)}; a loss is one number, the mean over the examples."
    loss, right = given.item(), F.cross_entropy(logits, ys).item()
    if not abs(loss - right) < 1e-4:
        if why := recognised(loss, usual_losses(right, len(xs)) | {
                "this is the mean over all entries of a table, zeros too. Take the mean over the examples.": right / 27,
                "F.cross_entropy takes logits: it does the softmax itself. Here it got probabilities.":
                    F.cross_entropy(logits.softmax(1), ys).item(),
                "F.nll_loss takes log-probabilities, and here it got logits. F.cross_entropy does both steps.":
                    F.nll_loss(logits, ys).item(),
                "inputs and targets are swapped: the logits are those of xs, the targets ys.":
                    F.cross_entropy(W.detach()[ys], xs).item(),
                "these are the columns of W. The logits of an example are a row: W[xs].":
                    F.cross_entropy(W.detach().T[xs], ys).item()}, 1e-4):
            return why
        extra, at_zero = loss - right, loss_of(torch.zeros(27, 27), xs, ys).item()
        # a penalty depends on W alone: other examples must give the same one
        others = loss_of(W.detach(), ys, xs).item() - F.cross_entropy(W.detach()[ys], xs).item()
        if extra > 0 and abs(at_zero - math.log(27)) < 1e-4 and abs(others - extra) < 1e-4:
            return (f"it is {extra:.4f} too high: the penalty is inside (about {extra / (W**2).mean().item():.3g} "
                    f"times the mean of W²). Train on it if you like, but report the loss alone: only that compares.")
        return f"it gives {loss:.4f} where the mean negative log likelihood is {right:.4f}."
    large, right = loss_of(1000 * W.detach(), xs, ys).item(), F.cross_entropy(1000 * logits, ys).item()
    if not abs(large - right) < 1e-3 * right:
        why = "something added to p hides it" if math.isfinite(large) else "exp of a large number overflows"
        return (f"for large logits it gives {large:.4g} instead of {right:.4g}: {why}. F.cross_entropy(logits, ys) "
                f"takes the largest logit away first.")
    if not given.requires_grad:
        return "no gradient flows back to W: return the tensor, not loss.item()."
    found.append("The loss alone, in nats per character, and finite for logits in the thousands.")


@check("E06", "probs_mine(context) → the probabilities of the character after 'emm' or any other context")
def e06_own_model(probs, words, found):
    """E06 of lecture 1: probs(context) → 27 probabilities, from the letters so far (str); scored on dev."""
    stoi, itos = build_vocabulary(words)
    side, (train, dev, _) = len(stoi), split_words(words)
    seen, in_train, losses, last = {}, set(train), {True: [], False: []}, 0.0
    made_up = ["".join(itos[1 + (i * k + k) % (side - 1)] for i in range(4)) for k in range(1, side)]
    for i, word in enumerate(dev + made_up):
        for k, ch in enumerate(word + "."):
            context = word[:k]
            if context not in seen:
                try:
                    p = probs(context)
                except Exception as error:
                    return f"probs_mine({context!r}) could not be used ({type(error).__name__}: {error})."
                p = as_tensor(p).double()
                if p.shape != (side,):
                    return f"probs_mine({context!r}) has the shape {tuple(p.shape)}; ({side},) is needed, '.' first."
                if p.isnan().any() or (p < 0).any() or abs(p.sum().item() - 1) > 1e-3:
                    extra = " Are these logits, or logarithms? Some are negative." if (p < 0).any() else ""
                    return f"probs_mine({context!r}) is no distribution: its sum is {p.sum().item():.4f}, not 1.{extra}"
                seen[context] = p.tolist()
            p = seen[context]
            if min(p) == 0:
                return (f"after {context!r} it gives {itos[p.index(0)]!r} the probability 0. Leave something for what "
                        f"was never seen.")
            if i >= len(dev):
                continue
            losses[word in in_train].append(-math.log(p[stoi[ch]]))
            last -= math.log(max(p[stoi[ch] - 1], 1e-9))  # if '.' stood last in it
    new, every = losses[False], losses[True] + losses[False]
    mean, mean_new = sum(every) / len(every), sum(new) / len(new)
    if mean > math.log(side) - SLACK:
        extra = " The order is another: '.' comes first, then the letters." if last / len(every) < mean - 0.5 else ""
        return f"dev loss {mean:.4f} is no better than a uniform guess, {math.log(side):.4f}.{extra}"
    # the best that is known on names that are not in train is 1.93 or so; a table of dev itself reaches far less
    if mean_new < (1.85 if is_lecture_list(words) else 1.5):
        return (f"dev loss {mean:.4f}, and {mean_new:.4f} on the dev names that train does not have. No model of "
                f"letters knows that much about new names. Did you count dev, too? Learn from train only.")
    # counts give first letters their shares; those of train differ from those of the list by chance, but they do
    def first_letters(shares):
        return (shares[1:] / shares[1:].sum()).sqrt()

    start = first_letters(torch.tensor(seen[""], dtype=torch.float64))
    far = {name: (start - first_letters(_counts(part, stoi, 1)[0].double())).square().sum().item() for name, part in
           {"train": train, "train and dev": train + dev, "the whole list": words}.items()}
    nearest = min(far, key=far.get)
    if far[nearest] < 0.1 * far["train"]:
        return (f"the probabilities of first letters are the shares in {nearest}, not those in train. Did you count "
                f"dev, too? Learn from split_words(words)[0] only.")
    found.append(f"Dev loss {mean:.4f} over {len(every):,} characters (standard error about 0.01); on the names that "
                 f"train does not have, {mean_new:.4f}.")
    if mean < 2.1 and losses[True] and mean_new - sum(losses[True]) / len(losses[True]) < 0.1:
        found.append("Names that train has cost hardly less. A net that has learned rules may do that; from a table "
                     "one would ask: did you count dev, too?")
    elif mean < 1.9:
        found.append("That is lower than anything we know of: did you learn from dev, too?")
