"""Exercises: the gradients of lecture 4: fed with right answers and with the usual wrong ones."""

import math
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mmutils.exercises import lecture4
from mmutils.exercises.lecture4 import e04_gradients, gradient

NAMES = ("C", "W1", "b1", "W2", "b2", "bngain", "bnbias")


class Net:
    """A forward pass in lecture 4's atoms, with all gradients kept. sizes: n, n_embd, n_hidden, context."""

    def __init__(self, n=16, n_embd=4, n_hidden=10, context=3, dtype=torch.float32, seed=1):
        g = torch.Generator().manual_seed(seed)
        shapes = [(27, n_embd), (context * n_embd, n_hidden), (n_hidden,), (n_hidden, 27), (27,), (1, n_hidden),
                  (1, n_hidden)]
        self.parameters = [(torch.randn(shape, generator=g) * (1 if i == 0 else 0.3) + (i == 5)).to(dtype)
                           .requires_grad_() for i, shape in enumerate(shapes)]
        self.Xb = torch.randint(0, 27, (n, context), generator=g)
        self.Xb[:, -1] = self.Xb[0, -1]
        self.Yb, self.n = torch.randint(0, 27, (n,), generator=g), n
        C, W1, b1, W2, b2, bngain, bnbias = self.parameters
        emb = C[self.Xb]
        embcat = emb.view(n, -1)
        hprebn = embcat @ W1 + b1
        bnmeani = 1 / n * hprebn.sum(0, keepdim=True)
        bndiff = hprebn - bnmeani
        bndiff2 = bndiff**2
        bnvar = 1 / (n - 1) * bndiff2.sum(0, keepdim=True)
        bnvar_inv = (bnvar + 1e-5) ** -0.5
        bnraw = bndiff * bnvar_inv
        hpreact = bngain * bnraw + bnbias
        h = torch.tanh(hpreact)
        logits = h @ W2 + b2
        logit_maxes = logits.max(1, keepdim=True).values
        norm_logits = logits - logit_maxes
        counts = norm_logits.exp()
        counts_sum = counts.sum(1, keepdim=True)
        counts_sum_inv = counts_sum**-1
        probs = counts * counts_sum_inv
        logprobs = probs.log()
        self.loss = -logprobs[range(n), self.Yb].mean()
        self.atoms = {k: v for k, v in locals().items() if isinstance(v, torch.Tensor) and v.requires_grad}
        for t in self.atoms.values():
            t.retain_grad()
        self.loss.backward(retain_graph=True)
        self.d = {name: t.grad.clone() for name, t in self.atoms.items()}


@pytest.fixture(scope="module")
def net():
    return Net()


@pytest.fixture
def judge(capsys, net):
    """Hold a gradient of one of net's atoms against autograd's: (verdict, what was printed)."""
    def judge(name, answer, net=net):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            result = gradient(answer, net.atoms[name], net.loss, f"d{name}")
        printed = capsys.readouterr()
        assert printed.err == "" and printed.out.endswith("\n") and printed.out.count("\n") == 1
        assert printed.out.startswith(f"d{name}: ")
        return result, printed.out
    return judge


@pytest.fixture
def no(judge):
    """A wrong gradient must be told, with these words."""
    def no(words_to_find, name, answer, **net):
        result, told = judge(name, answer, **net)
        assert result is False, told
        for word in [words_to_find] if isinstance(words_to_find, str) else words_to_find:
            assert word.lower() in told.lower(), told
    return no


# ----- gradient: right answers ----------------------------------------------------------------------------------------

@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("sizes", [{}, {"n": 2, "n_hidden": 1}, {"n": 200, "n_hidden": 300, "n_embd": 20}], ids=str)
def test_autograds_own_numbers_are_right_for_every_atom(judge, sizes, dtype):
    net = Net(**sizes, dtype=dtype)
    for name, d in net.d.items():
        result, told = judge(name, d, net=net)
        assert result is True, told
        assert told == f"d{name}: right. Its shape is {tuple(d.shape)}, and it equals autograd's up to rounding.\n"


def test_a_right_gradient_may_have_another_type_and_its_graph(judge, net):
    d = net.d["W2"]
    for answer in (d.double(), d.tolist(), d.numpy(), d.clone().requires_grad_(), net.atoms["h"].T @ net.d["logits"]):
        assert judge("W2", answer)[0] is True


def test_zero_is_right_where_the_gradient_is_rounding_only(judge, net):
    assert judge("logit_maxes", torch.zeros(net.n, 1))[0] is True
    assert judge("b1", torch.zeros(10))[0] is True


def test_the_check_leaves_the_kept_gradients_alone(judge, net):
    for name, t in net.atoms.items():
        judge(name, net.d[name])
        assert t.grad.equal(net.d[name])
    assert all(t.grad.equal(net.d[name]) for name, t in net.atoms.items())


def test_rounding_is_forgiven_and_no_more(judge, net):
    for name in ("logits", "W2", "dhprebn"[1:], "C", "probs"):
        d = net.d[name]
        assert judge(name, d + 1e-7 * d)[0] is True
        assert judge(name, d + 1e-3 * d.abs().max() * torch.ones_like(d))[0] is False


# ----- gradient: wrong answers ----------------------------------------------------------------------------------------

def test_nothing_is_not_tried_yet(judge):
    result, told = judge("logits", None)
    assert result is None
    assert told.startswith("dlogits: not tried yet") and "in place of None" in told


def test_autograds_gradient_itself_is_no_answer(no, net):
    for name in ("logits", "W1", "hprebn"):
        grad = net.atoms[name].grad
        for same in (grad, grad.detach(), grad[:], grad.view(-1), grad.T, grad.numpy()):
            no("the gradient that autograd has computed", name, same)


@pytest.mark.parametrize("answer", [None, ..., [], (), [None], (None, None)], ids=str)
def test_whatever_stands_for_nothing_is_not_tried_yet(judge, answer):
    assert judge("logits", answer)[0] is None


