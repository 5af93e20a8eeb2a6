"""The checks of lecture 4, gradients by hand."""

import collections
import contextlib
import fractions
import gc
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
    return copies.setdefault(id(by), (found.clone(), by))[0].copy_(found)  # a copy that was changed is as it was


def _share(tensor, by):
    """What comes back to a tensor from one of its uses."""
    edge = torch.autograd.graph.get_gradient_edge(tensor)[:2]
    passed = by.grad_fn(by.grad)
    passed = passed if isinstance(passed, tuple) else (passed,)
    shares = [share for share, other in zip(passed, by.grad_fn.next_functions, strict=True) if other == edge]
    return sum(shares).sum_to_size(tensor.shape).detach()


def gradient(answer, tensor, loss, name="the gradient", *, by=None, usual=None):
    """Hold a gradient that was made by hand against autograd's: that of `loss` with respect to `tensor`.

    Returns True, False, or None for "not tried yet", and never raises. An entry may differ by 1e-5 of its size, plus
    what rounding leaves of the sums behind it. The graph of `loss` must have been kept (retain_graph=True).
    by: one of the things that the tensor was used for, if only the share is asked for that comes back from there.
    usual: a function that may know what is wrong with an answer of the right shape, better than what is tried here.
    """
    card = name.removeprefix("my_d") if by is None and name.startswith("my_d") else None

    def judge(found):
        if isinstance(answer, tuple) and len(answer) == 1:
            return "this is a tuple of one. Is there a comma at the end of your line?"
        handed_out = dict(getattr(tensor, "handed_out", {}))
        kept = [tensor.grad if tensor.is_leaf or tensor.retains_grad else None, handed_out.pop(id(by), [None])[0]]
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
        if wrong and usual and tuple(as_tensor(answer).shape) == tuple(tensor.shape):
            wrong = usual(as_tensor(answer).double()) or wrong
        unseen = not usual and any((use.share.abs() <= noise).all() for use in uses)
        if unseen and not wrong and not as_tensor(answer).double().equal(reference.double()):
            found[:] = [("It is" if len(uses) == 1 else "One of its shares is") + " 0 up to rounding, so this check "
                        "can tell neither a sign nor a factor there: compare your line with the solution."]
        for first, use in handed_out.values():
            if _memory(answer) == _memory(first):
                right(tensor, use)
                wrong = wrong and "this is the first share itself. Add the second one to a .clone() of it."
                found.append("But += has changed the first share as well, since both names are one tensor: begin with "
                             "a .clone() of it. This check has set it right again.")
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
        return "this is the whole gradient, from both uses. Here only the share from one of them is asked for."
    if any(_wrong_gradient(answer, use.share, (), noise) is None for use in uses):
        return "this is the share that comes back from the other use."
    return wrong


def _memory(x):
    """Where the numbers of x lie: the same place for a tensor, its views, and what is detached from it."""
    return as_tensor(x).untyped_storage().data_ptr() if isinstance(x, torch.Tensor) or hasattr(x, "shape") else None


# What comes back to a tensor by one use: its share of the gradient; the gradient above the operation, that operation's
# name and local derivative; and the name of the node that handed it on.
_Use = collections.namedtuple("_Use", "share above kind local node", defaults=(None, "", None, ""))
_NODES = {"Sum": "the sum", "Mul": "the product", "Pow": "the power", "Sub": "the difference", "Max": "the maximum"}
_LOOKUPS = ("Index", "IndexSelect", "Embedding", "Gather")
_ITSELF = {"has the number itself as a factor. The derivative of a·b by a is b: take the other one": lambda x, d: d * x}
_USUAL = {  # what is taken for a share, as a function of the operation's input and of what comes from above
    "Tanh": {"squares the input. Look again at what the formula squares": lambda x, d: d * (1 - x**2),
             "lacks the square of the output": lambda x, d: d * (1 - x.tanh()),
             "squares too late": lambda x, d: d * (1 - x.tanh()) ** 2,
             "has the output as a factor, instead of 1 − output²": lambda x, d: d * x.tanh(),
             "lacks brackets around 1 − output²": lambda x, d: d - x.tanh() ** 2,
             "has the sigmoid's derivative as a factor": lambda x, d: d * x.tanh() * (1 - x.tanh())},
    "Exp": {"has the input as a factor. Look up the derivative of exp": lambda x, d: d * x},
    "Log": {"is divided by the output of the logarithm, not by its input": lambda x, d: d / x.log()},
    "Pow": {f"goes like the input to the power {k:g}. The derivative of a power has an exponent that is lower by 1":
            lambda x, d, k=k: d * x**k for k in (-1, -0.5, 0.5, 0.75, 1, 2)},
    "Mul": _ITSELF, "Sum": _ITSELF}


