"""The checks of lecture 4, gradients by hand."""

import collections
import contextlib
import inspect
import io
import itertools

import torch
import torch.nn.functional as F

from mmutils.exercises.verdict import Calls, Wrong, as_tensor, check, number, recognised, usual_losses, verdict

_CARDS = ("logprobs", "probs", "counts_sum_inv", "counts", "counts_sum", "norm_logits", "logit_maxes", "logits", "h",
          "W2", "b2", "hpreact", "bngain", "bnraw", "bnbias", "bndiff", "bnvar_inv", "bnvar", "bndiff2", "bnmeani",
          "hprebn", "embcat", "W1", "b1", "emb", "C")
_right = set()  # the cards whose last verdict was "right"


def start_over():
    """Forget which cards were right."""
    _right.clear()
    print(f"0 of {len(_CARDS)} right.")


def right(tensor, by=None):
    """The gradient that the page goes on with: autograd's, in a copy that `gradient` knows and takes for no answer.

    by: what the tensor was used for; then only the share of the gradient that comes back from there.
    """
    copies = tensor.__dict__.setdefault("handed_out", {})
    found = tensor.grad if by is None else _share(tensor, by)
    return copies.setdefault(id(by), found.clone()).copy_(found)  # a copy that was changed is as it was


def _share(tensor, by):
    """What comes back to a tensor from one of its uses."""
    edge = torch.autograd.graph.get_gradient_edge(tensor)[:2]
    passed = by.grad_fn(by.grad)
    passed = passed if isinstance(passed, tuple) else (passed,)
    shares = [share for share, other in zip(passed, by.grad_fn.next_functions, strict=True) if other == edge]
    return sum(shares).sum_to_size(tensor.shape).detach()


def gradient(answer, tensor, loss, name="the gradient", *, by=None, given=()):
    """Hold a gradient that was made by hand against autograd's: that of `loss` with respect to `tensor`.

    Returns True, False, or None for "not tried yet", and never raises. An entry may differ by 1e-5 of its size, plus
    what rounding leaves of the sums behind it. The graph of `loss` must have been kept (retain_graph=True).
    by: one of the things that the tensor was used for, if only the share is asked for that comes back from there.
    given: gradients that the page hands out; they are no answer, just as tensor.grad and what `right` gave are none.
    """
    card = name.removeprefix("my_d") if by is None and name.startswith("my_d") else None

    def judge(found):
        if isinstance(answer, tuple) and len(answer) == 1:
            return "this is a tuple of one. Is there a comma at the end of your line?"
        handed_out = dict(getattr(tensor, "handed_out", {}))
        kept = [tensor.grad if tensor.is_leaf or tensor.retains_grad else None, handed_out.pop(id(by), None), *given]
        if any(_memory(answer) == _memory(one) != 0 for one in kept if one is not None):
            return "this is the gradient that autograd has computed. Write down how it is made."
        try:
            reference, uses, noise = _traced(tensor, loss)
        except (RuntimeError, ValueError) as error:
            if "modified by an inplace operation" in str(error) or tensor._version:
                raise Wrong("your code has changed a tensor of the forward pass in place. Change a copy, made by "
                            ".clone(); then run the forward cell and the cards below it again.") from None
            raise
        found.append(f"Its shape is {tuple(tensor.shape)}, and it equals autograd's up to rounding.")
        if by is not None:
            found[:] = ["This is the first share; the other use will add its own."]
            return _wrong_share(answer, _share(tensor, by), reference, uses, noise, tensor.detach().double())
        wrong = _wrong_gradient(answer, reference, uses, noise, tensor.detach().double())
        if wrong is None and _memory(answer) in map(_memory, handed_out.values()):
            found.append("But += has changed the first share as well, since both names are one tensor: begin with a "
                         ".clone() of it.")
        if wrong is None and card in _CARDS:
            _right.add(card)
            found.append(_progress())
        return wrong

    result = verdict(name, answer, judge, "Write your answer in place of None.")
    if not result:
        _right.discard(card)
    return result


def _progress():
    """How many cards are right, and which are open if these are few."""
    left = [f"d{card}" for card in _CARDS if card not in _right]
    return f"{len(_right)} of {len(_CARDS)} right" + (
        "." if len(left) > 5 else f"; open: {', '.join(left)}." if left else ": all cards are done.")