def test_a_broadcast_that_was_not_summed(no, net):
    no(["instead of (16, 1)", "copied", "over dimension 1."], "counts_sum_inv", net.atoms["counts"] * net.d["probs"])
    no(["instead of (1, 10)", "copied", "over dimension 0."], "bngain", net.atoms["bnraw"] * net.d["hpreact"])
    no(["instead of (27,)", "copied", "over dimension 0."], "b2", net.d["logits"])
    no(["instead of (27,)", "over dimension 0. Even then it is 2 times too large"], "b2", 2 * net.d["logits"])


def test_a_sum_that_lost_its_dimension(no, net):
    no(["(16,) instead of (16, 1)", "numbers are right", "keepdim"], "counts_sum_inv",
       (net.atoms["counts"] * net.d["probs"]).sum(1))
    no(["(1, 27) instead of (27,)", "numbers are right"], "b2", net.d["logits"].sum(0, keepdim=True))
    no(["(16, 12) instead of (16, 3, 4)", "view"], "emb", net.d["embcat"])


def test_a_sum_over_the_wrong_dimension(no, net):
    no("summed over dimension 1; the copies ran along dimension 0", "b2", net.d["logits"].sum(1))
    no("summed over dimension 0; the copies ran along dimension 1", "counts_sum_inv",
       (net.atoms["counts"] * net.d["probs"]).sum(0, keepdim=True))
    no("summed over dimension 1; but nothing was copied", "bnraw",
       (net.atoms["bngain"] * net.d["hpreact"]).sum(1, keepdim=True))
    no("instead of (27,)", "b2", net.d["logits"].sum())


def test_an_answer_with_too_many_dimensions_is_not_told_to_keep_them(judge, net):
    told = judge("b2", net.d["logits"].sum(0, keepdim=True))[1]
    assert "Leave keepdim=True out. The numbers are right" in told
    told = judge("emb", net.d["embcat"])[1]
    assert "view" in told and "keepdim" not in told
    told = judge("bngain", net.d["bngain"][0])[1]
    assert "A sum with keepdim=True keeps the dimension" in told


def test_a_gradient_that_was_left_to_broadcasting(no, judge, net):
    even = torch.full((4, 3), 2.0, requires_grad=True)
    loss = even.sum()
    assert gradient(torch.ones(4, 1), even, loss, "deven") is False
    assert gradient(torch.tensor(1.0), even, loss, "deven") is False
    assert gradient(torch.ones(4, 3), even, loss, "deven") is True


def test_spread_out_is_said(capsys):
    even = torch.full((4, 3), 2.0, requires_grad=True)
    gradient(1.0, even, even.sum(), "deven")
    assert "Each entry has a gradient of its own: spread them out. The numbers" in capsys.readouterr().out


def test_a_transposed_matrix(no, net):
    no(["(27, 10) instead of (10, 27)", "transposed. The numbers are right"], "W2", net.d["W2"].T)
    no(["(27, 10) instead of (10, 27)", "transposed."], "W2", 3 * net.d["W2"].T)


def test_a_transposed_square(no):
    square = Net(n=16, n_embd=4, n_hidden=12)
    no(["it is transposed", "square"], "W1", square.d["W1"].T, net=square)


@pytest.mark.parametrize("name, use", [
    ("counts", lambda d, a: a["counts_sum_inv"] * d["probs"]),
    ("counts", lambda d, a: d["counts_sum"].expand(16, 27)),
    ("bndiff", lambda d, a: a["bnvar_inv"] * d["bnraw"]),
    ("bndiff", lambda d, a: 2 * a["bndiff"] * d["bndiff2"]),
    ("hprebn", lambda d, a: d["bndiff"]),
    ("hprebn", lambda d, a: d["bnmeani"].expand(16, 10) / 16)])
def test_one_of_two_uses_forgotten(no, net, name, use):
    no(["one use only", "used 2 times", "add up"], name, use(net.d, net.atoms))


@pytest.mark.parametrize("name, use", [
    ("counts", lambda d, a: d["counts_sum"]), ("hprebn", lambda d, a: d["bnmeani"] / 16)])
def test_one_of_two_uses_that_is_not_spread_out_either(no, net, name, use):
    no(["instead of", "one use only", "spread them out"], name, use(net.d, net.atoms))


@pytest.mark.parametrize("name, answer, words", [
    ("hprebn", lambda d, a: d["bndiff"] + d["bnmeani"], ["the sum is 16 times too large", "1/n", "rest is right"]),
    ("hprebn", lambda d, a: d["bndiff"] - d["bnmeani"] / 16, ["through the sum has the wrong sign", "rest is right"]),
    ("hprebn", lambda d, a: d["bndiff"] + d["bnmeani"] / 15, ["through the sum is 16/15 of", "n − 1"]),
    ("bndiff", lambda d, a: a["bnvar_inv"] * d["bnraw"] + a["bndiff"] * d["bndiff2"],
     ["through the power goes like the input to the power 1", "lower by 1"]),
    ("counts", lambda d, a: 2 * a["counts_sum_inv"] * d["probs"], ["through the product is 2 times too large",
                                                                   "sum is missing"])])
def test_one_of_two_shares_is_off_by_a_factor(no, net, name, answer, words):
    no(words, name, answer(net.d, net.atoms))


def test_shares_are_not_told_apart_where_one_is_nothing(judge, net):
    told = judge("logits", net.d["norm_logits"] + torch.randn(net.n, 27, generator=torch.Generator().manual_seed(1)))[1]
    assert "share" not in told and "The shape is right" in told


@pytest.mark.parametrize("name, answer", [
    ("probs", lambda a: 1 / a["probs"]), ("hpreact", lambda a: 1 - a["h"] ** 2), ("norm_logits", lambda a: a["counts"]),
    ("counts_sum", lambda a: -(a["counts_sum"] ** -2)), ("bnvar", lambda a: -0.5 * (a["bnvar"] + 1e-5) ** -1.5)])
def test_a_local_derivative_without_what_comes_from_above(no, net, name, answer):
    no(["local derivative", "what comes from above"], name, answer(net.atoms))


@pytest.mark.parametrize("name, answer", [
    ("logit_maxes", lambda d, a: -d["norm_logits"].abs().sum(1, keepdim=True)),
    ("b1", lambda d, a: d["hprebn"].abs().sum(0))])