def _traced(tensor, loss):
    """(d loss / d tensor, the uses of the tensor, how much of the gradient may be rounding).

    Goes through autograd's graph node by node: a second backward() would add to the .grad of what keeps its gradient.
    """
    if not hasattr(loss.grad_fn, "_input_metadata"):
        return _backward_again(tensor, loss)
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
    eps, uses = torch.finfo(tensor.dtype).eps, []
    made = {}  # node → by which operation, if what is above it (+ 1e-5, or a view) only hands on: see `origin`

    def passed_by(node, grads):
        passed = node(*[grads.get(k) for k in range(len(node._input_metadata))])
        return passed if isinstance(passed, tuple) else (passed,)

    for node in reversed(order):
        grads = arrived.pop(node)
        if node is target:
            return grads[slot], uses, max(noise[node], 16 * eps * grads[slot].abs().max().item())
        if not node.next_functions:  # a parameter, and not the one that was asked for
            continue
        above, name = next(iter(grads.values())), node.name().partition("Backward")[0]
        for i, (grad, (other, k)) in enumerate(zip(passed_by(node, grads), node.next_functions, strict=True)):
            if other is None or grad is None:
                continue
            only = sum(one is not None for one, _ in node.next_functions) == 1
            by = made.get(node) if only and grad.equal(above) else None
            there, origin = arrived.setdefault(other, {}), by or (node, grads, i, above, name)
            made[other] = None if there else origin
            grad = grad.sum_to_size(other._input_metadata[k].shape)  # where it had been broadcast
            if other is target and k == slot:
                by_ones = passed_by(origin[0], {j: torch.ones_like(one) for j, one in origin[1].items()})[origin[2]]
                uses.append(_Use(grad, *origin[3:], by_ones.double(), name))
            there[k] = there[k] + grad if k in there else grad
            # a few last places of the largest number in the sum; and where nearly all has cancelled above, all of that
            size, largest = grad.abs().max().item(), above.abs().max().item()
            local = 8 * eps * max(size, largest * max(1, above.numel() / grad.numel()))
            noise[other] = max(noise[other], local, noise[node] * size / largest if noise[node] > 1e-2 * largest else 0)
    raise ValueError("the loss does not depend on this tensor")


def _backward_again(tensor, loss):
    """The same, but for the uses, where torch does not show enough of its graph: 2.2, which Intel Macs have."""
    keeping = [(x, x.grad) for x in gc.get_objects()
               if issubclass(type(x), torch.Tensor) and not x.is_leaf and x.retains_grad]
    reference, = torch.autograd.grad(loss, tensor, retain_graph=True)
    for x, grad in keeping:
        x.grad = grad
    return reference, [], max(2e-8, 16 * torch.finfo(tensor.dtype).eps * reference.abs().max().item())


def _times(factor):
    """What has become of something right by a factor, in numbers that can be looked for in the code."""
    size, sign = abs(factor), " and has the wrong sign" * (factor < 0)
    if abs(size - 1) < 1e-4:
        return "has the wrong sign" if factor < 0 else "is right"
    near = fractions.Fraction(size).limit_denominator(130)
    if abs(near - size) > 1e-5 * size:
        return f"is {size:.4g} times what it should be{sign}"
    top, bottom = near.numerator, near.denominator
    if 1 in (top, bottom):
        hint = " (is a 1/n missing?)" if top > 2 else " (a mean for a sum?)" if bottom > 2 else ""
        return f"is {max(top, bottom)} times too {'large' if bottom == 1 else 'small'}{sign}{hint}"
    return f"is {near} of what it should be{sign}{' (n and n − 1 mixed up?)' * (abs(top - bottom) == 1)}"


