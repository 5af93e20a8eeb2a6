"""The checks of lecture 3, activations and batch norm."""

import types

import torch
import torch.nn.functional as F

from mmutils.data import build_dataset, build_vocabulary, split_words
from mmutils.exercises.verdict import as_tensor, check, entropy, recognised


@check("E01", "zeros_mine", "moved_mine")
def e01_zeros(parameters, moved, words, found):
    """E01 of lecture 3: answer = (parameters, moved), [C, W1, b1, W2, b2] trained from zeros, and who learned.

    C alone starts at random. moved: a set of names (str). The loss on train must be that of the unigram, to 0.01.
    """
    names = ("C", "W1", "b1", "W2", "b2")
    moved = {moved} if isinstance(moved, str) else moved
    if not isinstance(moved, (set, frozenset, list, tuple)) or not all(isinstance(name, str) for name in moved):
        return 'moved_mine must be a set of names, such as {"C", "W1"}.'
    moved = set(moved)
    if unknown := moved - set(names):
        return f"moved_mine has {min(unknown)!r} in it; the names are C, W1, b1, W2 and b2."
    parameters = [as_tensor(p) for p in (parameters.values() if isinstance(parameters, dict) else parameters)]
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
            return (f"{name} is not zero, and from zeros in W1, b1, W2 and b2 it would be: was one of the four left at "
                    f"random? (Scale all four by 0.)")
    if not b2.any():
        return ("W1, b1, W2 and b2 are zero, all four: this net has not been trained yet, or the loop updates other "
                "tensors than these.")
    _, Y = build_dataset(split_words(words)[0], stoi, 1)
    unigram, b2 = entropy(Y), b2.float().reshape(1, side)
    loss = F.cross_entropy(b2.expand(len(Y), -1), Y).item()  # h is 0, so b2 is all of the logits
    if loss > unigram + 0.01:
        if F.cross_entropy(-b2.expand(len(Y), -1), Y).item() < loss - 0.1:
            return f"the loss on train is {loss:.4f}, and goes the wrong way: a step goes against the gradient."
        return (f"the loss on train is {loss:.4f}, and it can come lower. If it was trained on train, take more steps, "
                f"or a higher learning rate; then a large batch, or a lower rate at the end, against the noise.")
    if "b2" not in moved:
        return "one of those you leave out does learn: compare each parameter with what it was before the training."
    if moved - {"b2"}:
        return "not all that moved_mine names have learned. Which gradients are other than 0? Print them."
    found.append(f"Only the output bias learns, and the loss comes to {loss:.4f}; a unigram has {unigram:.4f}.")


def _layers_to_fold(with_bias):
    """A Linear and a BatchNorm1d with lively numbers, each time with another eps. A neuron has a tiny variance."""
    g = torch.Generator().manual_seed(7)
    linear = types.SimpleNamespace(weight=torch.randn((6, 8), generator=g),
                                   bias=torch.randn(8, generator=g) if with_bias else None)
    norm = types.SimpleNamespace(gamma=0.5 + torch.rand(8, generator=g), beta=torch.randn(8, generator=g),
                                 eps=1e-3 if with_bias else 1e-5, training=False,
                                 running_mean=torch.randn(8, generator=g),
                                 running_var=torch.tensor([1e-4, 0.01, 0.3, 0.5, 2.0, 3.0, 4.0, 9.0]))
    return linear, norm, torch.randn((64, 6), generator=g) * 0.1


def _contents(linear, norm):
    """What the two layers hold, as lists and numbers that can be compared."""
    return [{name: value.tolist() if isinstance(value, torch.Tensor) else value for name, value in vars(layer).items()}
            for layer in (linear, norm)]


def _normed(linear, norm, x, *, gamma=1, beta=1, mean=1, bias=1, std=None):
    """norm(linear(x)) at test time, float64; a factor of 0 leaves a part out, -1 turns its sign; std: another."""
    x = x.double() @ linear.weight.double() + bias * (0 if linear.bias is None else linear.bias)
    std = (norm.running_var.double() + norm.eps).sqrt() if std is None else std
    return (x - mean * norm.running_mean) / std * (norm.gamma if gamma else 1) + beta * norm.beta