def test_what_should_be_nothing_is_not_compared_by_a_factor(judge, net, name, answer):
    result, told = judge(name, answer(net.d, net.atoms))
    assert result is False and "0 up to rounding; yours is not" in told and "factor" not in told


def test_the_sign_of_what_is_rounding_only_cannot_be_told(judge, no, net):
    """But where rounding leaves something over that has the answer's sign, it can."""
    d = net.d
    for answer in (torch.zeros(16, 1), -d["norm_logits"].flip(1).cumsum(1)[:, -1:]):
        result, told = judge("logit_maxes", answer)
        assert result is True and "neither a sign nor a factor" in told and "It is 0 up to rounding" in told
    assert "neither" not in judge("logit_maxes", -d["norm_logits"].sum(1, keepdim=True))[1]
    no("wrong sign", "logit_maxes", d["norm_logits"].sum(1, keepdim=True))
    no(["wrong sign", "keepdim"], "logit_maxes", d["norm_logits"].sum(1))
    no("27 times too small", "logit_maxes", -d["norm_logits"].mean(1, keepdim=True))
    no("16 times too small", "b1", d["hprebn"].mean(0))
    for answer in (d["norm_logits"], d["norm_logits"] - d["logit_maxes"]):
        result, told = judge("logits", answer)
        assert result is True and "One of its shares is 0 up to rounding" in told


PASSED_ON = {  # name → what comes from above, without the local factor
    "probs": lambda d: d["logprobs"], "counts_sum_inv": lambda d: d["probs"].sum(1, keepdim=True),
    "counts_sum": lambda d: d["counts_sum_inv"], "norm_logits": lambda d: d["counts"], "hpreact": lambda d: d["h"],
    "bngain": lambda d: d["hpreact"].sum(0, keepdim=True), "bnraw": lambda d: d["hpreact"],
    "bnvar_inv": lambda d: d["bnraw"].sum(0, keepdim=True), "bnvar": lambda d: d["bnvar_inv"],
}


@pytest.mark.parametrize("name", PASSED_ON)
@pytest.mark.parametrize("sizes", [{}, {"n": 32, "n_embd": 10, "n_hidden": 64}], ids=str)
def test_the_local_factor_left_out(no, name, sizes):
    net = Net(**sizes)
    no("passed through without the local factor", name, PASSED_ON[name](net.d), net=net)
    no("without the local factor", name, -0.5 * PASSED_ON[name](net.d), net=net)


USUAL = {
    "card 1, everywhere": ("logprobs", "takes no part in the loss", lambda d, a: torch.full((16, 27), -1 / 16)),
    "card 1, no mean": ("logprobs", "16 times too large (is a 1/n missing?)", lambda d, a: 16 * d["logprobs"]),
    "card 2, the tensor": ("probs", "the tensor itself, not its gradient", lambda d, a: a["probs"]),
    "card 2, multiplied": ("probs", "upside down", lambda d, a: a["probs"] * d["logprobs"]),
    "card 2, squared": ("probs", "0% of the entries are, zeros aside", lambda d, a: d["logprobs"] / a["probs"]**2),
    "card 3, nothing summed": ("counts_sum_inv", ["over dimension 1. Even then", "without the local factor"],
                               lambda d, a: d["probs"]),
    "card 3, the other factor": ("counts_sum_inv", "the product as a factor",
                                 lambda d, a: (a["probs"] * d["probs"]).sum(1, keepdim=True)),
    "card 4, the power": ("counts_sum", "lower by 1", lambda d, a: -(a["counts_sum"]**-1) * d["counts_sum_inv"]),
    "card 5, a factor left out": ("counts", ["through the product is what comes from above", "rest is right"],
                                  lambda d, a: d["probs"] + d["counts_sum"]),
    "card 5, and the other use": ("counts", ["product is what comes from above", "sum is missing"],
                                  lambda d, a: d["probs"]),
    "card 6, the input": ("norm_logits", "has the input as a factor", lambda d, a: a["norm_logits"] * d["counts"]),
    "card 12, the input": ("hpreact", "squares the input", lambda d, a: (1 - a["hpreact"]**2) * d["h"]),
    "card 12, the square": ("hpreact", "squares too late", lambda d, a: (1 - a["h"])**2 * d["h"]),
    "card 12, no square": ("hpreact", "lacks the square", lambda d, a: (1 - a["h"]) * d["h"]),
    "card 12, the sigmoid": ("hpreact", "the sigmoid's", lambda d, a: a["h"] * (1 - a["h"]) * d["h"]),
    "card 15, divided": ("bnraw", "upside down", lambda d, a: d["hpreact"] / a["bngain"]),
    "card 17, the power": ("bnvar", "lower by 1", lambda d, a: -0.5 * (a["bnvar"] + 1e-5)**-0.5 * d["bnvar_inv"]),
    "card 18, no Bessel": ("bndiff2", ["15/16 of", "n and n − 1"], lambda d, a: (d["bnvar"] / 16).expand(16, 10)),
    "card 18, the sum": ("bndiff2", "15 times too large", lambda d, a: d["bnvar"].expand(16, 10)),
    "card 19, a factor left out": ("bndiff", ["product is what comes from above", "rest is right"],
                                   lambda d, a: d["bnraw"] + 2 * a["bndiff"] * d["bndiff2"]),
    "card 19, the other one": ("bndiff", ["rest is right", "power is what comes from above"],
                               lambda d, a: a["bnvar_inv"] * d["bnraw"] + d["bndiff2"]),
    "card 19, both": ("bndiff", "is what comes from above", lambda d, a: d["bnraw"] + d["bndiff2"]),
    "card 26, the last one": ("C", "the shape is right", lambda d, a: d["C"].roll(1, 0)),
    "a mean for a sum": ("b2", "16 times too small (a mean for a sum?)", lambda d, a: d["logits"].mean(0)),
    "card 1, columns": ("logprobs", "[:, Yb] is whole columns",
                        lambda d, a: d["logprobs"].amin(0).expand(16, 27)),
    "card 2, the output": ("probs", "by the output of the logarithm", lambda d, a: d["logprobs"] / a["logprobs"]),
    "card 3, the factor alone": ("counts_sum_inv", ["over dimension 1", "the local derivative alone"],
                                 lambda d, a: a["counts"]),
    "card 3, too early": ("counts_sum_inv", "multiply number by number first",
                          lambda d, a: a["counts"].sum(1, keepdim=True) * d["probs"].sum(1, keepdim=True)),
    "card 4, itself": ("counts", ["sum is missing", "the number itself"], lambda d, a: a["counts"] * d["probs"]),
    "card 4, itself in the sum": ("counts", ["through the sum has the number itself", "rest is right"],
                                  lambda d, a: a["counts_sum_inv"] * d["probs"] + a["counts"] * d["counts_sum"]),
    "card 5, upside down": ("counts_sum", "upside down", lambda d, a: -(a["counts_sum"]**2) * d["counts_sum_inv"]),
    "card 11, ones": ("b2", "the local derivative alone", lambda d, a: torch.ones(27)),
    "card 12, the output": ("hpreact", "the output as a factor", lambda d, a: a["h"] * d["h"]),
    "card 12, brackets": ("hpreact", "lacks brackets", lambda d, a: d["h"] - a["h"]**2),
    "card 13, itself": ("bngain", "the number itself", lambda d, a: (a["bngain"] * d["hpreact"]).sum(0, keepdim=True)),
    "card 14, itself": ("bnraw", "the number itself", lambda d, a: a["bnraw"] * d["hpreact"]),
    "card 15, the factor alone": ("bnraw", ["spread them out", "local derivative alone"], lambda d, a: a["bngain"]),
    "card 16, no above": ("bndiff", ["rest is right", "power is the local derivative alone"],
                          lambda d, a: a["bnvar_inv"] * d["bnraw"] + 2 * a["bndiff"]),
    "card 17, the output": ("bnvar_inv", "the product as a factor",
                            lambda d, a: (a["bnraw"] * d["bnraw"]).sum(0, keepdim=True)),
    "card 18, another power": ("bnvar", ["to the power 0.5", "lower by 1"],
                               lambda d, a: -0.5 * (a["bnvar"] + 1e-5)**0.5 * d["bnvar_inv"]),
    "card 18, of the output": ("bnvar", "to the power 0.75", lambda d, a: a["bnvar_inv"]**-1.5 * d["bnvar_inv"]),
    "card 20, the sign": ("bnmeani", "the wrong sign", lambda d, a: d["bndiff"].sum(0, keepdim=True)),
    "card 26, the pieces": ("C", "Each of the 48 rows", lambda d, a: d["emb"]),
    "one number": ("bnbias", "instead of (1, 10)", lambda d, a: d["bnbias"].mean()),
    "all but right": ("hprebn", "the shape is right", lambda d, a: d["hprebn"] * (1 + 5e-5)),
    "a comma": ("W2", "a comma at the end", lambda d, a: (d["W2"],)),
    "another card's": ("hpreact", "the shape is right", lambda d, a: d["hprebn"]),
    "a maximum for the sum": ("b2", "the shape is right", lambda d, a: d["logits"].max(0).values),
}


