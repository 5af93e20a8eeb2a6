"""The checks of lecture 5, WaveNet."""

import math
import operator

import torch
import torch.nn as nn
import torch.nn.functional as F

from mmutils.exercises.verdict import as_tensor, ask_loss, check, losses_of, recognised


def _whole(x):
    """x as int if it is a whole number of any kind, else None."""
    return operator.index(x) if hasattr(x, "__index__") and not isinstance(x, bool) else None


# ----- E01: a join for lines of any length ----------------------------------------------------------------------------

def _join(x, n, *, back=False):
    """x (B, T, C) → (B, ⌈T/n⌉, n · C), zeros in front (or at the back) where n does not divide T."""
    more = -x.shape[1] % n
    x = F.pad(x, (0, 0, 0, more) if back else (0, 0, more, 0))
    x = x.reshape(len(x), -1, n * x.shape[2])
    return x.squeeze(1) if x.shape[1] == 1 else x


@check("E01", "JoinMine(n), a class whose objects are called with x (B, T, C)")
def e01_join(kind, found):
    """E01 of lecture 5: a FlattenConsecutive that takes any length, zeros in front."""
    if not isinstance(kind, type):
        return "JoinMine must be the class itself, not an object of it or a function."
    g = torch.Generator().manual_seed(1)
    for shape, n in (((4, 8, 10), 2), ((4, 8, 3), 4), ((3, 8, 2), 8), ((4, 5, 3), 2), ((2, 7, 2), 3), ((2, 3, 4), 5),
                     ((1, 6, 2), 2), ((1, 2, 3), 2)):
        x, case = torch.randn(shape, generator=g), f"for x of shape {shape} and n = {n}"
        given, right = x.clone(), _join(x, n)
        try:
            y = kind(n)(x)
        except (RuntimeError, ValueError) as told:
            return f"{case} your layer raises a {type(told).__name__}: {str(told).splitlines()[0]}"
        if not isinstance(y, torch.Tensor):
            return f"{case} your layer returns a {type(y).__name__}, not a tensor. Does it end with return?"
        if not x.equal(given):
            return "your layer changes x itself. Return a new tensor, or a view."
        if y.shape != right.shape:
            return f"{case} the result has the shape {tuple(y.shape)} instead of {tuple(right.shape)}." + (
                " The middle dimension goes when only one group is left." if y.dim() == 3 and y.numel() == right.numel()
                else " A bare squeeze() takes away a batch of one, too." if shape[0] == 1 and y.dim() < right.dim()
                else " No place may be lost." if y.numel() < right.numel() else "")
        groups = right.unflatten(-1, (n, shape[2]))
        if not y.equal(right):
            return f"{case} " + (recognised(y.equal, {
                "the zeros stand behind the line. Put them in front, so that the newest characters stay together.":
                    _join(x, n, back=True),
                "the neighbours stand in the wrong order: the earlier one comes first.": groups.flip(-2).flatten(-2),
                "the numbers of the neighbours take turns. Lay whole neighbours side by side.": groups.mT.flatten(-2),
            }) or "the values are not those of n neighbours side by side.")
    x = torch.randn((2, 3, 8), generator=g).mT  # its rows do not follow each other in memory
    try:
        if not kind(2)(x).equal(_join(x, 2)):
            return "for an x whose rows do not follow each other in memory the values are wrong."
    except RuntimeError:
        return ("for an x whose rows do not follow each other in memory, such as x.transpose(1, 2), .view() fails. "
                "What is there for that? Torch's message names it.")
    try:
        kind(2)(torch.randn((4, 6), generator=g))
    except ValueError as told:
        if "unpack" in str(told) or not str(told).count(" "):
            return (f"for an x of two dimensions your layer says {str(told)!r}. Say in words what is wrong: how many "
                    f"dimensions x has, and how many a join needs.")
    except Exception as told:  # an assert, an index that is not there
        return (f"for an x of two dimensions your layer raises {type(told).__name__}, where a ValueError is wanted: "
                "raise ValueError(\"…\").")
    else:
        return "for an x of two dimensions, one level too many, your layer must raise a ValueError."
    found.append("Any length, any n, and a clear word where nothing is left to join.")


# ----- E02: which cells does it average over? -------------------------------------------------------------------------

_NORMS = {"A": (1,), "B": (0, 1, 2), "C": (0,), "D": (2,), "E": (0, 1), "F": (1, 2)}
_AXES = ("the examples", "the places", "the channels")


def norms():
    """Six layers that standardise x (B, T, C), each over other cells: a dict of letter → layer."""
    def norm(dims):
        return lambda x: (x - x.mean(dims, keepdim=True)) / torch.sqrt(x.var(dims, keepdim=True) + 1e-5)
    return {letter: norm(dims) for letter, dims in _NORMS.items()}


