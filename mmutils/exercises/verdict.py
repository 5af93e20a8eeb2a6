"""What the checks of the exercises share.

A check takes the reader's answer, prints a verdict that helps, and returns True, False, or None for "not tried yet". It
never raises: an answer that cannot be used gets a verdict too.
"""

import functools
import math

import torch
import torch.nn.functional as F

from mmutils.data import build_dataset, build_vocabulary, is_lecture_list, split_words

SLACK = 5e-4  # how far two ways to compute the same loss may lie apart (nats)


def check(code):
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


def number(x):
    """A number, or a tensor with one element (that may still have its graph), as float."""
    return x.item() if isinstance(x, torch.Tensor) else float(x)


class Calls(torch.overrides.TorchFunctionMode):
    """Records the names of the torch functions called under it."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.names.add(getattr(func, "__name__", ""))
        return func(*args, **(kwargs or {}))


def floor_of(X, Y):
    """The lowest loss that anything can have on (X, Y) if it sees X only: their conditional entropy, in nats."""
    side = max(X.max(), Y.max()).item() + 1
    context = (X * side ** torch.arange(X.shape[1])).sum(1)  # (N,) a number for each context

    def entropy(numbers):
        return torch.special.entr(numbers.unique(return_counts=True)[1].double() / len(numbers)).sum().item()

    return entropy(context * side + Y) - entropy(context)


def unigram_of(Y):
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


def judge(function, words, context=3, n_train=None):
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
        if losses[part] < floor_of(X, Y) - SLACK:
            return None, (f"the loss on {part} is {losses[part]:.4f}, below {floor_of(X, Y):.4f}, which nothing that "
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


def wrong_dev_loss(quoted, losses, words, *, below, least_gap):
    """What is wrong with a dev loss that a reader quotes, beside the losses of judge(), or None.

    below: what was asked for. least_gap: no net gets there without knowing train better than dev by that much or far
    more, unless dev is in its train. Both are asked of the lecture's list only.
    """
    quoted = number(quoted)
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
