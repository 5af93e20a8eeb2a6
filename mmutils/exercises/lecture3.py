"""The checks of lecture 3, activations and batch norm."""

import types

import torch
import torch.nn.functional as F

from mmutils.data import build_dataset, build_vocabulary, split_words
from mmutils.exercises.verdict import check, unigram_of


@check("E01")
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
    loss, unigram = F.cross_entropy(b2.view(1, -1).expand(len(Y), -1), Y).item(), unigram_of(Y)  # h is 0: b2 is all
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


@check("E02")
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