@check("E02", "dims_mine", "bug_mine", "right_mine")
def e02_norms(dims, bug, right, found):
    """E02 of lecture 5: dims, a dict of letter → the dimensions that this layer averages over; bug, right: letters."""
    if not isinstance(dims, dict):
        return 'dims_mine must be a dict of letter to dimensions: {"A": (0, 1), …}.'
    answer = {}
    for letter, value in dims.items():
        value = value if isinstance(value, (tuple, list, set, frozenset)) else (value,)
        letter = str(letter).strip().upper()
        if letter not in _NORMS:
            return f"there is no layer {letter!r}; there are A to F."
        whole = [_whole(d) for d in value]
        if not whole or any(d is None or not -3 <= d <= 2 for d in whole):
            return f"{letter} has {value!r}; the dimensions are 0 (examples), 1 (places) and 2 (channels)."
        answer[letter] = tuple(sorted({d % 3 for d in whole}))
    if missing := sorted(_NORMS.keys() - answer.keys()):
        return f"nothing is said of {', '.join(missing)}."
    for letter, value in sorted(answer.items()):
        for d in (2, 1, 0):
            if (d in value) != (d in _NORMS[letter]):
                return (f"{letter} does {'not ' * (d in value)}average over {_AXES[d]}: "
                        + ("in its picture only one block is filled." if d == 2 and d in value else
                           "in its picture all blocks are filled." if d == 2 else
                           f"how many {'columns' if d == 1 else 'rows'} of a block are filled?"))
    bug, right = (str(letter).strip().upper() for letter in (bug, right))
    if right != "E":
        return f"a BatchNorm has one mean for each channel. That is not {right}: look at the mended class again."
    if bug != "C":
        return f"the video's bug is not {bug}. Which dimensions does x.mean(0) average over? Look at dims_mine."
    found.append("C is the bug, E the mended one; D is torch's LayerNorm, A its InstanceNorm.")


# ----- E03: the tree as convolutions ----------------------------------------------------------------------------------