def _wrong_share(answer, share, whole, uses, noise, x):
    """What is wrong with an answer that should be one share of the gradient of a tensor x that is used twice."""
    mine = [use for use in uses if use.share.equal(share)]
    if (wrong := _wrong_gradient(answer, share, mine, noise, x)) is None:
        return None
    if _wrong_gradient(answer, whole, (), noise) is None:
        return "this is the whole gradient, from both uses. Here only the share by one of them is asked for."
    if any(_wrong_gradient(answer, use.share, (), noise) is None for use in uses):
        return "this is the share that comes back from the other use."
    return wrong


def _memory(x):
    """Where the numbers of x lie: the same place for a tensor, its views, and what is detached from it."""
    return as_tensor(x).untyped_storage().data_ptr() if isinstance(x, torch.Tensor) or hasattr(x, "shape") else None


# What comes back to a tensor by one use: its share of the gradient; the gradient above the operation, and that
# operation's name; and the name of the node that handed it on.
_Use = collections.namedtuple("_Use", "share above kind node", defaults=(None, "", ""))
_NODES = {"Sum": "the sum", "Mul": "the product", "Pow": "the power", "Sub": "the difference", "Max": "the maximum"}
_LOOKUPS = ("Index", "IndexSelect", "Embedding", "Gather")
_LOCAL = {  # what is taken for the local factor of an operation, as a function of its input
    "Tanh": {"this is 1 − input². The derivative of tanh is 1 − output².": lambda x: 1 - x**2,
             "only the output is squared: 1 − output².": lambda x: (1 - x.tanh()) ** 2,
             "the output must be squared: 1 − output².": lambda x: 1 - x.tanh(),
             "this is the sigmoid's derivative. That of tanh is 1 − output².": lambda x: x.tanh() * (1 - x.tanh())},
    "Exp": {"the local factor is not the input. The derivative of exp is its output.": lambda x: x}}


