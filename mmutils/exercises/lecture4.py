"""The checks of lecture 4, gradients by hand."""

import collections
import contextlib

import torch
import torch.nn.functional as F

from mmutils.exercises.verdict import Calls, check, number


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


@check("E04")
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
        with torch.no_grad(), Calls() as calls:
            answer = function(parameters, X, Y)
        if not isinstance(answer, (tuple, list)) or len(answer) != 2:
            return "it must return two things: the loss, and the list of the seven gradients."
        if not all(p.equal(q) for p, q in zip(parameters, given, strict=True)):
            return "it changes the parameters. Let it return the gradients only; the update comes after it."
        if "backward" in calls.names:
            return "it calls backward(). The point of this one is to do without."
        value, gradients = number(answer[0]), list(answer[1])
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