@check("E03", "convs_mine(model) → three nn.Conv1d")
def e03_convs(convs_of, model, found):
    """E03 of lecture 5: the three Linear of the tree as nn.Conv1d, with dilations 1, 2 and 4 and the same weights."""
    linears = [layer.weight.detach() for layer in model.layers if type(layer).__name__ == "Linear"][:-1]
    kept = [weight.clone() for weight in linears]
    convs = convs_of(model)
    if convs is None:
        return "your function returns None. Does it end with return?"
    convs = list(convs)
    if not all(a.equal(b) for a, b in zip(linears, kept, strict=True)):
        return "your function changes the tree's own weights. Leave the model as it is."
    if len(convs) != len(linears):
        return f"your function returns {len(convs)} things; the tree has {len(linears)} levels, a Conv1d for each."
    for k, (conv, W) in enumerate(zip(convs, linears, strict=True)):
        which, (fan_in, fan_out) = f"the {('first', 'second', 'third')[k]} level", W.shape
        if not isinstance(conv, nn.Conv1d):
            return f"{which} is a {type(conv).__name__}, not an nn.Conv1d."
        if conv.kernel_size != (2,):
            return f"{which} has a kernel of {conv.kernel_size[0]} places; it joins two."
        if conv.dilation != (2**k,):
            return f"{which} has dilation {conv.dilation[0]} instead of {2**k}: the two lie that far apart."
        if (conv.in_channels, conv.out_channels) != (fan_in // 2, fan_out):
            return (f"{which} has {conv.in_channels} channels in and {conv.out_channels} out instead of {fan_in // 2} "
                    f"and {fan_out}. A Linear of {fan_in} inputs joins two nodes of {fan_in // 2}.")
        if conv.bias is not None and conv.bias.any():
            return f"{which} has a bias, at random, where the Linear has none: bias=False."
        if conv.padding not in ((0,), "valid") or conv.stride != (1,) or conv.groups != 1:
            return f"{which} has padding, a stride or groups. Leave all three out."
        right, weight = W.view(2, fan_in // 2, fan_out).permute(2, 1, 0), as_tensor(conv.weight)  # (out, in, 2)
        if weight.shape != right.shape:
            return f"{which}: the kernel has the shape {tuple(weight.shape)} instead of (out, in, 2)." + (
                " Swap its last two dimensions." if weight.mT.shape == right.shape else
                " Swap its first two dimensions." if weight.transpose(0, 1).shape == right.shape else "")
        if not torch.allclose(weight, right, atol=1e-6):
            def near(other, weight=weight):
                return other.shape == weight.shape and torch.allclose(weight, other, atol=1e-6)

            return f"{which}: the kernel has the right shape, but not the right numbers. " + (recognised(near, {
                "The two places are exchanged: kernel[:, :, 0] belongs to the earlier one.": right.flip(2),
                "Its two matrices are transposed: torch wants (out, in).": right.transpose(0, 1),
                "view() turns no dimensions around. Split the rows of the weight into (2, in), then permute.":
                    W.reshape(fan_out, fan_in // 2, 2),
                "The rows of the weight are (2, in), not (in, 2): all numbers of the earlier node, then all of the "
                "later.": W.view(fan_in // 2, 2, fan_out).permute(2, 0, 1)}) or "Were the weights copied at all?")
    found.append("Three convolutions with the tree's own weights: the same net.")


# ----- E04: a third list of factors -----------------------------------------------------------------------------------

def _tree_size(factors, n_hidden, n_embd=10, side=27):
    """Parameters of lecture 5's tree: table, each level's Linear (no bias) and batch norm, last Linear."""
    fan_ins = [n_embd, *[n_hidden] * (len(factors) - 1)]
    levels = sum(fan_in * n * n_hidden + 2 * n_hidden for fan_in, n in zip(fan_ins, factors, strict=True))
    return side * n_embd + levels + n_hidden * side + side


@check("E04", "factors_mine", "hidden_mine", "parameters_mine")
def e04_factors(factors, hidden, parameters, found):
    """E04 of lecture 5: answer = (factors, hidden, parameters), a tree of eight characters as large as the lecture's.

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
        if parameters == 22_397:
            return (f"22,397 is the number of parameters of the video's tree. parameters_mine is the number of yours, "
                    f"with {factors} and {hidden} neurons. Count them.")
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


# ----- E05: causal or not ---------------------------------------------------------------------------------------------

_LEAKS = {"B", "C", "D"}


def suspects():
    """Five stacks of three layers, x (B, T, C) → (B, T, C), some of which let the future in: a dict of letter → it."""
    def stack(layer):
        def function(x):
            for d in (1, 2, 4):
                x = layer(x, d)
            return x
        return function

    def padded(x, front, behind):
        x = F.pad(x, (0, 0, front, behind))
        return torch.tanh(x[:, :x.shape[1] - front - behind].flip(2) / 2 + x[:, front + behind:])

    def standardised(x, d):
        x = padded(x, d, 0)
        return (x - x.mean(1, keepdim=True)) / x.std(1, keepdim=True)

    def mean_so_far(x, d):
        return torch.tanh(x.cumsum(1) / torch.arange(1, x.shape[1] + 1)[:, None] + padded(x, d, 0))

    return {"A": stack(lambda x, d: padded(x, d, 0)), "B": stack(lambda x, d: padded(x, d // 2, d - d // 2)),
            "C": stack(lambda x, d: torch.tanh(torch.roll(x, d, 1).flip(2) / 2 + x)), "D": stack(standardised),
            "E": stack(mean_so_far)}


@check("E05", "leaks_mine", "dilations_mine")
def e05_causal(leaks, dilations, found):
    """E05 of lecture 5: the letters of the suspects that let the future in; three dilations for layers of three nodes.

    The dilations: so that an output sees 27 inputs in a row.
    """
    leaks = set() if leaks == {} else leaks  # Python's {} is an empty dict
    if not isinstance(leaks, (str, set, frozenset, list, tuple)):
        return 'leaks_mine must be a set of letters, such as {"A"}.'
    leaks = {str(letter).strip().upper() for letter in leaks}
    if unknown := sorted(leaks - suspects().keys()):
        return f"there is no suspect {unknown[0]!r}; there are A to E."
    if wrongly := sorted(leaks - _LEAKS):
        return f"{wrongly[0]} does not see the future: its picture has nothing to the right of the dashed line."
    if missed := _LEAKS - leaks:
        return (f"{len(missed)} more let{'s' * (len(missed) == 1)} the future in. " + (
            "Look at each picture's corners too." if missed == {"C"} else
            "Is anything filled to the right of the dashed line?"))
    if not isinstance(dilations, (list, tuple)) or not all((_whole(d) or 0) > 0 for d in dilations):
        return "dilations_mine must be a list of whole numbers above 0, such as (1, 2, 4)."
    seen = {0}
    for d in map(_whole, dilations):
        seen = {back + k * d for back in seen for k in range(3)} if len(seen) < 10_000 else seen
    if len(dilations) != 3:
        return f"there are {len(dilations)} dilations for three layers."
    if seen != set(range(27)):
        reach = max(seen) + 1
        return f"with {tuple(dilations)} an output sees {len(seen)} inputs" + (
            f", and reaches back over {reach}: there are holes." if len(seen) < reach else " in a row.") + (
            " Those are the dilations for pairs. By how much does a layer of three widen the field?"
            if tuple(dilations) == (1, 2, 4) else " Some are counted twice: three layers of three can name 27."
            if len(seen) < 27 else "")
    found.append("B, C and D let the future in; A and E do not. Tripling is what fits threes.")


# ----- E06: the challenge ---------------------------------------------------------------------------------------------

@check("E06", "logits_mine(X), from contexts (n, context_mine) to logits (n, 27)", "context_mine", "dev_loss_mine")
def e06_beat(logits_of, context, quoted, words, found):
    """E06 of lecture 5: answer = (logits, context, dev_loss), dev below 1.993. Of train, 4,000 names are scored."""
    if not 1 <= (_whole(context) or 0) <= 64:
        return f"context_mine is {context!r}; it must be a whole number from 1 to 64: how many characters the net sees."
    losses = losses_of(logits_of, words, _whole(context), n_train=4000)
    ask_loss(quoted, losses, words, below=1.993, least_gap=0.01)
    found.append(f"Dev {losses['dev']:.4f}, 4,000 names of train {losses['train']:.4f}; with {context} characters.")