def _traced(tensor, loss):
    """(d loss / d tensor, the uses of the tensor, how much of the gradient may be rounding).

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
    noise = collections.defaultdict(float)  # node → how much of what arrived may be rounding
    eps, uses, made = torch.finfo(tensor.dtype).eps, [], {}  # made: node → (gradient, name) above what only hands on
    for node in reversed(order):
        grads = arrived.pop(node)
        if node is target:
            return grads[slot], uses, max(noise[node], 16 * eps * grads[slot].abs().max().item())
        if not node.next_functions:  # a parameter, and not the one that was asked for
            continue
        passed = node(*[grads.get(k) for k in range(len(node._input_metadata))])
        passed = passed if isinstance(passed, tuple) else (passed,)
        above, name = next(iter(grads.values())), node.name().partition("Backward")[0]
        for grad, (other, k) in zip(passed, node.next_functions, strict=True):
            if other is None or grad is None:
                continue
            grad = grad.sum_to_size(other._input_metadata[k].shape)  # where it had been broadcast
            by = made.get(node) if grad.equal(above) else None
            there = arrived.setdefault(other, {})
            made[other] = None if there else by or (above, name)
            if other is target and k == slot:
                uses.append(_Use(grad, *(by or (above, name)), name))
            there[k] = there[k] + grad if k in there else grad
            # a few last places of the largest number in the sum; and where nearly all has cancelled above, all of that
            size, largest = grad.abs().max().item(), above.abs().max().item()
            local = 8 * eps * max(size, largest * max(1, above.numel() / grad.numel()))
            noise[other] = max(noise[other], local, noise[node] * size / largest if noise[node] > 1e-2 * largest else 0)
    raise ValueError("the loss does not depend on this tensor")


def _wrong_gradient(answer, reference, uses=(), noise=0.0, tensor=None):
    """What is wrong with a gradient (None if nothing is), found by trying the usual mistakes on the right one."""
    a, r = as_tensor(answer), reference.detach().double()
    if not a.is_floating_point():
        return f"these are no real numbers with a point ({a.dtype})."
    a, shape = a.double(), tuple(a.shape)

    def near(x, y=r):
        return bool(((x - y).abs() <= noise + 1e-5 * y.abs()).all())

    if a.shape != r.shape:
        return _wrong_shape(a, r, near, uses, noise)
    if not a.isfinite().all():
        return "some entries are nan or infinite."
    if near(a):
        return None
    if a.dim() == 2 and shape[0] == shape[1] and near(a.T):
        return "it is transposed: the shape cannot tell, since it is square, but the numbers can."
    if (r.abs() <= noise).all():
        return "the right answer is 0 up to rounding; yours is not. What cancels here?"
    if len(uses) > 1 and any(near(a, use.share.double()) for use in uses):
        return (f"this is the gradient by one use only. On the way forward it is used {len(uses)} times: add up what "
                f"comes back from each.")
    if (a == 0).all():
        return "it is zero everywhere."
    if tensor is not None and a.equal(tensor):
        return "these are the numbers of the tensor itself. Its gradient was asked for."
    if len(uses) < 2 and ((a - r).abs() <= noise + 5e-4 * r.abs()).all():
        return "it is all but equal. Is every small constant in its place, such as the 10⁻⁵ of the variance?"
    factor = ((a * r).sum() / (r * r).sum()).item()
    if abs(factor) > 1e-6 and near(a / factor):
        if abs(factor + 1) < 1e-4:
            return "the sign is turned around; all else is right."
        return (f"it is right up to a factor of {factor:.4g}. Is there a mean, an exponent or a scale whose derivative "
                f"is missing{', and a sign' if factor < 0 else ''}?")
    if len(uses) == 1 and (wrong := _wrong_local(a, r, uses[0], noise, tensor)):
        return wrong
    if len(uses) == 2 and (wrong := _wrong_shares(a, uses, noise)):
        return wrong
    off = (a - r).abs()
    good = off <= noise + 1e-5 * r.abs()
    if any(use.node in _LOOKUPS for use in uses):
        if good[r != 0].all():
            return "what was looked up is right. What was not takes no part in the loss, so its gradient is 0."
        rows = good.double().flatten(1).mean(1) if a.dim() > 1 else torch.zeros(0)
        if ((rows == 1) & (r != 0).flatten(1).any(1)).any() and (rows[rows < 1] < 0.5).all():
            return "whole rows are right, others are not. Is a row that is used often overwritten instead of added?"
    counted = (a.abs() > noise) | (r.abs() > noise)  # to have 0 where 0 belongs is no achievement
    right = good[counted].double().mean().item()
    share = "nearly all" if right > 0.99 else f"{right:.0%}" if right >= 0.01 else "hardly any" if right else "none"
    where = tuple(int(i) for i in torch.unravel_index(off.argmax(), off.shape))
    return (f"the shape is right, {share} of the entries {'are' if counted.all() else 'that are not 0 in both are'}. "
            f"The largest difference is {off.max().item():.1e}, at {list(where)}: yours is {a[where].item():.3g}, "
            f"autograd's {r[where].item():.3g}.")


def _passed_on(use, shape):
    """What comes from above in a use, summed or copied to this shape: the share without its local factor, or None."""
    for fit in (torch.Tensor.sum_to_size, torch.Tensor.expand):
        with contextlib.suppress(RuntimeError):
            return None if use.above is None else fit(use.above.double(), shape)
    return None


def _wrong_local(a, r, use, noise, x):
    """What is wrong with the local factor of a tensor x that is used once, or None if it is not that."""
    def like(y):  # it is wrong already: now only which mistake it is
        return bool(((a - y).abs() <= noise + 1e-4 * y.abs()).all())

    passed = _passed_on(use, a.shape)
    if passed is not None and passed.any():
        times = ((a * passed).sum() / (passed * passed).sum()).item()
        if abs(times) > 1e-6 and like(times * passed):
            return ("the gradient was passed through without the local factor: this is "
                    f"{f'{times:.4g} times ' * (abs(times - 1) > 1e-3)}what comes from above. Multiply by the "
                    "derivative of this operation, number by number.")
    if passed is None or use.above.shape != a.shape:
        return None
    if bool(((a * passed - r).abs() <= noise + 1e-4 * r.abs()).all()):
        return "this is the local derivative. Multiply it by what comes from above."
    if bool(((a * r - passed**2).abs() <= 1e-4 * passed**2).all()):
        return "the local factor is upside down: it divides where it should multiply, or the other way round."
    if x is None:
        return None
    power = r * x
    if power.any() and like(((a * power).sum() / (power * power).sum()) * power):
        return "the power is one too high: its derivative has an exponent that is lower by 1."
    return recognised(lambda local: like(local(x) * passed), _LOCAL.get(use.kind, {}))


def _wrong_shares(a, uses, noise):
    """Of a tensor that is used twice: which of the two shares is off, and by what (None if that is not it)."""
    for passed in itertools.product((False, True), repeat=2):  # is it the share, or what was passed on in its place?
        parts = [_passed_on(use, a.shape) if on else use.share.double() for use, on in zip(uses, passed, strict=True)]
        if any(part is None for part in parts):
            continue
        first, second = (part.flatten() for part in parts)
        dots = torch.stack([first, second]) @ torch.stack([first, second, a.flatten()]).T
        if torch.linalg.det(dots[:, :2]) <= 1e-6 * dots[0, 0] * dots[1, 1]:
            continue  # they cannot be told apart
        factors = torch.linalg.solve(dots[:, :2], dots[:, 2])
        if factors.abs().max() > 1e3:
            continue  # one of them is nothing
        fit = factors[0] * first + factors[1] * second
        if not ((a.flatten() - fit).abs() <= noise * max(1.0, factors.abs().max().item()) + 1e-5 * fit.abs()).all():
            continue
        told = []
        for use, factor, on in zip(uses, factors.tolist(), passed, strict=True):
            what = ("is missing" if abs(factor) < 1e-3 else "was passed through without its local factor" if on else
                    "is right" if abs(factor - 1) < 1e-3 else "has the wrong sign" if abs(factor + 1) < 1e-3 else
                    f"is off by a factor of {factor:.4g}")
            told.append(f"the share that comes by {_NODES.get(use.node, 'an operation ' + use.node)} {what}")
        return f"two shares make it up: {told[0]}, {told[1]}."
    return None


def _wrong_shape(a, r, near, uses, noise):
    """What is wrong with a gradient whose shape is not that of its tensor."""
    shape, wanted = tuple(a.shape), tuple(r.shape)
    told = f"the shape is {shape} instead of {wanted}: a gradient has the shape of its tensor."
    if shape == wanted[::-1] and len(shape) == 2:
        return f"{told} It is transposed{'; the numbers are right' if near(a.T) else ''}."
    if a.numel() == r.numel() and near(a.reshape(r.shape)):
        same = [size for size in shape if size > 1] == [size for size in wanted if size > 1]
        return f"{told} The numbers are right: " + (
            "view gives them their place." if not same else "leave keepdim=True out." if len(shape) > len(wanted) else
            "a sum with keepdim=True keeps the dimension.")
    with contextlib.suppress(RuntimeError):
        summed = a.sum_to_size(wanted)
        over = [d for d in range(-a.dim(), 0) if -d > r.dim() or (r.shape[d] == 1 and a.shape[d] > 1)]
        wrong = _wrong_gradient(summed, r, uses, noise)
        return (f"{told} On the way forward it was broadcast: copied. What comes back to the copies is added up: sum "
                f"over dimension {', '.join(str(d + a.dim()) for d in over)}{f'. Even then {wrong}' if wrong else '.'}")
    with contextlib.suppress(RuntimeError):
        if near(a.expand(wanted)):
            return f"{told} The numbers are right, but each entry has a gradient of its own: spread them out."
        if len(uses) > 1 and any(near(a.expand(wanted), use.share.double()) for use in uses):
            return f"{told} And these are the numbers of one use only: spread them out, and add the other's."
    return told


_NAMES = ("C", "W1", "b1", "W2", "b2", "bngain", "bnbias")
_ON_THE_WAY = {  # as they are found, from the loss backwards: where a mistake lies if all before are right
    "b2": "dlogits, and its sum over the examples", "W2": "h.T @ dlogits", "bngain": "dh and dhpreact",
    "bnbias": "the sum of dhpreact", "b1": "dhprebn", "W1": "dhprebn and embcat.T @ dhprebn",
    "C": "dembcat, and how its rows are added up: all the others are right"}


def _mlp_batchnorm(parameters, X, Y, *, unbiased=True):
    """The lecture's forward pass: the parameters of _NAMES, contexts and targets → (loss, bnraw, h)."""
    C, W1, b1, W2, b2, bngain, bnbias = parameters
    hprebn = C[X].reshape(len(X), -1) @ W1 + b1
    var = hprebn.var(0, keepdim=True, unbiased=unbiased)
    bnraw = (hprebn - hprebn.mean(0, keepdim=True)) * (var + 1e-5) ** -0.5
    h = torch.tanh(bngain * bnraw + bnbias)
    return F.cross_entropy(h @ W2 + b2, Y), bnraw, h