def _fit(a, terms, noise):
    """The factors with which some terms add up to a, or None if they do not, or cannot be told apart."""
    rows = torch.stack([term.double().flatten() for term in terms])
    sizes = rows.norm(dim=1, keepdim=True)
    units = rows / sizes.clamp(min=1e-30)
    if not torch.linalg.det(units @ units.T) > 1e-6:
        return None
    factors = torch.linalg.solve(units @ units.T, units @ a.flatten()) / sizes[:, 0]
    largest, fit = factors.abs().max().item(), factors @ rows
    close = (a.flatten() - fit).abs() <= noise * max(1.0, largest) + 1e-4 * fit.abs()
    return factors.tolist() if 1e-6 < largest < 1e3 and close.all() else None


def _wrong_parts(a, parts, noise, but=""):
    """What is wrong with a sum of parts: how each must be changed to make the answer (None if that is not it).

    parts: name → what may have been taken for that part, as text → tensor; "" is the part itself. but: what is wrong
    with all of them.
    """
    found = []
    for choice in itertools.product(*(options.items() for options in parts.values())):
        if factors := _fit(a, [tensor for _, tensor in choice], noise):
            told = ["is missing" if len(parts) > 1 and abs(factor) < 1e-3 else text or _times(factor)
                    for (text, _), factor in zip(choice, factors, strict=True)]
            odd = [f"{name} {what}" for name, what in zip(parts, told, strict=True) if what != "is right"]
            if not odd and not but:
                return None
            rest = ["the rest is right"] * ("is right" in told) + [", ".join(odd)] * bool(odd)
            wrong = f"it {told[0]}" if odd and len(set(told)) == 1 else ", but ".join(rest)
            off = sum(abs((f if text else abs(f)) - 1) > 1e-4 for (text, _), f in zip(choice, factors, strict=True))
            found.append((off, f"{but}{wrong}."))
    return min(found, key=lambda one: one[0])[1] if found else None


def _fitted(x, shape):
    """Summed or copied to this shape, or None if it does not fit."""
    for fit in (torch.Tensor.sum_to_size, torch.Tensor.expand):
        with contextlib.suppress(RuntimeError):
            return None if x is None else fit(x.double(), shape)
    return None


def _taken(use, x):
    """What is taken for the share that comes back to a tensor x from one of its uses: text → tensor, first itself."""
    above, local = _fitted(use.above, use.share.shape), _fitted(use.local, use.share.shape)
    taken = {"is what comes from above, passed through without the local factor: multiply by the derivative of the "
             "operation, number by number": above,
             "is the local derivative alone: multiply it by what comes from above, number by number": local}
    if above is not None and local is not None and use.above.shape == use.local.shape:
        taken |= {"is summed too early: multiply number by number first, then sum": above * local} if (
            use.above.shape != use.share.shape) else {
            "is upside down: it divides where it should multiply, or the other way round": above / local}
    if x is not None:
        taken |= {"is the tensor itself, not its gradient": x}
        taken |= {"has the product as a factor: take the other factor only": use.share * x} if use.kind == "Mul" else {}
    if x is not None and above is not None:
        taken |= {text: usual(x, above) for text, usual in _USUAL.get(use.kind, {}).items()}
    return {"": use.share} | {text: y for text, y in taken.items() if y is not None and y.isfinite().all()}