@pytest.mark.parametrize("name, words, answer", USUAL.values(), ids=USUAL)
def test_the_usual_mistakes_on_the_cards(no, net, name, words, answer):
    no(words, name, answer(net.d, net.atoms))


def test_zeros_in_both_are_no_achievement(no, judge, net):
    one = net.d["probs"].clone()
    one[0, net.Yb[0]] *= 2
    no("93% of the entries are, zeros aside", "probs", one)
    assert "0% of the entries" in judge("probs", net.d["probs"] * torch.linspace(2, 3, 16)[:, None])[1]


def test_a_small_constant_that_lost_its_place(no):
    net = Net(n=8, seed=3, dtype=torch.float64)
    no(["all but equal", "10⁻⁵"], "bnvar", -0.5 * net.atoms["bnvar"] ** -1.5 * net.d["bnvar_inv"], net=net)


@pytest.mark.parametrize("spoil", [
    lambda net: net.atoms["probs"].__setitem__((range(net.n), net.Yb), 0.0), lambda net: net.atoms["probs"].div_(2),
    lambda net: net.atoms["logits"].add_(1), lambda net: net.atoms["h"].mul_(2)], ids=["set", "div", "add", "mul"])
@pytest.mark.parametrize("name", ["logits", "probs", "h", "C"])
def test_a_forward_pass_that_was_changed_in_place_is_told_or_does_no_harm(judge, spoil, name):
    net = Net()
    spoil(net)
    result, told = judge(name, net.d[name], net=net)
    assert result is True or "in place" in told and ".clone()" in told and "forward cell" in told, told


def test_a_softmax_that_was_changed_in_place_blocks_the_next_check_with_a_clear_message(no):
    net = Net()
    dlogits = net.atoms["probs"]
    dlogits[range(net.n), net.Yb] -= 1
    dlogits /= net.n
    no(["in place", ".clone()", "forward cell"], "logits", dlogits, net=net)


def test_the_use_that_is_nothing_may_be_forgotten(judge, net):
    assert judge("logits", net.d["norm_logits"])[0] is True  # the maxima have no gradient but rounding


@pytest.mark.parametrize("factor, words", [
    (16, "16 times too large (is a 1/n"), (1 / 16, "16 times too small (a mean"), (-1, "has the wrong sign"),
    (-2, "2 times too large and has the wrong sign"), (31 / 32, ["31/32 of", "n − 1"]), (27 / 32, "27/32 of"),
    (0.31415926, "0.3142 times")])
@pytest.mark.parametrize("name", ["logits", "hprebn", "C", "probs", "bnvar"])
def test_right_up_to_a_factor(no, net, name, factor, words):
    no(words, name, factor * net.d[name])


def test_zeros_and_what_is_not_finite(no, net):
    no("zero everywhere", "W2", torch.zeros(10, 27))
    for value in (math.nan, math.inf):
        no("nan or infinite", "W2", torch.full((10, 27), value))