@check("E04", "my_gradients(parameters, Xb, Yb) → the loss and the list of seven gradients")
def e04_gradients(function, found):
    """E04 of lecture 4: function(parameters, Xb, Yb) → (loss, gradients in the order of _NAMES), without autograd."""
    for n, n_embd, n_hidden, context in ((32, 10, 200, 3), (8, 4, 30, 3), (16, 5, 12, 2)):
        g = torch.Generator().manual_seed(n)
        shapes = [(27, n_embd), (context * n_embd, n_hidden), (n_hidden,), (n_hidden, 27), (27,), (1, n_hidden),
                  (1, n_hidden)]
        parameters = [torch.randn(shape, generator=g) * (1 if i == 0 else 0.3) + (i == 5)
                      for i, shape in enumerate(shapes)]
        X, Y = torch.randint(27, (n, context), generator=g), torch.randint(27, (n,), generator=g)
        X[:, -1] = X[0, -1]  # so that a row of C is used many times
        kept = [p.clone() for p in parameters]
        exact = [p.double().requires_grad_() for p in parameters]
        loss, bnraw, h = _mlp_batchnorm(exact, X, Y)
        *reference, dh = torch.autograd.grad(loss, [*exact, h])
        with torch.no_grad(), Calls() as calls:
            answer = function(parameters, X, Y)
        if not isinstance(answer, (tuple, list)) or len(answer) != 2:
            return "it must return two things: the loss, and the list of the seven gradients."
        if not all(p.equal(q) for p, q in zip(parameters, kept, strict=True)):
            return "it changes the parameters. Let it return the gradients only; the update comes after it."
        if calls.names & {"backward", "grad"}:
            return "it calls backward(), or autograd's grad. The point of this one is to do without."
        value, right, gradients = number(answer[0]), loss.item(), list(answer[1])
        if len(gradients) != 7 or any(x is None for x in gradients):
            return f"seven gradients are needed, in the order of the parameters: {', '.join(_NAMES)}."
        if not abs(value - right) <= 1e-4:
            biased = _mlp_batchnorm(exact, X, Y, unbiased=False)[0].item()
            return f"with {n} examples the loss is {value:.4f} instead of {right:.4f}" + (recognised(
                value, {": the variance is divided by n. The lecture divides by n − 1.": biased}
                | {f": {text}": other for text, other in usual_losses(right, n).items()}) or ".")
        largest = max(r.abs().max().item() for r in reference)
        for name, where in _ON_THE_WAY.items():
            x, r = gradients[_NAMES.index(name)], reference[_NAMES.index(name)]
            uses, noise = [_Use(r, node="Index")] * (name == "C"), 1e-5 * r.abs().max().item() + 1e-6 * largest
            if wrong := _wrong_gradient(x, r, uses, noise):
                if name == "bngain" and _wrong_gradient(x, (bnraw * dh).sum(0, keepdim=True), noise=noise) is None:
                    wrong = "tanh's local factor, 1 − h², is missing."
                elif "whole rows" in wrong:
                    wrong += " (index_add_ adds, C[X] += … does not.)"
                return (f"with {n} examples, d{name} is the first that is wrong, counted from the loss: {wrong} "
                        f"Look at {where}.")
    found.append("The loss and all seven gradients, for three sizes of net and minibatch.")