@check("E02", "fold_mine(linear, norm) returns (weight, bias)")
def e02_fold(fold, found):
    """E02 of lecture 3: fold(linear, norm) → (weight, bias), so that x @ weight + bias is norm(linear(x)) at test time.

    linear has weight (fan_in, fan_out) and bias (fan_out,) or None; norm has gamma, beta, running_mean, running_var,
    each (fan_out,), eps and training.
    """
    for with_bias in (False, True):
        linear, norm, x = _layers_to_fold(with_bias)
        before = _contents(linear, norm)
        try:
            answer = fold(linear, norm)
        except TypeError as error:
            if "NoneType" in str(error) and linear.bias is None:
                return "linear.bias may be None: then there is no bias to fold in, and 0 takes its place."
            raise
        except RuntimeError as error:
            if "size of tensor" in str(error):
                return (f"two shapes do not fit together ({str(error).splitlines()[0]}). A scale has a number for each "
                        f"neuron, and the neurons are the columns of the weight (fan_in, fan_out): no [:, None].")
            raise
        if not isinstance(answer, (tuple, list)) or len(answer) != 2:
            return "fold_mine must return two things: (weight, bias)."
        if _contents(linear, norm) != before:
            return "it changes the layers that it gets. Make new tensors instead of writing into theirs."
        if any(part is None for part in answer):
            return "one of the two is None. Without linear.bias too there is a bias, made of running_mean and beta."
        weight, bias = (as_tensor(part).double() for part in answer)
        if weight.shape != linear.weight.shape:
            hint = " It is transposed." if weight.shape == linear.weight.T.shape else ""
            return f"the weight has the shape {tuple(weight.shape)} instead of {tuple(linear.weight.shape)}.{hint}"
        if tuple(bias.shape) not in ((weight.shape[1],), (1, weight.shape[1])):
            return f"the bias has the shape {tuple(bias.shape)} instead of ({weight.shape[1]},)."
        out = x.double() @ weight + bias
        if not out.isfinite().all():
            return "the result is not finite."

        def near(mistake, out=out, linear=linear, norm=norm, x=x):
            return torch.allclose(out, _normed(linear, norm, x, **mistake), atol=1e-4, rtol=1e-5)

        var, eps = norm.running_var.double(), norm.eps
        a_variance = "It is the variance: divide by the root of running_var + eps."
        no_scale = _normed(linear, norm, x, mean=0, bias=0, beta=0)
        if not near({}):
            return recognised(near, {
                "the gain is forgotten: gamma multiplies what is standardised.": {"gamma": 0},
                "beta is forgotten: BatchNorm's own bias is added at the end.": {"beta": 0},
                "beta has the wrong sign: BatchNorm's own bias is added at the end.": {"beta": -1},
                "eps is forgotten: the root is taken of running_var + eps. (A small variance shows it.)":
                    {"std": var.sqrt()},
                "eps stands outside the root: the root is taken of running_var + eps. (A small variance shows it.)":
                    {"std": var.sqrt() + eps},
                f"eps is taken as 1e-5, but norm.eps is {eps} here.": {"std": (var + 1e-5).sqrt()},
                f"running_var is taken as the std. {a_variance}": {"std": var + eps},
                f"running_var is taken as the std, and without eps. {a_variance}": {"std": var},
                "it multiplies by the std. To standardise is to divide by it.": {"std": (var + eps) ** -0.5},
                "running_mean is forgotten: it is subtracted before the division.": {"mean": 0},
                "running_mean has the wrong sign: it is subtracted before the division.": {"mean": -1},
                "with a biased Linear it goes wrong: its bias is standardised too, so it belongs into the new bias.":
                    {"bias": 0},
            }) or ("the weight is right, the bias is not. What becomes of linear.bias, of running_mean and of beta? "
                   "The first two are scaled, the third is not." if (out - no_scale).std(0).max() < 1e-4 else
                   "x @ weight + bias is not norm(linear(x)). Write the formula of norm down, put x @ W + b in for its "
                   "input, and collect what multiplies x.")
    found.append("One linear layer does the work of the two, with and without a bias before.")


# ----- E03: six patients ----------------------------------------------------------------------------------------------

ILLNESSES = ["dead neurons", "last layer too large", "last layer too small", "learning rate too high",
             "learning rate too low", "no nonlinearity", "weights too large", "weights too small"]

# what each of them has, and where that is to be seen
_PATIENTS = {
    "A": ("learning rate too high", "how far above −3 are the lines of picture 4, nearly all of them?"),
    "B": ("weights too small", "follow the numbers of picture 2 from the last row up to the first, and the std of "
                               "picture 1 from the first down to the last"),
    "C": ("dead neurons", "in picture 1 one row is unlike its neighbours. Where do so many of its outputs stand?"),
    "D": ("last layer too small", "where does the orange line of picture 4 begin, and where in the healthy net?"),
    "E": ("weights too large", "look at all rows of picture 1, and at where picture 2 is widest"),
    "F": ("learning rate too low", "how far below −3 are the lines of picture 4, all of them?"),
}


