"""The checks of lecture 2, the MLP."""

import inspect
import math

import torch
import torch.nn.functional as F

from mmutils.data import build_dataset, build_vocabulary, is_lecture_list, split_words
from mmutils.exercises.verdict import (
    Wrong,
    as_tensor,
    ask_loss,
    check,
    entropy,
    losses_of,
    number,
    recognised,
    usual_losses,
)


def _takes_one(function):
    """Whether a function can be called with one argument, as far as one can see."""
    try:
        inspect.signature(function).bind(None)
    except TypeError:
        return False
    except ValueError:  # built-in functions do not tell
        pass
    return True


@check("E01", "logits_mine(X), from contexts (n, 3) to logits (n, 27)", "dev_loss_mine")
def e01_tuning(logits_of, quoted, words, found):
    """E01 of lecture 2: answer = (logits, dev_loss). Dev below 2.1 on the lecture's list, of split_words(words)."""
    if not _takes_one(logits_of):
        return "logits_mine must take X and nothing else. Name the net inside it: return forward(net_mine, X)."
    losses = losses_of(logits_of, words)
    try:
        ask_loss(quoted, losses, words, below=2.1, least_gap=0.02)
    except Wrong as told:  # lecture 2 does not know what an evaluation mode is
        raise Wrong(str(told).replace(", in evaluation mode if the net has one, and", " and")) from None
    found.append(f"Dev {losses['dev']:.4f}, train {losses['train']:.4f}; floor of dev with three characters "
                 f"{losses['floor']:.4f}.")
    if is_lecture_list(words):
        found.append("Counts of three characters, backing off (notebook 1), come to 2.077.")


def _mlp(parameters, X):
    """The lecture's forward pass: [C, W1, b1, W2, b2], contexts (n, block_size) → logits (n, V)."""
    C, W1, b1, W2, b2 = parameters
    return torch.tanh(C[X].reshape(len(X), -1) @ W1 + b1) @ W2 + b2


def _wrong_uniform(uniform, side):
    """What is wrong with the loss of a uniform guess among `side` characters, or None."""
    right, uniform = math.log(side), number(uniform)
    if abs(uniform - right) <= 1e-3:
        return None
    return f"uniform_mine is {uniform:.4f}: " + (recognised(uniform, {
        "that is how many characters there are. The loss of a uniform guess is −log of its probability.": side,
        "that is the probability of a uniform guess. What is its loss?": 1 / side,
        f"that is the loss with {side - 1} characters. The '.' is one too: {side}.": math.log(side - 1),
        "that is p · log p of one character. The loss is the mean of −log p.": right / side
    } | usual_losses(right, side), 1e-3)
        or f"each of {side} characters has the same probability, and the loss is its −log.")


def e02_uniform_start(answer, words):
    """E02 of lecture 2: answer = (uniform, init), a uniform guess's loss, and fresh parameters that start near it.

    They must start within 0.05 of it with three characters of context, and learn: 200 steps of Adam are tried. The
    first half alone is judged, too.
    """
    half = isinstance(answer, tuple) and len(answer) == 2 and (answer[1] is None or answer[1] is ...)
    if half and (isinstance(answer[0], (float, int)) or isinstance(answer[0], torch.Tensor) and answer[0].numel() == 1):
        if wrong := _wrong_uniform(answer[0], len(build_vocabulary(words)[0])):
            print(f"E02: not yet. {wrong}")
            return False
        print("E02: uniform_mine is right, init_mine is still missing. Write it, run it, then this check.")
        return None
    return _uniform_start(answer, words)


@check("E02", "uniform_mine", "init_mine(n_embd, n_hidden) → [C, W1, b1, W2, b2]")
def _uniform_start(uniform, init, words, found):
    """Both halves of E02."""
    stoi, _ = build_vocabulary(words)
    side = len(stoi)
    right = math.log(side)
    if wrong := _wrong_uniform(uniform, side):
        return wrong
    X, Y = build_dataset(split_words(words)[0], stoi, 3)
    some, unigram = (X[:20_000], Y[:20_000]), entropy(Y)
    for n_embd, n_hidden in ((10, 200), (4, 30)):
        parameters = [as_tensor(p).clone() for p in init(n_embd, n_hidden)]
        shapes = [(side, n_embd), (3 * n_embd, n_hidden), (n_hidden,), (n_hidden, side), (side,)]
        if [tuple(p.shape) for p in parameters] != shapes:
            return (f"init_mine({n_embd}, {n_hidden}) has the shapes {[tuple(p.shape) for p in parameters]} instead of "
                    f"{shapes}: C, W1, b1, W2, b2 for three characters of context.")
        start = F.cross_entropy(_mlp(parameters, some[0]), some[1]).item()
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
            end = F.cross_entropy(_mlp(parameters, some[0]), some[1]).item()
        if not end < unigram - 0.02:
            return (f"it starts at {start:.4f}, but after 200 steps the loss is {end:.4f}: it knows no more than how "
                    f"often each letter occurs ({unigram:.4f}). Is a whole layer zero, or are all neurons the same?")
        if one:
            return (f"all {n_hidden} neurons are the same, in W1, b1 and W2. They get the same gradients and stay the "
                    f"same: a net with one neuron. Draw W1 or W2 at random.")
    found.append(f"The uniform loss is {right:.4f}, the net starts at {start:.4f} and learns.")