# ----- E04's solution, and the bug hunt -------------------------------------------------------------------------------

def gradients_by_hand(parameters, Xb, Yb):
    C, W1, b1, W2, b2, bngain, bnbias = parameters
    n = len(Xb)
    # forward
    emb = C[Xb]
    embcat = emb.view(n, -1)
    hprebn = embcat @ W1 + b1
    bnmean = hprebn.mean(0, keepdim=True)
    bnvar = hprebn.var(0, keepdim=True)
    bnvar_inv = (bnvar + 1e-5) ** -0.5
    bnraw = (hprebn - bnmean) * bnvar_inv
    hpreact = bngain * bnraw + bnbias
    h = torch.tanh(hpreact)
    logits = h @ W2 + b2
    loss = F.cross_entropy(logits, Yb)
    # backward
    dlogits = F.softmax(logits, 1)
    dlogits[range(n), Yb] -= 1
    dlogits /= n
    dh = dlogits @ W2.T
    dW2 = h.T @ dlogits
    db2 = dlogits.sum(0)
    dhpreact = (1.0 - h**2) * dh
    dbngain = (bnraw * dhpreact).sum(0, keepdim=True)
    dbnbias = dhpreact.sum(0, keepdim=True)
    dhprebn = bngain * bnvar_inv / n * (
        n * dhpreact - dbnbias - n / (n - 1) * bnraw * dbngain)
    dembcat = dhprebn @ W1.T
    dW1 = embcat.T @ dhprebn
    db1 = dhprebn.sum(0)
    demb = dembcat.view(emb.shape)
    dC = torch.zeros_like(C)
    dC.index_add_(0, Xb.view(-1), demb.view(-1, C.shape[1]))
    return loss, [dC, dW1, db1, dW2, db2, dbngain, dbnbias]