class Linear:
    """x (n, fan_in) → (n, fan_out), as in the notebook."""

    def __init__(self, fan_in, fan_out, g):
        self.weight, self.bias = torch.randn((fan_in, fan_out), generator=g) / fan_in**0.5, torch.zeros(fan_out)

    def __call__(self, x):
        self.out = x @ self.weight + self.bias
        return self.out

    def parameters(self):
        return [self.weight, self.bias]


class Tanh:
    def __call__(self, x):
        self.out = torch.tanh(x)
        return self.out

    def parameters(self):
        return []


def patients(words):
    """A healthy net and six with one illness each, all trained for some steps: a dict of "healthy" or letter → net.

    A net has what four_pictures() takes: layers (with out and its gradient for 500 examples), parameters and ud.
    """
    stoi, _ = build_vocabulary(words)
    X, Y = build_dataset(split_words(words)[0], stoi, 3)
    illnesses = {"healthy": None} | {letter: illness for letter, (illness, _) in _PATIENTS.items()}
    return {name: _patient(illness, X, Y, len(stoi)) for name, illness in illnesses.items()}


def _patient(illness, X, Y, side, n_steps=50):
    g = torch.Generator().manual_seed(2147483647)
    gain = {"weights too small": 0.5, "weights too large": 3.0}.get(illness, 5 / 3)
    rate = {"learning rate too low": 0.001, "learning rate too high": 1.0}.get(illness, 0.1)
    C, layers, fan_in = torch.randn((side, 10), generator=g), [], 30
    for _ in range(5):
        layers += [Linear(fan_in, 100, g), Tanh()]
        layers[-2].weight *= gain
        fan_in = 100
    layers.append(Linear(fan_in, side, g))
    layers[-1].weight *= 0.01 if illness == "last layer too small" else 1.0
    if illness == "dead neurons":
        layers[4].bias[torch.randperm(100, generator=g)[:40]] = 25.0
    parameters = [C] + [p for layer in layers for p in layer.parameters()]
    for p in parameters:
        p.requires_grad = True

    def backward(ix):
        for p in parameters:
            p.grad = None
        x = C[X[ix]].view(len(ix), -1)
        for layer in layers:
            x = layer(x)
            x.retain_grad()
        F.cross_entropy(x, Y[ix]).backward()

    ud = []
    for _ in range(n_steps):
        backward(torch.randint(0, len(X), (32,), generator=g))
        with torch.no_grad():
            ud.append([(rate * p.grad.std() / p.std()).log10().item() for p in parameters])
            for p in parameters:
                p -= rate * p.grad
    backward(torch.randint(0, len(X), (500,), generator=g))
    return types.SimpleNamespace(layers=layers, parameters=parameters, ud=ud)


@check("E03", "diagnosis_mine")
def e03_diagnosis(diagnosis, found):
    """E03 of lecture 3: diagnosis is a dict of letter → illness, one of ILLNESSES for each of the six patients."""
    if not isinstance(diagnosis, dict):
        return f'diagnosis_mine must be a dict of letter to illness: {{"A": "{ILLNESSES[0]}", …}}.'
    answer = {str(letter).strip().upper(): illness for letter, illness in diagnosis.items() if illness is not None}
    if unknown := sorted(answer.keys() - _PATIENTS.keys()):
        return f"there is no patient {unknown[0]!r}; there are A to F."
    for letter, illness in answer.items():
        if not isinstance(illness, str) or illness.strip().lower() not in ILLNESSES:
            return f"{letter} has {illness!r}, which is none of the illnesses: {', '.join(ILLNESSES)}."
    wrong = [letter for letter, illness in sorted(answer.items()) if illness.strip().lower() != _PATIENTS[letter][0]]
    missing = ", ".join(sorted(_PATIENTS.keys() - answer.keys()))
    if wrong:
        looks = " ".join(f"{letter}: {_PATIENTS[letter][1]}." for letter in wrong).replace("?.", "?")
        return (f"{len(answer) - len(wrong)} of {len(_PATIENTS)} are right. {looks}"
                + f" Without a diagnosis: {missing}." * bool(missing))
    if missing:
        return f"without a diagnosis: {missing}." + " The others are right." * bool(answer)
    found.append("All six have the illness that you name.")