def _wrong_connection(forward, parameters, X):
    """What is wrong with forward(parameters, X) as a net with direct connections, or None."""
    def right(parameters, *, tanh=torch.tanh, hidden=1, past=1, b2s=1):
        C, W1, b1, W2, b2, Wd = (p.double() for p in parameters)
        emb = C[X].reshape(len(X), -1)
        return hidden * tanh(emb @ W1 + b1) @ W2 + b2s * b2 + past * emb @ Wd

    other = [0.9 * p for p in parameters]  # so that parameters which do not come from the argument are found out
    with torch.no_grad():
        logits = as_tensor(forward(other, X)).double()

    def near(x):
        return logits.allclose(x, atol=1e-3)

    return None if near(right(other)) else recognised(near, {
        "the logits stay the same whatever parameters it gets: forward_direct(parameters, X) must take them from its "
        "argument.": right(parameters),
        "Wd is not used in forward_direct.": right(other, past=0),
        "the hidden layer is not used in forward_direct.": right(other, hidden=0),
        "the hidden layer is linear, so it adds nothing to emb @ Wd: its tanh is missing.":
            right(other, tanh=lambda x: x),
        "b2 is forgotten: with W2 = 0 the logits must be emb @ Wd + b2.": right(other, b2s=0),
        "b2 is added twice.": right(other, b2s=2)} | {
        f"{name} is not taken from the argument `parameters`.": right([*other[:i], parameters[i], *other[i + 1:]])
        for i, name in enumerate(("C", "W1", "b1", "W2", "b2", "Wd"))
    }) or ("with W2 = 0 the logits must be emb @ Wd + b2, with no nonlinearity on the way, and to that is added "
           "tanh(emb @ W1 + b1) @ W2. They are something else.")


@check("E03", "parameters_direct", "forward_direct(parameters, X) → logits")
def e03_direct(parameters, forward, words, found):
    """E03 of lecture 2: answer = ([C, W1, b1, W2, b2, Wd], forward): h @ W2 + b2 + emb @ Wd, three characters."""
    parameters = [as_tensor(p) for p in parameters]
    stoi, _ = build_vocabulary(words)
    if len(parameters) != 6:
        return f"there are {len(parameters)} parameters; six are needed: C, W1, b1, W2, b2 and Wd."
    C, W2, Wd = parameters[0], parameters[3], parameters[5]
    if Wd.shape != (C.shape[1] * 3, len(stoi)):
        return (f"Wd has the shape {tuple(Wd.shape)}; from the three embeddings to the logits it is "
                f"({C.shape[1] * 3}, {len(stoi)}).")
    try:
        losses = losses_of(lambda X: forward(parameters, X), words)
    except RuntimeError as error:
        if "cannot be multiplied" not in str(error):
            raise
        return (f"{str(error).splitlines()[0]}. Do the three embeddings lie side by side? C[X] is (n, 3, n_embd); W1 "
                f"and Wd need it as (n, 3 · n_embd): a view does that.")
    for name, W in (("Wd", Wd), ("W2", W2)):
        if (W == 0).all():
            return f"{name} is still all zeros: it has not been trained. Is it in the list that is updated?"
    X, Y = build_dataset(split_words(words)[0], stoi, 3)
    if wrong := _wrong_connection(forward, parameters, X[:1000]):
        return wrong
    if not losses["dev"] < entropy(Y) - 0.02:
        return (f"the connection is right, but the net is hardly trained: dev loss {losses['dev']:.4f}, no better than "
                f"knowing how often each letter occurs ({entropy(Y):.4f}).")
    found.append(f"Dev {losses['dev']:.4f}, train {losses['train']:.4f}. Does it help? Train the same net without Wd, "
                 f"with the same seed and as many steps, and compare.")