def yours_or_solution(function):
    """The reader's function of E04 if its check says "right", and else the solution's; prints which it is."""
    with contextlib.redirect_stdout(io.StringIO()):
        verdict = e04_gradients(function)
    yours = "not right yet" if verdict is False else "not tried yet"
    print("Your own gradients will train the net." if verdict else
          f"The solution's gradients will train the net: yours are {yours}.")
    return function if verdict else gradients_by_hand


_BUGS = {  # number → the wrong line; what is wrong with it; the line of gradients_by_hand, and how the bug has it
    1: (1, "The loss is a mean over n examples, so these numbers must be divided by n.", "    dlogits /= n\n", ""),
    2: (2, "The derivative of tanh is 1 − output²; this is 1 − input².", "1.0 - h**2", "1.0 - hpreact**2"),
    3: (4, "It overwrites the share of the product. Used twice, add: +=.",  # what is left pulls up the largest logit
        "dlogits[range(n), Yb]", "dlogits[range(n), logits.argmax(1)]"),
    4: (3, "A row that is used several times gets only one of its gradients: C[Xb] += … overwrites.",
        "dC.index_add_(0, Xb.view(-1), demb.view(-1, C.shape[1]))", "dC[Xb] += demb"),
    5: (4, "The derivative of x² is 2x; the 2 is missing.", "- n / (n - 1) *", "- 0.5 * n / (n - 1) *"),
    6: (3, "This is the sum of everything, one number. b2 was copied along the examples: sum(0).",
        "db2 = dlogits.sum(0)", "db2 = dlogits.sum()")}


def bug(number, wrong_line):
    """Says whether a bug of the hunt is in this line: True, False, or None for "not tried yet"."""
    def judge(found):
        line, why, *_ = _BUGS[number]
        if wrong_line not in (1, 2, 3, 4):
            return "give the number of a line: 1, 2, 3 or 4."
        found.append(f"Line {line}. {why}")
        return None if wrong_line == line else (
            f"line {wrong_line} is as it should be, given what stands above it. Take another look at each shape and "
            f"each local derivative.")
    return verdict(f"Bug {number}", wrong_line, judge, "Write the number of the line in place of None.")


def bugs_found(wrong_lines):
    """The numbers of the bugs that were found: wrong_lines has the reader's answer for each, in their order."""
    with contextlib.redirect_stdout(io.StringIO()):
        return [number for number, line in enumerate(wrong_lines, 1) if bug(number, line)]


def with_bug(number):
    """gradients_by_hand with one of the bugs in it."""
    *_, line, wrong = _BUGS[number]
    space = {"torch": torch, "F": F}
    exec(inspect.getsource(gradients_by_hand).replace(line, wrong), space)
    return space["gradients_by_hand"]
