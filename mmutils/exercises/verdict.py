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


class Wrong(Exception):
    """What is wrong with an answer, told from deep inside a check."""


def check(code, *parts):
    """Make a check of a function that returns what is wrong with an answer (str), or None if it is right.

    parts: the answer's names in the notebook, "f(x) → y" for a function; if there are several, the answer is a tuple.
    The function gets them one by one, then what the check takes besides, then a list for what it found.
    """
    names, many = [part.partition("(")[0] for part in parts], ("one", "two", "three", "four")

    def decorate(function):
        @functools.wraps(function)
        def check(answer, *rest):
            def judge(found):
                given = answer if len(parts) > 1 else (answer,)
                if not isinstance(given, tuple) or len(given) != len(parts):
                    return f"the answer must be {many[len(parts) - 1]} things: ({', '.join(names)})."
                for name, part, value in zip(names, parts, given, strict=True):
                    if name != part and not callable(value):
                        return f"{name} must be a function: {part}."
                return function(*given, *rest, found)
            return verdict(code, answer, judge)
        del check.__wrapped__  # help() would show the other function's arguments
        return check
    return decorate


def _blank(x):
    """Whether x is None, an ellipsis, or a list or tuple of nothing else."""
    return x is None or x is ... or isinstance(x, (list, tuple)) and all(map(_blank, x))


def verdict(name, answer, judge, hint="Write your answer above, run it, then this check."):
    """Print what judge(found) says of an answer; return True, False, or None if nothing has been answered yet.

    judge returns what is wrong or None, or raises; what it puts into the list `found` goes with a right answer.
    """
    parts = answer if isinstance(answer, tuple) else ()
    if _blank(answer) or any(_blank(part) and part not in ((), []) for part in parts):
        print(f"{name}: not tried yet. {hint}")
        return None
    found = []
    try:
        wrong = judge(found)
    except Wrong as told:
        wrong = str(told)
    except Exception as error:  # whatever an answer may be: a check tells, and never stops a notebook
        told = (str(error).splitlines() or [""])[0]
        wrong = (f"your answer could not be used ({type(error).__name__}: {told}). Look again at what the exercise "
                 f"asks for." if "infer dtype of NoneType" not in told else
                 "there is None where a tensor is needed. Does a function of yours end without return?")
    if wrong and "_" not in wrong.split()[0]:  # uniform_mine stays small
        wrong = wrong[0].upper() + wrong[1:]
    print(f"{name}: not yet. {wrong}" if wrong else f"{name}: right. {' '.join(found)}")
    return not wrong


def number(x):
    """A number, or a tensor with one element (that may still have its graph), as float."""
    return x.item() if isinstance(x, torch.Tensor) else float(x)


def as_tensor(x):
    """A tensor without its graph, of a tensor, an array, or lists of numbers or of tensors."""
    if isinstance(x, (list, tuple)) and x and (isinstance(x[0], (list, tuple)) or hasattr(x[0], "shape")):
        return torch.stack([as_tensor(row) for row in x])
    return torch.as_tensor(x).detach()


def recognised(answer, usual, tolerance=SLACK):
    """The text of the first usual mistake that gives this answer, or None. usual: dict of text → what it gives.

    answer: a number, or a function that says whether something is like it.
    """
    near = answer if callable(answer) else lambda other: abs(other - answer) < tolerance
    return next((text for text, other in usual.items() if near(other)), None)


def usual_losses(right, n):
    """What the usual mistakes make of a loss of n examples: dict of text → number."""
    return {"the sign is turned around: a likelihood goes up, a loss must go down.": -right,
            "this is the sum over the examples. Take the mean, so that losses of any number compare.": n * right,
            "this is in bits (logarithm to base 2). Take nats: the natural logarithm.": right / math.log(2),
            "this is made with the logarithm to base 10. Take nats: the natural logarithm.": right / math.log(10),
            "this is the perplexity. The loss is its logarithm.": math.exp(min(right, 700))}