def test_a_wrong_formula_is_told_with_its_largest_difference(no, net):
    d, a = net.d, net.atoms
    wrong = (1 - a["hpreact"]) ** 3 * d["h"]
    off = (wrong - d["hpreact"]).abs()
    no(["the shape is right", f"{off.max().item():.1e}"], "hpreact", wrong)
    one = d["W2"].clone()
    one[3, 5] += 1
    no(["99% of the entries are", "at [3, 5]"], "W2", one)


def test_the_variant_of_batchnorm_with_the_wrong_mean_is_rejected(no, judge):
    for n in (8, 32, 100):
        net = Net(n=n)
        d, a = net.d["hpreact"], net.atoms
        dgain = (d * a["bnraw"]).sum(0)
        scale = a["bngain"] * a["bnvar_inv"] / n

        def formula(mean, d=d, a=a, dgain=dgain, scale=scale, n=n):
            return scale * (n * d - mean * d.sum(0) - n / (n - 1) * a["bnraw"] * dgain)

        assert judge("hprebn", formula(1.0), net=net)[0] is True
        no(["the sum is ", "n and n − 1", "the rest is right"], "hprebn", formula(n / (n - 1)), net=net)
        no("the shape is right", "hprebn", scale * (n * d - d.sum(0) - a["bnraw"] * dgain), net=net)


def test_an_embedding_whose_repeats_were_overwritten(no, judge, net):
    place, demb = net.Xb.view(-1), net.d["emb"].view(-1, 4)
    assert judge("C", torch.zeros(27, 4).index_add_(0, place, demb))[0] is True
    overwritten = torch.zeros(27, 4).index_put_((place,), demb)
    no(["whole rows are right", "only one of its gradients", "index_add_"], "C", overwritten)
    told = judge("C", overwritten + 1)[1]
    assert "whole rows" not in told.lower() and "The shape is right" in told


def test_whole_rows_are_spoken_of_only_where_something_is_looked_up(judge, net):
    half = net.d["hpreact"].clone()
    half[3:5] += 1
    told = judge("hpreact", half)[1]
    assert "whole rows" not in told.lower() and "The shape is right" in told


JUNK = ["emma", {}, object(), float, torch.zeros(0), torch.zeros(16, 27, dtype=torch.int64),
        torch.zeros(16, 27) > 0, torch.zeros(16, 27, dtype=torch.complex64), torch.empty(16, 27, device="meta"),
        np.array([{}, 3]), lambda: 3, 3, math.nan, (torch.zeros(16, 27),) * 2, torch.zeros(2, 16, 27),
        torch.zeros(16, 27).to_sparse()]


@pytest.mark.parametrize("junk", JUNK)
def test_junk_is_told_and_never_raises(judge, junk):
    result, told = judge("logits", junk)
    assert result is False and "not yet. " in told


def test_a_tensor_that_the_loss_does_not_depend_on_is_told(judge, capsys, net):
    other = torch.zeros(3, requires_grad=True)
    assert gradient(torch.zeros(3), other, net.loss) is False
    assert "does not depend" in capsys.readouterr().out


# ----- the cards: what the page goes on with, shares, progress --------------------------------------------------------

@pytest.fixture
def cards(capsys):
    """A net of its own, and a function that hands in an answer: (verdict, what was printed)."""
    net = Net()

    def hand_in(answer, name, by=None, my=None):
        by = by and net.atoms[by]
        result = gradient(answer, net.atoms[name], net.loss, my or f"my_d{name}", by=by)
        return result, capsys.readouterr().out
    lecture4.start_over()
    capsys.readouterr()
    yield net, hand_in
    lecture4.start_over()


def test_what_the_page_goes_on_with_is_right_and_no_answer(cards):
    net, hand_in = cards
    for name in net.atoms.keys() - {"loss"}:
        kept = lecture4.right(net.atoms[name])
        assert kept.equal(net.d[name]) and kept.data_ptr() != net.atoms[name].grad.data_ptr()
        for same in (kept, kept[:], kept.detach()):
            assert hand_in(same, name) == (False, f"my_d{name}: not yet. This is the gradient that autograd has "
                                                  f"computed. Write down how it is made.\n")
        again = lecture4.right(net.atoms[name])  # as when a check is run again: what it handed out before is known
        assert hand_in(kept, name)[0] is hand_in(again, name)[0] is False
        kept += 1
        assert lecture4.right(net.atoms[name]).equal(net.d[name])
        assert hand_in(net.d[name].clone(), name)[0] is True
    assert hand_in(lecture4.right(net.atoms["embcat"]).view(net.d["emb"].shape), "emb")[0] is True


@pytest.mark.parametrize("name, by, other, share", [
    ("counts", "probs", "counts_sum", lambda d, a: a["counts_sum_inv"] * d["probs"]),
    ("counts", "counts_sum", "probs", lambda d, a: d["counts_sum"].expand(16, 27)),
    ("bndiff", "bnraw", "bndiff2", lambda d, a: a["bnvar_inv"] * d["bnraw"]),
    ("bndiff", "bndiff2", "bnraw", lambda d, a: 2 * a["bndiff"] * d["bndiff2"])])
def test_one_share_of_two(cards, name, by, other, share):
    net, hand_in = cards
    mine, my = share(net.d, net.atoms), f"my_d{name}_1"
    kept = lecture4.right(net.atoms[name], by=net.atoms[by])
    assert torch.allclose(kept, mine)
    for answer, verdict, word in ((mine, True, "first share"), (net.d[name], False, "the whole gradient, from both"),
                                  (net.d[name] - mine, False, "from the other use"), (kept, False, "autograd"),
                                  (-mine, False, "sign"), (2 * mine, False, "2 times too large"),
                                  (None, None, "not tried"), (mine[0], False, "instead of"),
                                  (torch.ones(3, 3, 3), False, "instead of")):
        result, told = hand_in(answer, name, by, my)
        assert result is verdict and told.startswith(f"{my}: ") and word in told, told
    assert kept.equal(lecture4.right(net.atoms[name], by=net.atoms[by]))
    assert torch.allclose(kept + lecture4.right(net.atoms[name], by=net.atoms[other]), net.d[name], atol=1e-7)