def _wrong_gradient(answer, reference, uses=(), noise=0.0, tensor=None):
    """What is wrong with a gradient (None if nothing is), found by trying the usual mistakes on the right one."""
    a, r = as_tensor(answer), reference.detach().double()
    if a.is_complex() or a.dim() and not a.is_floating_point():
        return f"these are no numbers with a decimal point ({a.dtype})."
    a = a.double()

    def near(x, y=r):
        return bool(((x - y).abs() <= noise + 1e-5 * y.abs()).all())

    if a.shape != r.shape:
        return _wrong_shape(a, r, near, uses, noise, tensor)
    if not a.isfinite().all():
        return "some entries are nan or infinite."
    nothing = bool((r.abs() <= noise).all())
    if near(a):  # where all is rounding, what rounding leaves over has its sign and its factor, too
        factors = _fit(a, [r], 0.0) if nothing and r.count_nonzero() > 7 else None
        return f"it {_times(*factors)}." if factors and abs(factors[0] - 1) > 1e-4 else None
    if a.dim() == 2 and a.shape == a.T.shape and near(a.T):
        return "it is transposed: the shape cannot tell, since it is square, but the numbers can."
    if nothing:
        return "the right answer is 0 up to rounding; yours is not. What cancels here?"
    if len(uses) > 1 and any(near(a, use.share.double()) for use in uses):
        return (f"this is the gradient from one use only. On the way forward it is used {len(uses)} times: add up what "
                f"comes back from each.")
    if (a == 0).all():
        return "it is zero everywhere."
    if len(uses) < 2 and ((a - r).abs() <= noise + 5e-4 * r.abs()).all():
        return "it is all but equal. Is every small constant in its place, such as the 10⁻⁵ of the variance?"
    through = {f"the share that comes through {_NODES.get(use.node, use.node)}": _taken(use, tensor) for use in uses}
    for parts in {"it": {"": r} | (_taken(*uses, tensor) if len(uses) == 1 else {})}, through:
        if 1 <= len(parts) <= 2 and (wrong := _wrong_parts(a, parts, noise)):
            return wrong
    off = (a - r).abs()
    good = off <= noise + 1e-5 * r.abs()
    if any(use.node in _LOOKUPS for use in uses):
        if good[r != 0].all():
            return ("what was looked up is right. What was not takes no part in the loss, so its gradient is 0."
                    " ([:, Yb] is whole columns; [range(n), Yb] is one place in each row.)")
        rows = good.flatten(1).all(1) if a.dim() > 1 else good
        if uses[0].above is not None and (rows & r.flatten(1).any(1)).any():  # some right: how were the others made?
            pieces = uses[0].above.double().reshape(-1, *r.shape[1:])
            if all((pieces - row).abs().flatten(1).amax(1).min() < 1e-4 * r.abs().max() for row in a[~rows]):
                return ("whole rows are right, but a row that is used often has only one of its gradients. With an "
                        "index that repeats, = and += write once for each row, so that one overwrites the others. The "
                        "loops, or index_add_, add them all.")
    right = good[r != 0].double().mean().item()
    where = tuple(int(i) for i in torch.unravel_index(off.argmax(), off.shape))
    return (f"the shape is right, {int(100 * right)}% of the entries are{', zeros aside' * bool((r == 0).any())}. "
            f"The largest difference is {off.max().item():.1e}, at {list(where)}: yours is {a[where].item():.3g}, "
            f"autograd's {r[where].item():.3g}.")


def _summed(full, shape):
    """The dimension over which a sum has made this shape of the full one, or None."""
    return next((d for d, size in enumerate(full) if size > 1
                 and shape in (full[:d] + full[d + 1:], full[:d] + (1,) + full[d + 1:])), None)


def _wrong_shape(a, r, near, uses, noise, x):
    """What is wrong with a gradient whose shape is not that of its tensor."""
    shape, wanted = tuple(a.shape), tuple(r.shape)
    told = f"the shape is {shape} instead of {wanted}: a gradient has the shape of its tensor."

    def even(x_of_wanted_shape):
        wrong = _wrong_gradient(x_of_wanted_shape, r, uses, noise, x)
        return " The numbers are right." if not wrong else "" if "shape" in wrong else f" Even then {wrong}"

    same = [size for size in shape if size > 1] == [size for size in wanted if size > 1]
    if a.numel() == r.numel() and (same or near(a.reshape(wanted))):
        return f"{told} " + ("Give the numbers their place by view." if not same else "Leave keepdim=True out." if len(
            shape) > len(wanted) else "A sum with keepdim=True keeps the dimension.") + even(a.reshape(wanted))
    if shape == wanted[::-1] and len(shape) == 2 and 1 not in shape:
        return f"{told} It is transposed.{even(a.T)}"
    with contextlib.suppress(RuntimeError):
        summed = a.sum_to_size(wanted)
        over = [d + a.dim() for d in range(-a.dim(), 0) if -d > r.dim() or r.shape[d] == 1 < a.shape[d]]
        return (f"{told} On the way forward it was broadcast: copied. What comes back to the copies is added up: sum "
                f"over dimension {', '.join(map(str, over))}.{even(summed)}")
    with contextlib.suppress(RuntimeError):
        if (wrong := even(a.expand(wanted))) and (a.dim() or "right" in wrong):
            return f"{told} Each entry has a gradient of its own: spread them out.{wrong}"
    for use in uses:
        full = tuple(use.above.shape) if use.above is not None else ()
        mine, right = _summed(full, shape), _summed(full, wanted)
        if mine is not None and mine != right and (right is not None or wanted == full):
            return f"{told} You summed over dimension {mine}; " + (
                "but nothing was copied along it." if right is None else f"the copies ran along dimension {right}.")
        if use.node in _LOOKUPS and full[-1:] == wanted[-1:]:
            return (f"{told} Each of the {use.above.numel() // full[-1]} rows that come back must be added to the one "
                    f"that it was copied from.")
    return told