class Calls(torch.overrides.TorchFunctionMode):
    """Records the names of the torch functions called under it."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.names.add(getattr(func, "__name__", ""))
        return func(*args, **(kwargs or {}))


# ----- the loss of a net, lectures 2 and 5 ----------------------------------------------------------------------------

def entropy(Y):
    """The lowest loss on the whole numbers Y for one who sees nothing else: their entropy, in nats."""
    return torch.special.entr(Y.unique(return_counts=True)[1].double() / len(Y)).sum().item()


def _floor_of(X, Y):
    """The lowest loss that anything can have on (X, Y) if it sees X only: their conditional entropy, in nats."""
    side = max(X.max(), Y.max()).item() + 1
    context = (X * side ** torch.arange(X.shape[1])).sum(1)  # (N,) a number for each context
    return entropy(context * side + Y) - entropy(context)


def _logits_of(function, X, side):
    """The logits of function(X). Raises Wrong."""
    with torch.no_grad():
        logits = function(X)
        if isinstance(logits, tuple):
            raise Wrong(f"your function returns {len(logits)} things. Return the logits alone.")
        logits = as_tensor(logits)
        if logits.shape != (len(X), side):
            extra = (" That is one dimension too many: F.cross_entropy takes the middle one for classes, accepts such "
                     "logits with some targets, and gives a loss that means nothing."
                     if logits.dim() == 3 and logits.shape[-1] == side else "")
            raise Wrong(f"for contexts of shape {tuple(X.shape)} the logits have the shape {tuple(logits.shape)} "
                        f"instead of ({len(X)}, {side}): a row for each example.{extra}")
        if not logits.isfinite().all():
            raise Wrong("some logits are nan or infinite: the training has blown up (take a smaller learning rate), or "
                        "they are logarithms of 0.")
        if (logits >= 0).all() and torch.allclose(logits.sum(1), torch.ones(len(X), dtype=logits.dtype), atol=1e-3):
            raise Wrong("these are probabilities: their rows sum to 1. Return the logits, before the softmax.")
        some, same = as_tensor(function(X[:64])), logits[:64]  # compared without what is added to all of a row
        if not torch.allclose(some.double().log_softmax(1), same.double().log_softmax(1), atol=1e-2):
            raise Wrong("the logits of an example change with the examples beside it, or from call to call. Switch "
                        "dropout off when you evaluate, and let no statistics of the batch in.")
    return logits


def losses_of(function, words, context=3, n_train=None):
    """Score function(X) on the canonical split, contexts (n, context): a dict of losses by part, and "floor", dev's.

    n_train: score that many names of train only. Raises Wrong, also where the loss is too good: dev or test in the
    training data, more than the context seen.
    """
    stoi, _ = build_vocabulary(words)
    names = split_words(words)
    in_train, losses, error = set(names[0]), {}, {}
    for part, part_words in zip(("train", "dev", "test"), names, strict=True):
        part_words = part_words[:n_train] if part == "train" else part_words
        X, Y = build_dataset(part_words, stoi, context)
        each = F.cross_entropy(_logits_of(function, X, len(stoi)).float(), Y, reduction="none")
        losses[part] = each.mean().item()
        floor = _floor_of(X, Y)
        if losses[part] < floor - SLACK:
            raise Wrong(f"the loss on {part} is {losses[part]:.4f}, below {floor:.4f}, which nothing that sees "
                        f"{'three' if context == 3 else context} characters can reach. The answers got in somewhere.")
        if part == "dev":
            losses["floor"] = floor
        if part != "train":  # names that also stand in train are no test of anything
            new = torch.tensor([w not in in_train for w in part_words for _ in range(len(w) + 1)])
            each = each[new] if new.sum() > 1 else each
            losses[part, "new"], error[part] = each.mean().item(), (each.var() / len(each)).sqrt().item()
    for part in ("dev", "test"):  # on a short list, or before training, they lie far apart by chance
        if losses[part, "new"] < losses["train"] - max(0.03, 3 * error[part]):
            raise Wrong(f"the loss on {part}, {losses[part]:.4f}, is lower than that on train, {losses['train']:.4f}: "
                        f"{part} was trained on. Train on split_words(words)[0] only.")
    low, high = sorted(("dev", "test"), key=lambda part: losses[part, "new"])
    chance = math.hypot(error[low], error[high])
    if losses[low, "new"] < losses[high, "new"] - max(0.05, 3 * chance):
        raise Wrong(f"the loss on {low}, {losses[low]:.4f}, is far below that on {high}, {losses[high]:.4f}; by "
                    f"chance they differ by {chance:.2f} or so. Names of {low} were trained on.")
    return losses


def ask_loss(quoted, losses, words, *, below, least_gap):
    """Raise Wrong if the dev loss that a reader quotes is not right, or not what was asked for.

    losses: from losses_of(). below: what was asked for. least_gap: no net gets there without knowing train better than
    dev by that much or far more, unless dev is in its train. Both are asked of the lecture's list only.
    """
    quoted, dev, train = number(quoted), losses["dev"], losses["train"]
    if not abs(quoted - dev) <= SLACK:
        raise Wrong(f"dev_loss_mine is {quoted:.4f}" + (recognised(quoted, {
            ", the loss on test. Choices are made on dev; who looks at test on the way has no test set any more.":
                losses["test"],
            f", the loss on train. On dev this net has {dev:.4f}.": train,
            f", the logarithm of the loss that the plot shows. The loss itself is {dev:.4f}.": math.log10(dev)} | {
            f": {text}": other for text, other in usual_losses(dev, math.nan).items()
        }) or f", but over all of dev this net has {dev:.4f}. Take the mean over all of dev, in evaluation mode if the "
              f"net has one, and do not round it. The loss of one minibatch is off by a tenth, by chance."))
    uniform = math.log(len(build_vocabulary(words)[0]))
    if dev > uniform - SLACK:
        raise Wrong(f"dev loss {dev:.4f} is no better than a uniform guess, {uniform:.4f}.")
    if is_lecture_list(words) and dev >= below:
        raise Wrong(f"dev loss {dev:.4f}; below {below:g} was asked for. Train {train:.4f}: "
                    + ("train is high too, so a larger net or more steps will help." if dev - train < 0.1 else
                       "train is far lower, so the net overfits: fewer steps, a smaller net, dropout, weight decay."))
    if is_lecture_list(words) and dev - train < least_gap:
        raise Wrong(f"the loss on dev, {dev:.4f}, is as low as that on train, {train:.4f}: dev was trained on, or the "
                    f"whole list. Train on split_words(words)[0] only.")
