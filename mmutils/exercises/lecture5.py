"""The checks of lecture 5, WaveNet."""

import math
import operator

import torch

from mmutils.exercises.verdict import ask_loss, check, losses_of, recognised


def _whole(x):
    """x as int if it is a whole number of any kind, else None."""
    return operator.index(x) if hasattr(x, "__index__") and not isinstance(x, bool) else None


@check("E01", "logits_mine(X), from contexts (n, context_mine) to logits (n, 27)", "context_mine", "dev_loss_mine")
def e01_beat(logits_of, context, quoted, words, found):
    """E01 of lecture 5: answer = (logits, context, dev_loss), dev below 1.993. Of train, 4,000 names are scored."""
    if not 1 <= (_whole(context) or 0) <= 64:
        return f"context_mine is {context!r}; it must be a whole number from 1 to 64: how many characters the net sees."
    losses = losses_of(logits_of, words, _whole(context), n_train=4000)
    ask_loss(quoted, losses, words, below=1.993, least_gap=0.01)
    found.append(f"Dev {losses['dev']:.4f}, 4,000 names of train {losses['train']:.4f}; with {context} characters.")


def _tree_size(factors, n_hidden, n_embd=10, side=27):
    """Parameters of lecture 5's tree: table, each level's Linear (no bias) and batch norm, last Linear."""
    fan_ins = [n_embd, *[n_hidden] * (len(factors) - 1)]
    levels = sum(fan_in * n * n_hidden + 2 * n_hidden for fan_in, n in zip(fan_ins, factors, strict=True))
    return side * n_embd + levels + n_hidden * side + side


@check("E02", "factors_mine", "hidden_mine", "parameters_mine")
def e02_factors(factors, hidden, parameters, found):
    """E02 of lecture 5: answer = (factors, hidden, parameters), a tree of eight characters as large as the lecture's.

    factors: neither (2, 2, 2) nor (8,). hidden: neurons of each level, so that 22,397 parameters are met within 1%.
    """
    if not isinstance(factors, (tuple, list)) or not factors:
        return f"factors_mine is {factors!r}; it must be a list of whole numbers, such as (2, 2, 2)."
    for n in (*factors, hidden, parameters):
        if (_whole(n) or 0) < 1:
            return f"{n!r} is no whole number above 0, and factors, neurons and parameters all are."
    factors, hidden, parameters = tuple(map(_whole, factors)), _whole(hidden), _whole(parameters)
    if 1 in factors:
        return f"the factors {factors} have a 1: that level joins nothing."
    if math.prod(factors) != 8:
        return f"the factors {factors} multiply to {math.prod(factors)}. To join eight characters it must be 8."
    if factors in ((2, 2, 2), (8,)):
        return f"{factors} is in the log already: the {'tree' if len(factors) == 3 else 'flat net'}. Find another one."
    right, each = _tree_size(factors, hidden), hidden * len(factors)
    if parameters != right:
        why = recognised(lambda off: parameters == right + off, {
            " The gains and biases of the batch norms are missing, two a neuron.": -2 * each,
            " Each batch norm has two numbers for each neuron, a gain and a bias.": -each,
            " The Linear layers in front of a batch norm have no bias.": each,
            " The running mean and variance of a batch norm are no parameters: no gradient trains them.": 2 * each,
            " The table of embeddings is missing: 27 rows of 10 numbers.": -270,
            " The bias of the last layer is missing.": -27,
            " The last layer is missing.": -27 * hidden - 27}) or ""
        return f"with {factors} and {hidden} neurons the tree has {right:,} parameters, not {parameters:,}.{why}"
    if abs(right - 22_397) > 224:
        more, fewer = ("more", "fewer") if right > 22_397 else ("less", "more")
        return (f"{right:,} parameters are {abs(right / 22_397 - 1):.0%} {more} than 22,397. Then nobody can tell the "
                f"order from the size. Take {fewer} neurons.")
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


def _earlier(x, d):
    """x (B, T, C) as it was d places earlier, zeros where there was nothing; later for a negative d."""
    y = torch.zeros_like(x)
    if 0 <= d < x.shape[1]:
        y[:, d:] = x[:, :x.shape[1] - d]
    return y if d >= 0 else _earlier(x.flip(1), -d).flip(1)


@check("E03", "leaks_mine", "earlier_mine(x, d) returns x as it was d places earlier")
def e03_causal(leaks, earlier, suspects, found):
    """E03 of lecture 5: answer = (leaks, earlier), the names of the suspects that let the future in, and _earlier().

    suspects: dict of name → function (x, d) → (earlier, now).
    """
    leaks = {leaks} if isinstance(leaks, str) else {getattr(name, "__name__", name) for name in leaks}
    if unknown := leaks - suspects.keys():
        return f"there is no suspect {unknown.pop()!r}; there are {', '.join(suspects)}."
    g = torch.Generator().manual_seed(2)
    for shape, d in (((2, 7, 3), 1), ((2, 7, 3), 2), ((3, 5, 2), 4), ((1, 4, 4), 4), ((1, 3, 2), 5)):
        x = torch.randn(shape, generator=g)
        given, right, y = x.clone(), _earlier(x, d), earlier(x, d)
        if not isinstance(y, torch.Tensor):
            return f"earlier_mine returns a {type(y).__name__}, not a tensor."
        if not x.equal(given):
            return "earlier_mine changes x itself. Return a new tensor, and leave x as it is."
        case = f"for x of shape {shape} and d = {d}"
        if y.shape != x.shape:
            return (f"{case} the shape is {tuple(y.shape)}; it must stay what it is: fill up d places in front, and "
                    f"cut as many off the end. (F.pad counts its pairs from the last dimension on.)")
        y = y.to(x.dtype)
        if not y.equal(right):
            return f"{case} " + (recognised(y.equal, {
                "it is x as it will be d places LATER: the future. Fill up in front, and cut at the end.":
                    _earlier(x, -d),
                "the last places come back at the front: the future. Put zeros there.": torch.roll(x, d, 1),
                "it is x rolled the wrong way, and what falls out in front comes back at the end.":
                    torch.roll(x, -d, 1),
                "it is x itself, not moved at all.": x,
                "the channels are moved, not the places: time is dimension 1.": _earlier(x.mT, d).mT,
            }) or (f"the first {d} places, before which there is nothing, must be zeros."
                   if y[:, d:].equal(right[:, d:]) else "the values are not those of d places earlier."))
    truth = {name for name, pair in suspects.items() if _sees_the_future(pair)}
    if wrongly := leaks - truth:
        return f"{wrongly.pop()!r} does not see the future: its picture has nothing to the right of the dashed line."
    if missed := truth - leaks:
        return f"{len(missed)} more let{'s' * (len(missed) == 1)} the future in. Look at each picture's corners too."
    found.append(f"The future gets in with {' and '.join(sorted(truth)) or 'none'}; your own function keeps it out.")