# ----- exercises 2 to 4 -----------------------------------------------------------------------------------------------

def e02_cross_entropy(answer, logits, loss, Yb):
    """E02 of lecture 4: the gradient of logits in one step, from the softmax and the right characters."""
    p, hot, n = logits.detach().double().softmax(1), F.one_hot(Yb, logits.shape[1]).double(), len(Yb)
    parts = {"the softmax": {"": p / n}, "what is subtracted from it": {
        "": -hot / n, "stands in its place: write -=, not =": -(1 + p) * hot / n,
        "stands in whole columns: [:, Yb]. One place in each row is [range(n), Yb]": -hot.amax(0).expand_as(p) / n}}
    return gradient(answer, logits, loss, "my_dlogits_fast", usual=lambda a: _wrong_parts(a, parts, 1e-7))


def e03_batchnorm(answer, hprebn, loss, *given):
    """E03 of lecture 4: the gradient of hprebn in one step. given: dhpreact, bngain, bnvar_inv, bnraw."""
    g, gain, inv, raw = (tensor.detach().double() for tensor in given)
    n, third = len(g), -raw * (g * raw).sum(0) / (len(g) - 1)
    terms = {"the term of x̂": {"": g}, "the term of μ": {"": -g.mean(0).expand_as(g)}, "the term of σ²": {
        "": third, "lacks Bessel's n/(n − 1): here the variance is divided by n − 1": third * (n - 1) / n,
        "lacks bnraw before the sum": third / raw, "lacks bnraw inside the sum": -raw * g.sum(0) / (n - 1)}}

    def mistake(a):
        for lost, scale in {"": gain * inv, "the factor bngain is missing; ": inv,
                            "the factor bnvar_inv is missing; ": gain}.items():
            scaled = {name: {text: scale * term for text, term in options.items()} for name, options in terms.items()}
            if wrong := _wrong_parts(a, scaled, 1e-6 * a.abs().max().item(), lost):
                return wrong
        return None
    return gradient(answer, hprebn, loss, "my_dhprebn_fast", usual=mistake)


_NAMES = ("C", "W1", "b1", "W2", "b2", "bngain", "bnbias")
_ON_THE_WAY = {  # as they are found, from the loss backwards: where a mistake lies if all before are right
    "b2": "dlogits, and its sum over the examples", "W2": "h.T @ dlogits", "bngain": "dh and dhpreact",
    "bnbias": "the sum of dhpreact", "b1": "dhprebn", "W1": "dhprebn and embcat.T @ dhprebn",
    "C": "dembcat, and how its rows are added up: all the others are right"}
_BIASED = "the variance is divided by n. The lecture divides by n − 1."
_SLIPS = {  # what is wrong → what stands in gradients_by_hand, and how one has it who made this mistake
    _BIASED: ("var(0, keepdim=True)", "var(0, keepdim=True, correction=0)"),
    "tanh's local factor, 1 − h², is missing.": ("(1.0 - h**2) * dh", "dh"),
    "the last term of dhprebn lacks Bessel's n/(n − 1).": ("- n / (n - 1) * bnraw", "- bnraw"),
    "C[Xb] += … adds only one of the gradients of a row; index_add_ adds them all.": (
        "dC.index_add_(0, Xb.view(-1), demb.view(-1, C.shape[1]))", "dC[Xb] += demb")}
