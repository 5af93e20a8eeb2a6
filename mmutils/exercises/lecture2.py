"""The checks of lecture 2, the MLP."""

import math

import torch
import torch.nn.functional as F

from mmutils.data import build_dataset, build_vocabulary, is_lecture_list, split_words
from mmutils.exercises.verdict import check, floor_of, judge, number, unigram_of, wrong_dev_loss


@check("E01")
def e01_tuning(answer, words, found):
    """E01 of lecture 2: answer = (logits, dev_loss). logits(X): int64 (n, 3) → (n, 27). Dev below 2.1 on the list.

    Scored here on all of dev of split_words(words); dev_loss is the loss that the reader quotes for it.
    """
    if not isinstance(answer, tuple) or len(answer) != 2:
        return "the answer must be two things: (logits_mine, dev_loss_mine)."
    logits_of, quoted = answer
    if not callable(logits_of):
        return "logits_mine must be a function: contexts (n, 3) go in, logits (n, 27) come out."
    losses, wrong = judge(logits_of, words)
    if wrong:
        return wrong
    if wrong := wrong_dev_loss(quoted, losses, words, below=2.1, least_gap=0.02):
        return wrong
    found.append(f"Dev {losses['dev']:.4f}, train {losses['train']:.4f}; floor of dev with three characters "
                 f"{floor_of(*build_dataset(split_words(words)[1], build_vocabulary(words)[0], 3)):.4f}.")
    if is_lecture_list(words):
        found.append("Counts of three characters, backing off (notebook 1), come to 2.077.")


def _mlp(parameters, X):
    """The lecture's forward pass: [C, W1, b1, W2, b2], contexts (n, block_size) → logits (n, V)."""
    C, W1, b1, W2, b2 = parameters
    return torch.tanh(C[X].reshape(len(X), -1) @ W1 + b1) @ W2 + b2


@check("E02")
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
    right, uniform = math.log(side), number(uniform)
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
        if not end < unigram_of(Y) - 0.02:
            return (f"it starts at {start:.4f}, but after 200 steps the loss is {end:.4f}: no better than knowing how "
                    f"often each letter occurs ({unigram_of(Y):.4f}). It does not learn from the context. Is a whole "
                    f"layer zero, or are all neurons the same?")
        if one:
            return (f"it starts at {start:.4f}, but all {n_hidden} neurons are the same, in W1, b1 and W2. They get "
                    f"the same gradients and stay the same: a net with one neuron. Draw W1 or W2 at random.")
    found.append(f"The uniform loss is {right:.4f}, the net starts at {start:.4f} and learns.")


@check("E03")
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
    losses, wrong = judge(lambda X: forward(parameters, X), words)
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
    unigram = unigram_of(build_dataset(split_words(words)[0], stoi, 3)[1])
    if not losses["dev"] < unigram - 0.02:
        return (f"the connection is right, but the net is hardly trained: dev loss {losses['dev']:.4f}, no better than "
                f"knowing how often each letter occurs ({unigram:.4f}).")
    found.append(f"Dev {losses['dev']:.4f}, train {losses['train']:.4f}.")