def test_a_share_without_its_local_factor(cards):
    net, hand_in = cards
    result, told = hand_in(net.d["probs"], "counts", "probs", "my_dcounts_1")
    assert result is False and "without the local factor" in told


def test_the_second_share_is_added_to_a_clone_of_the_first(cards):
    net, hand_in = cards
    first = lecture4.right(net.atoms["counts"], by=net.atoms["probs"])
    mine = first.clone()
    mine += net.d["counts_sum"]
    assert "clone" not in hand_in(mine, "counts")[1]
    mine = first
    mine += net.d["counts_sum"]
    result, told = hand_in(mine, "counts")
    assert result is True and "begin with a .clone()" in told
    assert torch.allclose(lecture4.right(net.atoms["counts"], by=net.atoms["probs"]) + net.d["counts_sum"],
                          net.d["counts"], atol=1e-7)


def test_right_cards_are_counted_each_once(cards, capsys):
    net, hand_in = cards
    assert hand_in(net.d["probs"], "probs")[1].endswith(" 1 of 26 right.\n")
    assert hand_in(net.d["probs"], "probs")[1].endswith(" 1 of 26 right.\n")
    assert hand_in(net.d["logits"], "logits", my="my_dlogits_fast")[1].endswith("rounding.\n")
    assert hand_in(net.d["b2"], "b2")[1].endswith(" 2 of 26 right.\n")
    assert "26" not in hand_in(None, "probs")[1] + hand_in(net.d["b2"] + 1, "b2")[1]
    for name in net.atoms.keys() - {"loss", "C"}:
        told = hand_in(net.d[name], name)[1]
    assert told.endswith(" 25 of 26 right; open: dC.\n")
    assert hand_in(net.d["C"], "C")[1].endswith(" 26 of 26 right: all cards are done.\n")
    lecture4.start_over()
    assert capsys.readouterr().out == "0 of 26 right.\n"
    assert hand_in(net.d["C"], "C")[1].endswith(" 1 of 26 right.\n")


# ----- E02 and E03: in one step ---------------------------------------------------------------------------------------

def hot(net):
    return F.one_hot(net.Yb, 27)


E02 = {
    "the order of two lines": ("is subtracted from it is 16 times too large", lambda p, h, n: p / n - h),
    "= for -=": ("write -=, not =", lambda p, h, n: torch.where(h == 1, -1.0, p) / n),
    "+=": ("is subtracted from it has the wrong sign", lambda p, h, n: (p + h) / n),
    "columns": ("whole columns: [:, Yb]", lambda p, h, n: (p - h.amax(0)) / n),
    "the softmax alone": ("is subtracted from it is missing", lambda p, h, n: p / n),
    "no mean": ("it is 16 times too large", lambda p, h, n: p - h),
    "the shape": ("instead of (16, 27)", lambda p, h, n: (p - h).sum(1) / n),
    "nothing like it": ("the shape is right", lambda p, h, n: p.log() / n)}


@pytest.mark.parametrize("words, answer", E02.values(), ids=E02)
def test_e02_the_usual_mistakes(capsys, net, words, answer):
    logits = net.atoms["logits"]
    p = logits.detach().softmax(1)
    assert lecture4.e02_cross_entropy(answer(p, hot(net), 16), logits, net.loss, net.Yb) is False
    assert words in (told := capsys.readouterr().out).lower() or words in told, told
    assert lecture4.e02_cross_entropy((p - hot(net)) / 16, logits, net.loss, net.Yb) is True
    assert lecture4.e02_cross_entropy(None, logits, net.loss, net.Yb) is None
    assert lecture4.e02_cross_entropy(logits.grad, logits, net.loss, net.Yb) is False


def e03(g, gain, inv, raw, *, bessel=True, mean=1, third=1, first=True, second=True):
    """E03's answer, with switches for mistakes."""
    n = len(g)
    before, inside = raw if first else 1, (g * raw if second else g).sum(0)
    return gain * inv / n * (n * g - mean * g.sum(0) - third * (n / (n - 1) if bessel else 1) * before * inside)


@pytest.mark.parametrize("n", [8, 32])
@pytest.mark.parametrize("words, mistake", [
    ("right. Its shape", {}), ("σ² lacks Bessel's n/(n − 1)", {"bessel": False}),
    ("but the term of μ is missing", {"mean": 0}), ("but the term of σ² is missing", {"third": 0}),
    ("but the term of σ² has the wrong sign", {"third": -1}), ("lacks bnraw before the sum", {"first": False}),
    ("lacks bnraw inside the sum", {"second": False}), ("μ is 2 times too large", {"mean": 2}),
    ("factor bngain is missing; the rest is right.", {"gain": 1}), ("factor bnvar_inv is missing", {"inv": 1}),
    ("bngain is missing; the rest is right, but the term of μ", {"gain": 1, "mean": 0})])
def test_e03_by_its_three_terms(capsys, n, words, mistake):
    net = Net(n=n)
    given = {"g": net.d["hpreact"], **{key: net.atoms[name].detach() for key, name in (
        ("gain", "bngain"), ("inv", "bnvar_inv"), ("raw", "bnraw"))}}
    answer = e03(**given | mistake)
    assert lecture4.e03_batchnorm(answer, net.atoms["hprebn"], net.loss, *given.values()) is (not mistake)
    assert words in (told := capsys.readouterr().out), told


# ----- E04: the whole backward pass -----------------------------------------------------------------------------------