_OUTSIDE = ("Does it take anything from outside the function? Let it make all of its arguments: C, W1, … = parameters, "
            "and n = len(Xb).")


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
        exact = [p.double() for p in parameters]
        loss, reference = gradients_by_hand(exact, X, Y)
        answer, stopped = None, None
        with torch.no_grad(), Calls() as calls:
            try:
                answer = function(parameters, X, Y)
            except (RuntimeError, IndexError) as error:
                stopped = error
        if calls.names & {"backward", "grad"}:
            return "it calls backward(), or autograd's grad. The point of this one is to do without."
        if stopped:
            return f"with {n} examples and {n_embd} numbers a character it stops ({stopped}). {_OUTSIDE}"
        if not isinstance(answer, (tuple, list)) or len(answer) != 2:
            return "it must return two things: the loss, and the list of the seven gradients."
        if not all(p.equal(q) for p, q in zip(parameters, kept, strict=True)):
            return "it changes the parameters. Let it return the gradients only; the update comes after it."
        value, right, gradients = number(answer[0]), loss.item(), list(answer[1])
        if len(gradients) != 7 or any(x is None for x in gradients):
            return f"seven gradients are needed, in the order of the parameters: {', '.join(_NAMES)}."
        if not abs(value - right) <= 1e-4:
            biased = _changed(*_SLIPS[_BIASED])(exact, X, Y)[0].item()
            return f"with {n} examples the loss is {value:.4f} instead of {right:.4f}" + (recognised(
                value, {f": {_BIASED}": biased}
                | {f": {text}": other for text, other in usual_losses(right, n).items()}) or f". {_OUTSIDE}")
        largest = max(r.abs().max().item() for r in reference)
        for name, where in _ON_THE_WAY.items():
            place = _NAMES.index(name)
            x, r = gradients[place], reference[place]
            noise = 1e-5 * r.abs().max().item() + 1e-6 * largest
            if wrong := _wrong_gradient(x, r, noise=noise):
                if any(_wrong_gradient(y, r, noise=noise) is None for y in gradients if y is not x):
                    return f"the list has d{name} in another place. Its order is that of {', '.join(_NAMES)}."
                wrong = next((slip for slip, lines in _SLIPS.items() if _wrong_gradient(
                    x, _changed(*lines)(exact, X, Y)[1][place], noise=noise) is None), wrong)
                return (f"with {n} examples, d{name} is the first that is wrong, counted from the loss: {wrong}"
                        + f" Look at {where}." * ("shape is (" not in wrong))
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


_BUGS = {  # number → the line that is wrong; what stands in gradients_by_hand, and how the bug has it
    1: (1, "    dlogits /= n\n", ""),
    2: (2, "1.0 - h**2", "1.0 - hpreact**2"),
    3: (4, "dlogits[range(n), Yb]", "dlogits[range(n), logits.argmax(1)]"),  # what is left pulls up the largest logit
    4: (3, "dC.index_add_(0, Xb.view(-1), demb.view(-1, C.shape[1]))", "dC[Xb] += demb"),
    5: (4, "- n / (n - 1) *", "- 0.5 * n / (n - 1) *"),
    6: (3, "db2 = dlogits.sum(0)", "db2 = dlogits.sum()")}
_tried = collections.defaultdict(set)  # bug → the lines that were tried


def bug(number, wrong_line):
    """Says whether a bug of the hunt is in this line: True, False, or None for "not tried yet"."""
    def judge(found):
        line, *_ = _BUGS[number]
        if wrong_line not in (1, 2, 3, 4):
            return "give the number of a line, without quotes: 1, 2, 3 or 4."
        _tried[number].add(wrong_line)
        found.append(f"Line {line}; lines tried: {len(_tried[number])}. And what is wrong with it? Say it first, then "
                     f"open the solution.")
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
    return _changed(*_BUGS[number][1:])


def _changed(line, wrong):
    """gradients_by_hand with one line changed."""
    space = {"torch": torch, "F": F}
    exec(inspect.getsource(gradients_by_hand).replace(line, wrong), space)
    return space["gradients_by_hand"]