def by_hand(parameters, Xb, Yb, *, mean=1, biased=False, n_of_loss=1, tanh_of_input=False, add=True, sign=1,
            no_tanh=False, n_of_grads=1, no_third=False, no_bessel=False, gain=True):
    """E04's answer, with switches for mistakes."""
    C, W1, b1, W2, b2, bngain, bnbias = parameters
    n = len(Xb)
    embcat = C[Xb].view(n, -1)
    hprebn = embcat @ W1 + b1
    bnvar_inv = (hprebn.var(0, keepdim=True, unbiased=not biased) + 1e-5) ** -0.5
    bnraw = (hprebn - hprebn.mean(0, keepdim=True)) * bnvar_inv
    hpreact = bngain * bnraw + bnbias
    h = torch.tanh(hpreact)
    logits = h @ W2 + b2
    loss = F.cross_entropy(logits, Yb) * n_of_loss
    dlogits = sign * (F.softmax(logits, 1) - F.one_hot(Yb, 27)) / n * n_of_loss * n ** (not n_of_grads)
    dh, dW2, db2 = dlogits @ W2.T, h.T @ dlogits, dlogits.sum(0)
    dhpreact = dh if no_tanh else (1 - (hpreact if tanh_of_input else h) ** 2) * dh
    dbngain, dbnbias = (bnraw * dhpreact).sum(0, keepdim=True), dhpreact.sum(0, keepdim=True)
    mean = n / (n - 1) if mean == "wrong" else 1
    third = 0 if no_third else (1 if no_bessel else n / (n - 1)) * bnraw * dbngain
    dhprebn = (bngain if gain else 1) * bnvar_inv / n * (n * dhpreact - mean * dbnbias - third)
    dembcat, dW1, db1 = dhprebn @ W1.T, embcat.T @ dhprebn, dhprebn.sum(0)
    dC, demb = torch.zeros_like(C), dembcat.view(*Xb.shape, -1)
    if add:
        for k in range(Xb.shape[0]):
            for j in range(Xb.shape[1]):
                dC[Xb[k, j]] += demb[k, j]
    else:
        dC[Xb] += demb
    return loss, [dC, dW1, db1, dW2, db2, dbngain, dbnbias]


def test_e04_right(right):
    assert "three sizes" in right(e04_gradients, by_hand)
    right(e04_gradients, lambda *a: (by_hand(*a)[0].item(), tuple(by_hand(*a)[1])))
    right(e04_gradients, lambda p, X, Y: [(out := by_hand(p, X, Y))[0], [*out[1][:2], 0 * out[1][2], *out[1][3:]]])


@pytest.mark.parametrize("mistake, words", [
    ({"mean": "wrong"}, ["32 examples, db1 is the first", "0 up to rounding"]),
    ({"biased": True}, ["divided by n", "divides by n − 1"]),
    ({"n_of_loss": None}, "sum over the examples"),
    ({"tanh_of_input": True}, ["dbngain is the first", "the shape is right", "look at dh and dhpreact"]),
    ({"no_tanh": True}, ["dbngain is the first", "1 − h², is missing"]),
    ({"biased": True, "n_of_loss": 1}, "divided by n"),
    ({"n_of_grads": 0}, ["db2 is the first", "32 times too large", "look at dlogits"]),
    ({"no_bessel": True}, "last term of dhprebn lacks Bessel's n/(n − 1)"),
    ({"no_third": True}, ["dW1 is the first", "dhprebn"]),
    ({"gain": False}, ["dW1 is the first", "dhprebn"]),
    ({"add": False}, ["32 examples, dC is the first", "index_add_", "C[Xb] +=", "all the others are right."]),
    ({"sign": -1}, ["db2 is the first", "has the wrong sign"])])
def test_e04_wrong_formulas(wrong, mistake, words):
    def answer(p, X, Y):
        return by_hand(p, X, Y, **{k: len(X) if v is None else v for k, v in mistake.items()})
    wrong(words, e04_gradients, answer)


def small():
    """Parameters and a minibatch of a small net."""
    net = Net()
    return [p.detach() for p in net.parameters], net.Xb, net.Yb


def test_e04_other_orders_shapes_and_counts(wrong):
    def changed(change):
        return lambda *a: (by_hand(*a)[0], change(by_hand(*a)[1]))

    wrong("seven gradients are needed", e04_gradients, changed(lambda grads: grads[:6]))
    wrong("seven gradients are needed", e04_gradients, changed(lambda grads: [*grads[:6], None]))
    wrong(["dW1 in another place", "C, W1, b1"], e04_gradients, changed(lambda grads: [grads[1], grads[0], *grads[2:]]))
    wrong(["dC", "All the others are right"], e04_gradients, changed(lambda grads: [2 * grads[0], *grads[1:]]))
    wrong(["db2", "numbers are right"], e04_gradients, changed(lambda grads: [*grads[:4], grads[4][None], *grads[5:]]))
    wrong(["dW2", "transposed"], e04_gradients, changed(lambda grads: [*grads[:3], grads[3].T, *grads[4:]]))
    wrong(["dbngain", "keepdim"], e04_gradients, changed(lambda grads: [*grads[:5], grads[5][0], grads[6]]))
    wrong("two things", e04_gradients, lambda *a: by_hand(*a)[1])
    wrong("two things", e04_gradients, lambda *a: None)
    wrong("must be a function", e04_gradients, by_hand(*small())[1])
    wrong(["dC", "rows are added up"], e04_gradients, changed(lambda grads: [grads[0].roll(1, 0), *grads[1:]]))
    wrong("dW2 in another place", e04_gradients, changed(lambda grads: [*grads[:2], grads[3], grads[2], *grads[4:]]))
    wrong("perplexity", e04_gradients, lambda *a: (by_hand(*a)[0].exp(), by_hand(*a)[1]))
    wrong("the sign", e04_gradients, lambda *a: (-by_hand(*a)[0], by_hand(*a)[1]))
    wrong("in bits", e04_gradients, lambda *a: (by_hand(*a)[0] / math.log(2), by_hand(*a)[1]))
    wrong("the loss is", e04_gradients, lambda *a: (by_hand(*a)[0] + 0.1, by_hand(*a)[1]))
    wrong("the loss is", e04_gradients, lambda *a: (math.nan, by_hand(*a)[1]))


@pytest.mark.parametrize("k", range(7))
def test_e04_names_the_first_wrong_one_from_the_loss_backwards(capsys, k):
    order = ("b2", "W2", "bngain", "bnbias", "b1", "W1", "C")
    spoilt = [NAMES.index(name) for name in order[k:]]

    def answer(*a):
        loss, grads = by_hand(*a)
        return loss, [d + 1 if i in spoilt else d for i, d in enumerate(grads)]
    assert e04_gradients(answer) is False
    told = capsys.readouterr().out
    assert f" d{order[k]} is the first that is wrong" in told  # with its case
    assert ("index_add_" in told) is False


def test_e04_only_right_for_the_lectures_sizes(wrong):
    def fixed(parameters, X, Y):
        return by_hand(parameters, X, Y) if len(X) == 32 else (by_hand(parameters, X, Y)[0], [torch.zeros(1)] * 7)
    wrong("with 8 examples", e04_gradients, fixed)


def test_e04_updates_belong_outside(wrong):
    def updating(parameters, X, Y):
        loss, grads = by_hand(parameters, X, Y)
        for p, d in zip(parameters, grads, strict=True):
            p -= 0.1 * d
        return loss, grads
    wrong("changes the parameters", e04_gradients, updating)


def test_e04_without_autograd(wrong):
    def cheating(parameters, X, Y):
        with torch.enable_grad():
            parameters = [p.clone().requires_grad_() for p in parameters]
            loss, _ = by_hand(parameters, X, Y)
            loss.backward()
        return loss, [p.grad for p in parameters]
    wrong("calls backward()", e04_gradients, cheating)

    def by_grad(parameters, X, Y):
        with torch.enable_grad():
            parameters = [p.clone().requires_grad_() for p in parameters]
            loss, _ = by_hand(parameters, X, Y)
            return loss, torch.autograd.grad(loss, parameters)
    wrong("autograd's grad", e04_gradients, by_grad)
    wrong("autograd's grad", e04_gradients, lambda p, X, Y: (
        by_hand(p, X, Y)[0], list(torch.func.grad(lambda q: by_hand(q, X, Y)[0])(p))))

    def with_graph(parameters, X, Y):
        loss, _ = by_hand(parameters, X, Y)
        loss.backward()
        return loss, [p.grad for p in parameters]
    wrong("calls backward()", e04_gradients, with_graph)


def test_e04_takes_nothing_from_outside(wrong):
    outside, Xb, Yb = small()

    def ten(parameters, X, Y):
        return by_hand([parameters[0].view(27, 10), *parameters[1:]], X, Y)
    wrong(["8 examples and 4 numbers a character it stops", "n = len(Xb)"], e04_gradients, ten)
    wrong(["the loss is", "C, W1, … = parameters"], e04_gradients, lambda p, X, Y: by_hand(outside, Xb, Yb))


@pytest.mark.parametrize("junk", ["emma", 3, {}, object(), lambda: 3, lambda *a: None, lambda *a: a,
                                  lambda *a: (3, 3), lambda *a: (3.0, [1.0] * 7),
                                  lambda *a: ("emma", [torch.zeros(1)] * 7),
                                  int, torch.zeros(7)])
def test_e04_junk_never_raises(capsys, junk):
    assert e04_gradients(junk) is False
    assert "E04: not yet. " in capsys.readouterr().out


def test_e04_not_tried_yet(verdict):
    result, told = verdict(e04_gradients, None)
    assert result is None and told.startswith("E04: not tried yet")


def test_the_solution_is_right_and_trains_where_the_readers_is_not(right, capsys):
    right(e04_gradients, lecture4.gradients_by_hand)
    for answer, words in ((None, "the solution's gradients will train the net: yours are not tried yet"),
                          (lecture4.with_bug(1), "yours are not right yet"), ("emma", "yours are not right yet")):
        assert lecture4.yours_or_solution(answer) is lecture4.gradients_by_hand
        assert words in capsys.readouterr().out.lower()
    assert lecture4.yours_or_solution(by_hand) is by_hand
    assert capsys.readouterr().out == "Your own gradients will train the net.\n"


# ----- the bug hunt ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("number", range(1, 7))
def test_a_bug_is_told_only_to_who_has_found_it(capsys, number):
    line = lecture4._BUGS[number][0]
    lecture4._tried.clear()
    for answer in (None, ..., 0, 5, "emma", torch.zeros(3), *{1, 2, 3} - {line}):
        result = lecture4.bug(number, answer)
        told = capsys.readouterr().out
        assert result is (None if answer is None or answer is ... else False)
        assert told.startswith(f"Bug {number}: not") and told.count("\n") == 1
    tried = 4 - (line < 4)
    for _ in range(2):  # a line that is tried again is no other line
        assert lecture4.bug(number, line) is True
        assert capsys.readouterr().out.startswith(f"Bug {number}: right. Line {line}; lines tried: {tried}. And what")
    lecture4._tried.clear()


def test_the_bugs_that_were_found(capsys):
    lines = [lecture4._BUGS[number][0] for number in range(1, 7)]
    assert lecture4.bugs_found(lines) == [1, 2, 3, 4, 5, 6] and lecture4.bugs_found([None] * 6) == []
    assert lecture4.bugs_found([lines[0], None, lines[2], "emma", 5, lines[5]]) == [1, 3, 6]
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("number, words", [
    (1, ["db2 is the first", "32 times too large"]), (2, "dbngain is the first"), (3, "db2 is the first"),
    (4, ["dC is the first", "index_add_"]), (5, "dW1 is the first"), (6, ["db2 is the first", "shape is ()"])])
def test_each_bug_is_refused_by_the_check_of_e04(wrong, number, words):
    wrong(words, e04_gradients, lecture4.with_bug(number))


def test_an_old_torch_gives_the_same_gradient_and_leaves_what_was_kept():
    x = torch.tensor([3.0, 2.0], requires_grad=True)
    square = x**2
    square.retain_grad()
    loss = (square * torch.tensor([1.0, 2.0])).sum()
    loss.backward(retain_graph=True)
    for tensor in (x, square):
        reference, uses, noise = lecture4._backward_again(tensor, loss)
        assert reference.equal(lecture4._traced(tensor, loss)[0]) and not uses and 0 < noise < 1e-4
    assert square.grad.tolist() == [1, 2] and x.grad.tolist() == [6, 8]
