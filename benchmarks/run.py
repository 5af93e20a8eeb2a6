"""Measures what the course claims about speed, and writes benchmarks/results.json: `make bench`.

tables.py takes the figures over into the tables of README.md and data/README.md.

    python benchmarks/run.py [NAME ...]     only these; the other results stay as they are

Every figure is a ratio of two things timed in turn in one run, or seconds of one core. Nothing tests a time: machines
differ, and shared ones are noisy.
"""

import argparse
import contextlib
import itertools
import json
import math
import multiprocessing
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from unittest import mock

os.environ["OMP_NUM_THREADS"] = "1"

import tables
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset, RandomSampler

from mmutils import build_dataset, build_vocabulary, is_lecture_list, load_words, split_words, steps
from mmutils.exercises.lecture4 import gradients_by_hand

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
RESULTS = HERE / "results.json"


def main():
    benchmarks = {name.removeprefix("bench_"): f for name, f in globals().items() if name.startswith("bench_")}
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(benchmarks)}")
    names = parser.parse_args().names
    if unknown := set(names) - benchmarks.keys():
        parser.error(f"there is no benchmark {sorted(unknown)[0]!r}; there are {', '.join(benchmarks)}")
    words = load_words()
    if not is_lecture_list(words):
        sys.exit("Benchmarks are measured on the lecture's list, which is not in data/names.txt. "
                 "data/README.md says how to put it there.")

    machine = {"system": f"{platform.system()} {platform.machine()}", "cores": os.cpu_count(), "threads": 1,
               "python": platform.python_version(), "torch": torch.__version__.split("+")[0]}
    for name in names or benchmarks:
        print(f"{name} …", flush=True)
        result = benchmarks[name](words)
        print(json.dumps(result, indent=1))
        kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}      # another run may have written meanwhile
        kept |= {"machine": machine, name: result}
        RESULTS.write_text(json.dumps(kept, indent=1) + "\n")
    tables.write(json.loads(RESULTS.read_text()))


def timed(*functions, repeats=5):
    """The median seconds of each function, run in turn so that a busy moment of the machine strikes all of them."""
    times = [[] for _ in functions]
    for _ in range(repeats):
        for function, seconds in zip(functions, times, strict=True):
            start = time.perf_counter()
            function()
            seconds.append(time.perf_counter() - start)
    return [statistics.median(seconds) for seconds in times]


def share_of_rate(step, n_steps, warm_up):
    """What share of the highest learning rate a step has: up in warm_up steps, then down along half a cosine."""
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 + 0.5 * math.cos(math.pi * (step - warm_up) / (n_steps - warm_up))


def mean_and_error(numbers):
    """The mean of some runs' losses (or differences), and its standard error."""
    return round(statistics.fmean(numbers), 4), round(statistics.stdev(numbers) / len(numbers)**0.5, 4)


def double_loop(words, stoi, block_size):
    """The lecture's way to a dataset (2, 9:03): a row for each character, appended one by one."""
    X, Y = [], []
    for word in words:
        context = [0] * block_size
        for ch in word + ".":
            X.append(context)
            Y.append(stoi[ch])
            context = context[1:] + [stoi[ch]]
    return torch.tensor(X), torch.tensor(Y)


def bench_build_dataset(words):
    """build_dataset against the lecture's double loop, on the whole list."""
    stoi, _ = build_vocabulary(words)
    results = {}
    for block_size in (3, 8):
        ours, loop = timed(lambda b=block_size: build_dataset(words, stoi, b),
                           lambda b=block_size: double_loop(words, stoi, b))
        results[f"block_size_{block_size}"] = {"seconds": round(ours, 4), "double_loop_seconds": round(loop, 4),
                                               "ratio": round(loop / ours, 1)}
    return results


def bench_counts(words):
    """Lecture 1: dev losses of counts, of pairs (a fake count of 1), and of four characters that back off to fewer."""
    train, dev, _ = split_words(words)
    pairs, contexts = Counter(), Counter()              # strings: what stands before and the character; before alone

    def windows(word):
        text = "...." + word + "."
        return [(text[i - 4:i], text[i]) for i in range(4, len(text))]

    for before, ch in itertools.chain.from_iterable(map(windows, train)):
        for k in range(5):
            pairs[before[4 - k:] + ch] += 1
            contexts[before[4 - k:]] += 1

    def pair(before, ch):
        return (pairs[before[3:] + ch] + 1) / (contexts[before[3:]] + 27)

    def back_off(before, ch, strength=10):
        p = 1 / 27
        for k in range(5):
            p = (pairs[before[4 - k:] + ch] + strength * p) / (contexts[before[4 - k:]] + strength)
        return p

    on_dev = list(itertools.chain.from_iterable(map(windows, dev)))
    return {name: {"dev": round(-statistics.fmean(math.log(p(*window)) for window in on_dev), 4)}
            for name, p in (("bigram", pair), ("four characters, backing off", back_off))}


def bench_steps(_):
    """A step of steps(), its bar drawn and its losses shown, against a step of range()."""
    n, losses = 1_000_000, [2.5] * 1000

    def with_bar():
        for _ in steps(n, losses=losses, label="bench"):
            pass

    def with_range():
        for _ in range(n):
            pass

    ours, bare = timed(with_bar, with_range)
    return {"microseconds_a_step": round(1e6 * ours / n, 3), "range_microseconds_a_step": round(1e6 * bare / n, 3)}


def bench_one_layer_step(words):
    """Lecture 1's net: a step from the counts against a step with one-hot vectors of all 228,146 pairs."""
    stoi, _ = build_vocabulary(words)
    X, ys = build_dataset(words, stoi, 1)
    xs = X[:, 0]
    xenc, rows = F.one_hot(xs, 27).float(), torch.arange(len(xs))
    N = torch.bincount(xs * 27 + ys, minlength=729).view(27, 27)
    W = torch.randn((27, 27), generator=torch.Generator().manual_seed(2147483647), requires_grad=True)

    def update(loss):
        W.grad = None
        loss.backward()
        W.data -= 50 * W.grad

    def one_hot():
        counts = (xenc @ W).exp()
        probs = counts / counts.sum(1, keepdim=True)
        update(-probs[rows, ys].log().mean())

    def from_counts():
        for _ in range(100):
            update(-(N * F.log_softmax(W, dim=1)).sum() / N.sum())

    fast, slow = timed(from_counts, one_hot, repeats=15)
    return {"milliseconds_from_counts": round(1e3 * fast / 100, 3), "milliseconds_one_hot": round(1e3 * slow, 1),
            "ratio": round(100 * slow / fast)}


def mlp(Xtr, Ytr, Xdev, Ydev, *, n_steps, batch, lr, fast, factors=(1, 1, 1, 1, 1)):
    """Lecture 2's last net from its init: train and dev loss, and seconds of training.

    fast: AdamW, warmed up and then down along half a cosine; else the lecture's loop, lr and from the middle lr / 10.
    factors: what C, W1, b1, W2 and b2 are multiplied by at the start.
    """
    g = torch.Generator().manual_seed(2147483647)
    fan_in = Xtr.shape[1] * 10
    parameters = [torch.randn(shape, generator=g).requires_grad_()
                  for shape in ((27, 10), (fan_in, 200), (200,), (200, 27), (27,))]
    for p, factor in zip(parameters, factors, strict=True):
        p.data *= factor
    C, W1, b1, W2, b2 = parameters

    def forward(X):
        return torch.tanh(C[X].view(len(X), -1) @ W1 + b1) @ W2 + b2

    seconds = fit(parameters, forward, Xtr, Ytr, n_steps=n_steps, batch=batch, fast=fast, g=g,
                  lr=lambda i: lr if fast or i < n_steps / 2 else lr / 10)
    return {"steps": n_steps, "batch": batch} | scored(forward, seconds, Xtr, Ytr, Xdev, Ydev)


def fit(parameters, net, X, Y, *, n_steps, batch, lr, fast, g):
    """Train net(X) → logits; returns the seconds. lr(i): the rate of step i. fast: AdamW, and on top of lr a schedule,
    up over a tenth of the steps and down along half a cosine; else plain SGD."""
    optimizer = torch.optim.AdamW(parameters, weight_decay=0.01, fused=True) if fast else None
    start = time.perf_counter()
    for i in range(n_steps):
        ix = torch.randint(0, len(X), (batch,), generator=g)
        loss = F.cross_entropy(net(X[ix]), Y[ix])
        for p in parameters:
            p.grad = None
        loss.backward()
        if fast:
            optimizer.param_groups[0]["lr"] = lr(i) * share_of_rate(i, n_steps, n_steps // 10)
            optimizer.step()
        else:
            for p in parameters:
                p.data.add_(p.grad, alpha=-lr(i))
    return time.perf_counter() - start


@torch.no_grad()
def scored(net, seconds, Xtr, Ytr, Xdev, Ydev):
    train, dev = (F.cross_entropy(net(X), Y).item() for X, Y in ((Xtr, Ytr), (Xdev, Ydev)))
    return {"train": round(train, 4), "dev": round(dev, 4), "seconds": round(seconds, 1)}


def bench_mlp(words):
    """Lecture 2: its own recipe, a fast one to the same dev loss, a longer one, and another course's settings."""
    stoi, _ = build_vocabulary(words)
    train, dev, _ = split_words(words)
    data = {k: (*build_dataset(train, stoi, k), *build_dataset(dev, stoi, k)) for k in (3, 4)}
    return {
        "lecture": mlp(*data[3], n_steps=200_000, batch=32, lr=0.1, fast=False),
        "fast": mlp(*data[3], n_steps=3000, batch=256, lr=0.03, fast=True),
        "10,000 steps of 256": mlp(*data[3], n_steps=10_000, batch=256, lr=0.03, fast=True),
        "context 4, 200,000 steps of 64": mlp(*data[4], n_steps=200_000, batch=64, lr=0.1, fast=False),
    }


def bench_mlp_small_start(words):
    """The same net with smaller weights at the start, as notebook 2's small_init makes them."""
    stoi, _ = build_vocabulary(words)
    train, dev, _ = split_words(words)
    data = (*build_dataset(train, stoi, 3), *build_dataset(dev, stoi, 3))
    return {f"{n_steps:,} steps of {batch}": mlp(*data, n_steps=n_steps, batch=batch, lr=lr, fast=True,
                                                 factors=(1, 0.2, 0.01, 0.01, 0))
            for n_steps, batch, lr in ((5000, 256, 0.01), (10_000, 256, 0.01), (5000, 512, 0.02))}


def log_net(Xtr, Ytr, Xdev, Ydev, *, W1, b1, W2, b2, norm=False, gain=1.0, seed, n_steps=200_000):
    """A row of lecture 3's log, with its recipe: steps of 32, rate 0.1 and from the middle 0.01. Train and dev loss.

    W1, b1, W2, b2: what the normal numbers of these parameters are multiplied by at the start. norm: BatchNorm in place
    of b1, whose gain begins at `gain`, and whose statistics are those of all of train in the end.
    """
    g = torch.Generator().manual_seed(seed)
    shapes = {"C": (27, 10), "W1": (30, 200), "b1": (200,), "W2": (200, 27), "b2": (27,)}
    scales = {"C": 1, "W1": W1, "b1": b1, "W2": W2, "b2": b2}
    p = {name: torch.randn(shape, generator=g) * scales[name] for name, shape in shapes.items()}
    if norm:
        del p["b1"]
        p |= {"bngain": torch.full((1, 200), gain), "bnbias": torch.zeros((1, 200))}
    for parameter in p.values():
        parameter.requires_grad_()
    stats = None

    def forward(X):
        hpreact = p["C"][X].view(len(X), -1) @ p["W1"]
        if norm:
            mean, std = stats or (hpreact.mean(0, keepdim=True), hpreact.std(0, keepdim=True))
            hpreact = p["bngain"] * (hpreact - mean) / std + p["bnbias"]
        else:
            hpreact = hpreact + p["b1"]
        return torch.tanh(hpreact) @ p["W2"] + p["b2"]

    seconds = fit(list(p.values()), forward, Xtr, Ytr, n_steps=n_steps, batch=32, fast=False, g=g,
                  lr=lambda i: 0.1 if i < n_steps / 2 else 0.01)
    if norm:
        with torch.no_grad():
            hpreact = p["C"][Xtr].view(len(Xtr), -1) @ p["W1"]
            stats = hpreact.mean(0, keepdim=True), hpreact.std(0, keepdim=True)
    return scored(forward, seconds, Xtr, Ytr, Xdev, Ydev)


def bench_batchnorm_log(words):
    """Lecture 3's log in full: its five rows and one more, three seeds each, the first of them the lecture's."""
    stoi, _ = build_vocabulary(words)
    train, dev, _ = split_words(words)
    data = (*build_dataset(train, stoi, 3), *build_dataset(dev, stoi, 3))
    kaiming = {"W1": 5 / 3 / 30**0.5, "b1": 0.01, "W2": 0.01, "b2": 0}
    rows = {"start": {"W1": 1, "b1": 1, "W2": 1, "b2": 1},
            "softmax fixed": {"W1": 1, "b1": 1, "W2": 0.01, "b2": 0},
            "tanh fixed": {"W1": 0.2, "b1": 0.01, "W2": 0.01, "b2": 0},
            "Kaiming": kaiming, "BatchNorm": kaiming | {"norm": True},
            "BatchNorm, its gain from 5/3": kaiming | {"norm": True, "gain": 5 / 3}}
    results = {}
    for name, start in rows.items():
        runs = [log_net(*data, **start, seed=seed) for seed in (2147483647, 1, 2)]
        results[name] = {"seeds": len(runs)}
        for split in ("train", "dev"):
            results[name][split], results[name][f"{split}_error"] = mean_and_error([run[split] for run in runs])
        results[name] |= {"dev_of_the_lectures_seed": runs[0]["dev"],
                          "seconds": round(statistics.fmean(run["seconds"] for run in runs), 1)}
        print(name, results[name], flush=True)
    return results


class DeepNet:
    """Lecture 3's six linear layers of 100 with BatchNorm and tanh, from its init: C and a list of plain functions."""

    def __init__(self, seed=2147483647):
        torch.manual_seed(seed)
        self.C = torch.randn((27, 10))
        sizes = [30, 100, 100, 100, 100, 100, 27]
        self.weights = [torch.randn(shape) * 5 / 3 / shape[0]**0.5 for shape in zip(sizes[:-1], sizes[1:], strict=True)]
        self.gains = [torch.ones(n) for n in sizes[1:]]
        self.gains[-1] *= 0.1
        self.biases = [torch.zeros(n) for n in sizes[1:]]
        self.parameters = [p.requires_grad_() for p in (self.C, *self.weights, *self.gains, *self.biases)]
        self.stats = None                                   # (mean, variance) of each layer, once calibrated

    def __call__(self, X):
        x = self.C[X].view(len(X), -1)
        self.seen = []
        for k, (W, gain, bias) in enumerate(zip(self.weights, self.gains, self.biases, strict=True)):
            x = x @ W
            mean = self.stats[k][0] if self.stats else x.mean(0)
            centred = x - mean
            var = self.stats[k][1] if self.stats else (centred**2).sum(0) / (len(x) - 1)  # x.var(0) is far slower
            self.seen.append((mean.detach(), var.detach()))
            x = centred * (gain / torch.sqrt(var + 1e-5)) + bias
            x = torch.tanh(x) if k < 5 else x
        return x


def deep_net_run(Xtr, Ytr, Xdev, Ydev, *, n_steps, batch, lr, fast):
    """Train lecture 3's deep net; its statistics are those of all of train. fast: as in mlp()."""
    net = DeepNet()
    seconds = fit(net.parameters, net, Xtr, Ytr, n_steps=n_steps, batch=batch, lr=lambda i: lr, fast=fast, g=None)
    with torch.no_grad():
        net(Xtr)
        net.stats = net.seen
    return scored(net, seconds, Xtr, Ytr, Xdev, Ydev)


def bench_deep_net(words):
    """Lecture 3: its deep net after its own 1,000 steps, in the notebook's short run, and trained longer."""
    stoi, _ = build_vocabulary(words)
    train, dev, _ = split_words(words)
    data = (*build_dataset(train, stoi, 3), *build_dataset(dev, stoi, 3))
    return {
        "1,000 steps of 32, as in the lecture": deep_net_run(*data, n_steps=1000, batch=32, lr=0.1, fast=False),
        "1,250 steps of 1024": deep_net_run(*data, n_steps=1250, batch=1024, lr=0.01, fast=True),
        "8,000 steps of 512": deep_net_run(*data, n_steps=8000, batch=512, lr=0.01, fast=True),
    }


def bench_update_ratios(words):
    """What it costs to collect update:data of every parameter at each tenth step, as lecture 3's notebook does."""
    stoi, _ = build_vocabulary(words)
    Xtr, Ytr = build_dataset(split_words(words)[0], stoi, 3)

    def train(collect):
        net, ud = DeepNet(), []
        for i in range(200):
            ix = torch.randint(0, len(Xtr), (32,))
            loss = F.cross_entropy(net(Xtr[ix]), Ytr[ix])
            for p in net.parameters:
                p.grad = None
            loss.backward()
            for p in net.parameters:
                p.data += -0.1 * p.grad
            if collect and i % 10 == 0:
                with torch.no_grad():
                    ud.append([((0.1 * p.grad).std(correction=0) / p.std(correction=0)).log10().item()
                               for p in net.parameters])

    with_ratios, without = timed(lambda: train(True), lambda: train(False), repeats=15)
    return {"milliseconds_a_step": round(5 * with_ratios, 3), "without": round(5 * without, 3),
            "overhead_percent": round(100 * (with_ratios / without - 1), 1)}


# ----- lecture 4: gradients by hand -----------------------------------------------------------------------------------

class BatchNormNet:
    """Lecture 4's net of 12,297 parameters: views of one long vector, and its gradients, views of another."""

    def __init__(self, *, autograd):
        g = torch.Generator().manual_seed(2147483647)
        tensors = [torch.randn(shape, generator=g) * scale + shift for shape, scale, shift in (
            ((27, 10), 1, 0), ((30, 200), 5 / 3 / 30**0.5, 0), ((200,), 0.1, 0), ((200, 27), 0.1, 0), ((27,), 0.1, 0),
            ((1, 200), 0.1, 1), ((1, 200), 0.1, 0))]
        self.flat = torch.cat([t.flatten() for t in tensors])
        self.grads = torch.zeros_like(self.flat)
        self.parameters, self.gradients = ([part.view(t.shape) for part, t in zip(
            flat.split([t.numel() for t in tensors]), tensors, strict=True)] for flat in (self.flat, self.grads))
        if autograd:
            for p, grad in zip(self.parameters, self.gradients, strict=True):
                p.requires_grad = True
                p.grad = grad
        self.lossi, self.seconds = [], []

    def forward(self, X):
        """What the notebook's lean step computes on the way forward: X (n * 3,) → the tensors that are needed later."""
        C, W1, b1, W2, b2, bngain, bnbias = self.parameters
        embcat = C.index_select(0, X).view(-1, 30)
        hprebn = torch.addmm(b1, embcat, W1)
        bndiff = hprebn - hprebn.mean(0)
        bnvar_inv = (bndiff.square().sum(0) / (len(hprebn) - 1) + 1e-5).rsqrt()
        bnraw = bndiff * bnvar_inv
        h = torch.tanh(bngain * bnraw + bnbias)
        return embcat, bnvar_inv, bnraw, h, torch.addmm(b2, h, W2).log_softmax(1)

    def by_hand(self, X, Y, lr):
        """The notebook's lean step."""
        C, W1, _, W2, b2, bngain, bnbias = self.parameters
        n = len(Y)
        embcat, bnvar_inv, bnraw, h, logprobs = self.forward(X)
        dlogits = (logprobs.exp() - F.one_hot(Y, len(b2))) / n
        dhpreact = dlogits @ W2.T * (1 - h * h)
        dbngain = (bnraw * dhpreact).sum(0, keepdim=True)
        dbnbias = dhpreact.sum(0, keepdim=True)
        dhprebn = bngain * bnvar_inv * (dhpreact - dbnbias / n - bnraw * (dbngain / (n - 1)))
        W2.addmm_(h.T, dlogits, alpha=-lr)
        b2.sub_(dlogits.sum(0), alpha=lr)
        dembcat = (dhprebn @ W1.T).view(-1, 10)
        C.index_add_(0, X, dembcat, alpha=-lr)
        W1.addmm_(embcat.T, dhprebn, alpha=-lr)
        bngain.sub_(dbngain, alpha=lr)
        bnbias.sub_(dbnbias, alpha=lr)
        self.lossi.append(F.nll_loss(logprobs, Y).item())

    def plain(self, X, Y, lr):
        """The notebook's own step: the solution of exercise 4, and its loop."""
        loss, gradients = gradients_by_hand(self.parameters, X.view(len(Y), -1), Y)
        for p, grad in zip(self.parameters, gradients, strict=True):
            p.data += -lr * grad
        self.lossi.append(loss.item())

    def by_autograd(self, X, Y, lr):
        loss = F.nll_loss(self.forward(X)[-1], Y)
        self.grads.zero_()
        loss.backward()                                     # adds to p.grad, which are views of self.grads
        self.lossi.append(loss.item())
        self.flat.add_(self.grads, alpha=-lr)

    @torch.no_grad()
    def loss_on(self, X, Y, X_train):
        """The mean loss, with BatchNorm's mean and variance from all of train."""
        C, W1, b1, W2, b2, bngain, bnbias = self.parameters
        var, mean = torch.var_mean(C[X_train].view(-1, 30) @ W1 + b1, 0)
        hpreact = bngain * (C[X].view(-1, 30) @ W1 + b1 - mean) * (var + 1e-5) ** -0.5 + bnbias
        return round(F.cross_entropy(torch.tanh(hpreact) @ W2 + b2, Y).item(), 4)


def bench_by_hand(words):
    """Lecture 4: its run of 200,000 steps, by the notebook's plain loop, by hand and lean, and by the lean one with
    autograd's backward pass, in turns of 5,000 steps. Seconds of the processor."""
    stoi, _ = build_vocabulary(words)
    train, dev, _ = split_words(words)
    (Xtr, Ytr), (Xdev, Ydev) = build_dataset(train, stoi, 3), build_dataset(dev, stoi, 3)
    g, n_steps, block = torch.Generator().manual_seed(2147483647), 200_000, 5000
    nets = {name: BatchNormNet(autograd=name == "autograd") for name in ("plain", "hand", "autograd")}
    for first in range(0, n_steps, block):
        ix = torch.randint(0, len(Xtr), (block, 32), generator=g)
        minibatches = list(zip(Xtr[ix].view(block, -1), Ytr[ix], strict=True))
        lr = 0.1 if first < n_steps / 2 else 0.01
        for name, net in nets.items():
            step = {"plain": net.plain, "hand": net.by_hand, "autograd": net.by_autograd}[name]
            with torch.set_grad_enabled(name == "autograd"):
                start = time.process_time()
                for X, Y in minibatches:
                    step(X, Y, lr)
                net.seconds.append(time.process_time() - start)
    ratios, to_plain = (sorted(a / b for a, b in zip(nets[slow].seconds, nets["hand"].seconds, strict=True))
                        for slow in ("autograd", "plain"))
    results = {name: {"train": net.loss_on(Xtr, Ytr, Xtr), "val": net.loss_on(Xdev, Ydev, Xtr), "steps": n_steps,
                      "seconds": round(sum(net.seconds), 1),
                      "microseconds_a_step": round(1e6 * sum(net.seconds) / n_steps),
                      "microseconds_a_step_at_best": round(1e6 * min(net.seconds) / block)}
               for name, net in nets.items()}
    apart = max(abs(x - y) for x, y in zip(nets["hand"].lossi[:100], nets["autograd"].lossi[:100], strict=True))
    return results | {"ratio": round(statistics.median(ratios), 2), "ratio_lowest": round(ratios[0], 2),
                      "ratio_highest": round(ratios[-1], 2),
                      "plain_ratio": round(statistics.median(to_plain), 2),
                      "first_100_losses_apart": float(f"{apart:.0e}")}


class Hierarchy:
    """Lecture 5's net, from its own layers: pairs, pairs of pairs, … of eight characters; 76,579 parameters."""

    def __init__(self, n_embd=24, n_hidden=128):
        torch.manual_seed(42)
        self.C = torch.randn((27, n_embd))
        self.W, self.gain, self.bias, self.running = [], [], [], []
        for n in (n_embd, n_hidden, n_hidden):
            self.W.append(torch.randn((2 * n, n_hidden)) / (2 * n) ** 0.5)
            self.gain.append(torch.ones(n_hidden))
            self.bias.append(torch.zeros(n_hidden))
            self.running.append((torch.zeros(n_hidden), torch.ones(n_hidden)))
        self.last = 0.1 * torch.randn((n_hidden, 27)) / n_hidden**0.5
        self.last_bias = torch.zeros(27)
        self.parameters = [p.requires_grad_() for p in (self.C, *self.W, *self.gain, *self.bias, self.last,
                                                        self.last_bias)]

    def __call__(self, X, training=False):
        x = self.C[X]                                                       # (B, 8, n_embd)
        for W, gain, bias, running in zip(self.W, self.gain, self.bias, self.running, strict=True):
            B, T, n = x.shape
            x = x.view(B, T // 2, 2 * n) @ W
            if training:
                mean, var = x.mean((0, 1)), x.var((0, 1))
                with torch.no_grad():
                    for kept, now in zip(running, (mean, var), strict=True):
                        kept.lerp_(now, 0.1)
            else:
                mean, var = running
            x = torch.tanh(gain * (x - mean) / torch.sqrt(var + 1e-5) + bias)
        return x.squeeze(1) @ self.last + self.last_bias                    # (B, 27)


class SeededTrees:
    """Lecture 5's nets, one for each seed, trained side by side, since a step of 32 examples is mostly overhead.

    factors: how many neighbours each level joins. over_places: whether BatchNorm averages over the places too; without
    it is the video's bug. All tensors have the seeds in front.
    """

    def __init__(self, factors, n_embd, n_hidden, seeds, *, over_places=True):
        self.over_places, self.running = over_places, [None] * len(factors)
        n_in = [n * f for n, f in zip([n_embd] + [n_hidden] * len(factors), factors, strict=False)]
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]

        def normal(*shape, scale=1.0):
            return torch.stack([torch.randn(shape, generator=g) * scale for g in generators]).requires_grad_()

        self.C = normal(27, n_embd)
        self.W = [normal(n, n_hidden, scale=n**-0.5) for n in n_in]
        self.gain = [torch.ones((len(seeds), 1, 1, n_hidden), requires_grad=True) for _ in factors]
        self.bias = [torch.zeros((len(seeds), 1, 1, n_hidden), requires_grad=True) for _ in factors]
        self.last = normal(n_hidden, 27, scale=0.1 * n_hidden**-0.5)
        self.last_bias = torch.zeros((len(seeds), 1, 27), requires_grad=True)
        self.parameters = [self.C, *self.W, *self.gain, *self.bias, self.last, self.last_bias]
        self.first_rows = 27 * torch.arange(len(seeds))[:, None, None]

    def __call__(self, X, training=False):
        """X (seeds, B, T) → logits (seeds, B, 27)."""
        x = F.embedding(X + self.first_rows, self.C.flatten(0, 1))
        S, B = X.shape[:2]
        for k, W in enumerate(self.W):
            x = (x.view(S, -1, W.shape[1]) @ W).view(S, B, -1, W.shape[2])  # (seeds, B, T / factor, n_hidden)
            if training:
                dims = (1, 2) if self.over_places else 1
                mean = x.mean(dims, keepdim=True)
                x = x - mean
                var = (x * x).sum(dims, keepdim=True) / (x.numel() / mean.numel() - 1)      # x.var(dims), but quicker
                with torch.no_grad():
                    if self.running[k] is None:
                        self.running[k] = torch.zeros_like(mean), torch.ones_like(var)
                    for kept, now in zip(self.running[k], (mean, var), strict=True):
                        kept.lerp_(now, 0.1)
            else:
                mean, var = self.running[k]
                x = x - mean
            x = torch.tanh(x * (self.gain[k] / torch.sqrt(var + 1e-5)) + self.bias[k])
        return x.squeeze(2) @ self.last + self.last_bias


def tree_log_row(Xtr, Ytr, Xdev, Ydev, *, seeds=(42, 1, 2), n_steps=200_000, **shape):
    """A row of lecture 5's log with its recipe: steps of 32, rate 0.1, and 0.01 for the last quarter."""
    nets, g = SeededTrees(seeds=seeds, **shape), torch.Generator().manual_seed(seeds[0])
    start = time.process_time()
    for i in range(n_steps):
        ix = torch.randint(0, len(Xtr), (len(seeds), 32), generator=g)
        logits = nets(Xtr[ix], training=True)
        # the mean of each net's examples, and the sum over the nets, so that each has the gradient of its own loss
        loss = F.cross_entropy(logits.flatten(0, 1), Ytr[ix].flatten(), reduction="sum") / 32
        grads = torch.autograd.grad(loss, nets.parameters)
        with torch.no_grad():
            torch._foreach_add_(nets.parameters, grads, alpha=-0.1 if i < 0.75 * n_steps else -0.01)
    row = {"parameters": sum(p[0].numel() for p in nets.parameters), "seeds": len(seeds)}
    for name, X, Y in (("train", Xtr, Ytr), ("dev", Xdev, Ydev)):
        total = torch.zeros(len(seeds))
        with torch.no_grad():
            for x, y in zip(X.split(5000), Y.split(5000), strict=True):
                logits = nets(x.expand(len(seeds), *x.shape))
                total += torch.stack([F.cross_entropy(one, y, reduction="sum") for one in logits])
        row[name], row[f"{name}_error"] = mean_and_error((total / len(X)).tolist())
    return row | {"seconds": round((time.process_time() - start) / len(seeds), 1)}


def bench_wavenet_log(words):
    """Lecture 5's log in full: its five rows, three seeds each."""
    stoi, _ = build_vocabulary(words)
    train, dev, _ = split_words(words)
    data = {k: (*build_dataset(train, stoi, k), *build_dataset(dev, stoi, k)) for k in (3, 8)}
    rows = {"three characters, flat": (3, {"factors": (3,), "n_embd": 10, "n_hidden": 200}),
            "eight characters, flat": (8, {"factors": (8,), "n_embd": 10, "n_hidden": 200}),
            "tree, with the bug": (8, {"factors": (2, 2, 2), "n_embd": 10, "n_hidden": 68, "over_places": False}),
            "tree": (8, {"factors": (2, 2, 2), "n_embd": 10, "n_hidden": 68}),
            "tree, scaled up": (8, {"factors": (2, 2, 2), "n_embd": 24, "n_hidden": 128})}
    results = {}
    for name, (context, shape) in rows.items():
        results[name] = tree_log_row(*data[context], **shape)
        print(name, results[name], flush=True)
    return results


class FusedHierarchy(Hierarchy):
    """The same net with torch's own lookup and batch norm, which take one pass over memory each."""

    def __call__(self, X, training=False):
        x = F.embedding(X, self.C)
        for W, gain, bias, (mean, var) in zip(self.W, self.gain, self.bias, self.running, strict=True):
            B, T, n = x.shape
            x = F.batch_norm(x.view(B * T // 2, 2 * n) @ W, mean, var, gain, bias, training)
            x = torch.tanh(x).view(B, T // 2, -1)
        return x.squeeze(1) @ self.last + self.last_bias


def hierarchy(Xtr, Ytr, Xdev, Ydev, *, n_steps, batch, fast):
    """Lecture 5's scaled-up net: train and dev loss, and seconds of training (of this process: others may be busy).

    fast: Muon for the three matrices and AdamW for the rest, warmed up and then down along half a cosine; else the
    lecture's loop, 0.1, and 0.01 for the last quarter of the steps.
    """
    model = FusedHierarchy() if fast else Hierarchy()
    others = [p for p in model.parameters if not any(p is W for W in model.W)]
    adam, muon = torch.optim.AdamW(others, betas=(0.9, 0.99), weight_decay=0.05, fused=True), Muon(model.W, 0.1)
    start = time.process_time()
    for i in range(n_steps):
        ix = torch.randint(0, len(Xtr), (batch,))
        loss = F.cross_entropy(model(Xtr[ix], training=True), Ytr[ix])
        for p in model.parameters:
            p.grad = None
        loss.backward()
        if fast:
            rate = share_of_rate(i, n_steps, n_steps // 10)
            adam.param_groups[0]["lr"] = 0.015 * rate
            adam.step()
            muon.step(0.03 * rate)
        else:
            for p in model.parameters:
                p.data.add_(p.grad, alpha=-0.1 if i < 0.75 * n_steps else -0.01)
    seconds = time.process_time() - start
    with torch.no_grad():
        losses = [torch.cat([F.cross_entropy(model(x), y, reduction="none") for x, y in
                             zip(X.split(20_000), Y.split(20_000), strict=True)]).mean().item()
                  for X, Y in ((Xtr, Ytr), (Xdev, Ydev))]
    return {"steps": n_steps, "batch": batch, "train": round(losses[0], 4), "dev": round(losses[1], 4),
            "seconds": round(seconds, 1)}


def bench_wavenet(words):
    """Lecture 5's scaled-up tree: its own recipe, and a fast one to the same dev loss. Printed as they come."""
    stoi, _ = build_vocabulary(words)
    train, dev, _ = split_words(words)
    data = (*build_dataset(train, stoi, 8), *build_dataset(dev, stoi, 8))
    results = {}
    for name, recipe in {"fast": {"n_steps": 1900, "batch": 512, "fast": True},
                         "lecture": {"n_steps": 200_000, "batch": 32, "fast": False}}.items():
        results[name] = hierarchy(*data, **recipe)
        print(name, results[name], flush=True)
    return results | {"ratio": round(results["lecture"]["seconds"] / results["fast"]["seconds"], 1)}


class Muon:
    """Lecture 5's second optimizer (Jordan et al. 2024): steps of equal size in all directions of a weight matrix."""

    def __init__(self, weights, weight_decay):
        self.weight_decay = weight_decay
        shapes = dict.fromkeys(w.shape for w in weights)
        self.groups = [[w for w in weights if w.shape == shape] for shape in shapes]        # computed side by side
        self.means = [torch.zeros_like(torch.stack(group)) for group in self.groups]

    @torch.no_grad()
    def step(self, lr):
        for group, mean in zip(self.groups, self.means, strict=True):
            grad = torch.stack([w.grad for w in group])     # (weights, …, out, in)
            mean.lerp_(grad, 0.05)
            x = grad.lerp(mean, 0.95)
            x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
            tall = x.shape[-2] > x.shape[-1]
            x = x.mT if tall else x
            for _ in range(5):
                a = x @ x.mT
                x = 3.4445 * x + (2.0315 * a @ a - 4.7750 * a) @ x
            size = max(1, grad.shape[-2] / grad.shape[-1])**0.5
            for w, update in zip(group, x.mT if tall else x, strict=True):
                w.mul_(1 - lr * self.weight_decay).sub_(update, alpha=lr * size)


def bench_wavenet_challenge(words, *, n_steps=5000, dropout=0.25, weight_decay=0.1):
    """Lecture 5's challenge without the minute's limit: makemore.py's cnn, with the notebook's init and optimizers."""
    import makemore
    torch.manual_seed(1)
    train, dev, test = split_words(words)
    stoi = {ch: i + 1 for i, ch in enumerate(sorted(set("".join(words))))}
    data = {name: makemore.Words(part, stoi) for name, part in (("train", train), ("dev", dev), ("test", test))}
    s = makemore.Settings(type="cnn", n_layer=8, n_embd=96, n_embd2=96, block_size=16, dropout=dropout)
    model = makemore.build_model(s, len(stoi) + 1, max(map(len, words)) + 1)
    matrices = [layer.weight for layer in (*model.gated, *model.mixed, model.last)]
    with torch.no_grad():
        for layer in (*model.gated, *model.mixed, model.last):
            layer.weight.normal_(0, layer.in_features**-0.5)
            layer.bias.zero_()
    others = [p for p in model.parameters() if not any(p is w for w in matrices)]
    adam = torch.optim.AdamW(others, betas=(0.9, 0.99), weight_decay=0.01, fused=True)
    muon = Muon(matrices, weight_decay)
    characters = 128 * (data["train"].lengths + 1).double().mean().item()
    start = time.process_time()
    for step in range(n_steps):
        x, y = data["train"].batch(data["train"].training_batch(step, 128, 1), "cpu")
        model.zero_grad()
        (model(x, y)[1] * (y >= 0).sum() / characters).backward()
        rate = share_of_rate(step, n_steps, n_steps // 20)
        adam.param_groups[0]["lr"] = 0.008 * rate
        adam.step()
        muon.step(0.02 * rate)
        if (step + 1) % 500 == 0:
            print(f"step {step + 1:,}: dev {makemore.evaluate(model, data['dev'], 'cpu'):.4f}, "
                  f"{time.process_time() - start:.0f} s", flush=True)
    seconds = time.process_time() - start
    losses = {name: round(makemore.evaluate(model, part, "cpu"), 4) for name, part in data.items()}
    return losses | {"parameters": sum(p.numel() for p in model.parameters()), "steps": n_steps,
                     "seconds": round(seconds, 1)}


ABLATION = {"whole": {}, "without residual": {"residual": False}, "without gates": {"gates": False},
            "without skips": {"skips": False}, "without dropout": {"dropout": 0.0}, "with AdamW alone": {"muon": False}}


class SeededStacks:
    """Lecture 5's gated stack on whole names, one for each seed, side by side. All tensors have the seeds in front."""

    def __init__(self, seeds, *, channels=64, layers=8, gates=True, residual=True, skips=True, dropout=0.1):
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]

        def weights(n_in, n_out, scale=1.0):
            w = torch.stack([torch.randn((n_out, n_in), generator=g) for g in generators]) * n_in**-0.5 * scale
            return w.requires_grad_(), torch.zeros((len(seeds), 1, n_out), requires_grad=True)

        self.gates, self.residual, self.skips, self.dropout = gates, residual, skips, dropout
        self.dilations = [2 ** (k % 4) for k in range(layers)]
        self.C = weights(channels, 27, scale=channels**0.5)[0]              # (seeds, 27, channels)
        self.pairs = [weights(2 * channels, (1 + gates) * channels) for _ in self.dilations]
        self.mixed = [weights(channels, (1 + skips) * channels) for _ in self.dilations]
        self.last, self.head = weights(channels, channels), weights(channels, 27, scale=0.1)
        self.matrices = [w for w, _ in (*self.pairs, *self.mixed, self.last)]
        self.others = [self.C, self.head[0], *(b for _, b in (*self.pairs, *self.mixed, self.last, self.head))]
        self.first_rows = 27 * torch.arange(len(seeds))[:, None, None]

    def __call__(self, idx, training=False):
        """idx (seeds, B, T) → logits (seeds, B, T, 27)."""
        def linear(x, layer):
            return (x.flatten(1, 2) @ layer[0].mT + layer[1]).unflatten(1, x.shape[1:3])

        x, total = F.embedding(idx + self.first_rows, self.C.flatten(0, 1)), 0
        for d, pair, mix in zip(self.dilations, self.pairs, self.mixed, strict=True):
            h = linear(torch.cat([F.pad(x, (0, 0, d, 0))[:, :, :x.shape[2]], x], 3), pair)
            if self.gates:
                filtered, gate = h.chunk(2, 3)
                h = filtered.tanh() * gate.sigmoid()
            else:
                h = h.tanh()
            h = linear(F.dropout(h, self.dropout, training), mix)
            if self.skips:
                h, skip = h.chunk(2, 3)
                total = total + skip / len(self.dilations)**0.5
            x = x + h if self.residual else h
        h = F.relu(linear(F.relu(total if self.skips else x), self.last))
        return linear(F.dropout(h, self.dropout, training), self.head)


def stacks_run(task):
    """Train the stacks of one row of the ablation: the dev loss of each seed.

    task: the words, the seeds, steps, names in a step, and what the row leaves out. With AdamW alone 0.002 is the
    highest rate; 0.008 did worse.
    """
    import makemore
    words, seeds, n_steps, batch, left_out = task
    muon, left_out = left_out.get("muon", True), {k: v for k, v in left_out.items() if k != "muon"}
    torch.set_num_threads(1)
    torch.manual_seed(seeds[0])
    train, dev, _ = split_words(words)
    stoi, _ = build_vocabulary(words)
    on_train, on_dev = makemore.Words(train, stoi), makemore.Words(dev, stoi)
    nets = SeededStacks(seeds, **left_out)
    adam = torch.optim.AdamW(nets.others + ([] if muon else nets.matrices), betas=(0.9, 0.99),
                             weight_decay=0.01 if muon else 0.1, fused=True)
    optimizer = Muon(nets.matrices if muon else [], 0.1)
    characters = batch * (on_train.lengths + 1).double().mean().item()

    def summed_loss(batches, training=False):
        """The summed loss of each net on its batch, a list of (x, y), padded to the largest: (seeds,)."""
        B, T = (max(x.shape[k] for x, _ in batches) for k in (0, 1))
        x, y = (torch.stack([F.pad(part, (0, T - part.shape[1], 0, B - part.shape[0]), value=pad) for part in parts])
                for parts, pad in zip(zip(*batches, strict=True), (0, -1), strict=True))
        logits = nets(x, training)
        return F.cross_entropy(logits.permute(0, 3, 1, 2), y, ignore_index=-1, reduction="none").sum((1, 2))

    for step in range(n_steps):
        loss = summed_loss([on_train.batch(on_train.training_batch(step, batch, seed), "cpu") for seed in seeds], True)
        adam.zero_grad()
        for w in nets.matrices:
            w.grad = None
        (loss.sum() / characters).backward()
        share = share_of_rate(step, n_steps, n_steps // 20)
        adam.param_groups[0]["lr"] = (0.008 if muon else 0.002) * share
        adam.step()
        optimizer.step(0.02 * share)
    with torch.no_grad():
        total = sum(summed_loss([on_dev.batch(which, "cpu")] * len(seeds))
                    for which in on_dev.cut(torch.arange(len(on_dev.lengths)), 512))
    return (total / (on_dev.lengths + 1).sum()).tolist()


def bench_wavenet_ablation(words, *, n_steps=2000, batch=128, seeds=(1, 2, 3)):
    """Lecture 5's gated stack, and what it loses without each of its parts: three seeds, differences paired by seed."""
    rows = {}
    with multiprocessing.get_context("spawn").Pool(os.cpu_count()) as pool:
        tasks = [(words, seeds, n_steps, batch, left_out) for left_out in ABLATION.values()]
        for name, dev in zip(ABLATION, pool.imap(stacks_run, tasks), strict=True):
            whole = rows["whole"]["dev"] if rows else [0] * len(dev)
            mean, error = mean_and_error(dev)
            more, more_error = mean_and_error([loss - other for loss, other in zip(dev, whole, strict=True)])
            rows[name] = {"dev": [round(loss, 4) for loss in dev], "mean": mean} | (
                {"error": error} if name == "whole" else {"difference": more, "difference_error": more_error})
            print(name, rows[name], flush=True)
    return {"steps": n_steps, "batch": batch, "channels": 64, "layers": 8, "rows": rows}


def bench_notebooks(_):
    """Seconds of one core that each notebook takes with one thread, kernel start included."""
    code = ("import nbformat, sys; from nbclient import NotebookClient; "
            "notebook = nbformat.read(sys.argv[1], as_version=4); "
            "NotebookClient(notebook, timeout=400, kernel_name='python3').execute()")
    results = {}
    for path in sorted((HERE.parent / "notebooks").glob("[0-9]_*.ipynb")):
        with core_seconds() as used:
            subprocess.run([sys.executable, "-c", code, path.name], cwd=path.parent, check=True,
                           env=os.environ | {"MMUTILS_TEST": "1"}, stderr=subprocess.DEVNULL)
        results[path.stem] = {"seconds": used[0]}
    return results


@contextlib.contextmanager
def core_seconds():
    """A list that holds, in the end, the processor seconds of the processes that were run meanwhile."""
    used, before = [], resource.getrusage(resource.RUSAGE_CHILDREN)
    yield used
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used.append(round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1))


def bench_makemore_speed(words):
    """makemore.py's default Transformer: names a second in training, on all cores and with one thread.

    Ours: an epoch of the program's own steps (clipping, fused AdamW), in batches of 256 words of like length.
    Karpathy's way, as his script has it: a DataLoader that encodes word by word, batches of 32 padded to the longest
    word of the list, plain AdamW, no dropout, attention and GELU in single operations. And the same with our model.
    """
    import makemore

    class SpelledOut(makemore.Block):
        """A block with attention and GELU in single operations, as Karpathy's script computes them."""

        def forward(self, x, memory=None):
            B, T, C = x.shape
            size = C // self.n_head
            qkv = self.qkv(self.norm1(x)).split(C, 2)
            q, k, v = (part.view(B, T, self.n_head, size).transpose(1, 2) for part in qkv)
            scores = (q @ k.transpose(2, 3) / math.sqrt(size)).masked_fill(torch.ones(T, T).tril() == 0, -math.inf)
            x = x + self.project((scores.softmax(3) @ v).transpose(1, 2).reshape(B, T, C))
            into, _, out = self.mlp
            h = into(self.norm2(x))
            return x + out(0.5 * h * (1 + torch.tanh(math.sqrt(2 / math.pi) * (h + 0.044715 * h.pow(3)))))

    class Padded(Dataset):
        """Word i as x and y (longest + 1,), made when it is asked for."""

        def __len__(self):
            return len(words)

        def __getitem__(self, i):
            ix = torch.tensor([stoi[ch] for ch in words[i]])
            x, y = torch.zeros(2, run.longest + 1, dtype=torch.int64)
            x[1:len(ix) + 1], y[:len(ix)], y[len(ix) + 1:] = ix, ix, -1
            return x, y

    run = makemore.Run(makemore.replace(makemore.RECIPES["transformer"], batch_size=256), words, "cpu")
    stoi, sizes = {ch: i + 1 for i, ch in enumerate(run.chars)}, (len(run.chars) + 1, run.longest + 1)
    same = makemore.build_model(run.s, *sizes)
    with mock.patch.object(makemore, "Block", SpelledOut):
        written = makemore.build_model(makemore.replace(run.s, dropout=0.0), *sizes)
    written.load_state_dict(same.state_dict())
    x = Padded()[0][0][None]
    torch.testing.assert_close(written(x)[0], same.eval()(x)[0], atol=1e-3, rtol=0)     # the same, but for its GELU
    same.train()
    epoch = len(run.data["train"].batches(256, run.s.seed))

    def ours():
        for run.step in range(epoch):
            run.train_step()

    def padded(model):
        optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4, weight_decay=0.01, betas=(0.9, 0.99))
        sampler = RandomSampler(Padded(), replacement=True, num_samples=100 * 32)
        for x, y in DataLoader(Padded(), batch_size=32, sampler=sampler):
            loss = model(x, y)[1]
            model.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()

    results = {}
    for threads in 1, os.cpu_count():
        torch.set_num_threads(threads)
        fast, *slow = timed(ours, lambda: padded(written), lambda: padded(same), repeats=7)
        fast, (slow, slow_same) = len(run.parts["train"]) / fast, (100 * 32 / seconds for seconds in slow)
        results[threads] = {"names_a_second": round(fast), "padded_32_names_a_second": round(slow),
                            "same_model_padded_32_names_a_second": round(slow_same), "ratio": round(fast / slow, 2),
                            "threads": threads}
    torch.set_num_threads(1)
    return results[os.cpu_count()] | {"one_thread": results[1]}


def bench_makemore_checkpoints(words):
    """What a checkpoint a minute costs makemore.py, for each recipe: milliseconds a save, and its share in percent."""
    import makemore
    results = {}
    for kind, s in makemore.RECIPES.items():
        with tempfile.TemporaryDirectory() as folder:
            run = makemore.Run(s, words, "cpu", makemore.WorkDir(Path(folder), None, False))
            loss = run.train_step()[0].item()           # the optimizer's state is half of a checkpoint
            run.best = run.weights()
            seconds, = timed(lambda run=run, loss=loss: run.folder.save(run.state(), loss))
            results[kind] = {"milliseconds": round(1000 * seconds, 1), "kilobytes": round(
                (Path(folder) / makemore.CHECKPOINT).stat().st_size / 1000),
                "percent_of_the_time": round(100 * seconds / makemore.MINUTE, 3)}
    return results


GROWTH = """
import json, resource, statistics, sys, time
import torch
import makemore
from mmutils import load_words

kind, times, letters = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
torch.set_num_threads(1)
words = load_words()
words = words[:1000] + ["".join(words)[:letters]] if letters else words * times
start = time.perf_counter()
run = makemore.Run(makemore.replace(makemore.RECIPES[kind], split="all"), words, "cpu")
read = time.perf_counter() - start
batches, size = run.data["train"].batches(run.s.batch_size, run.s.seed), run.s.batch_size
steps = [i for i, which in enumerate(batches) if len(words) - 1 in which] * 3 if letters else range(20)
seconds, characters = [], []
for run.step in steps:
    x, y = run.data["train"].batch(batches[run.step], "cpu")
    start = time.perf_counter()
    run.train_step()
    seconds.append(time.perf_counter() - start)
    characters.append((y >= 0).sum().item())
print(json.dumps({"words": len(words), "longest": run.longest, "seconds_before": round(read, 2),
                  "characters_a_step": round(statistics.fmean(characters)),
                  "milliseconds_a_step": round(1000 * statistics.median(seconds), 1),
                  "peak_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}))
"""


def bench_makemore_growth(_, kinds=None):
    """Time and memory of makemore.py's steps: the list once, ten and a hundred times; and the step with one long line.

    A long line stands in a list of 1,000 names: 10, 100, 1,000 or 10,000 letters. Peak memory is that of the process;
    torch alone takes some 300 MB. Linear in the characters for every type but the Transformer's attention.
    """
    import makemore
    results = {}
    for kind in kinds or makemore.RECIPES:
        results[kind] = {}
        for name, times, letters in (("list × 1", 1, 0), ("list × 10", 10, 0), ("list × 100", 100, 0),
                                     *((f"a line of {n:,} letters", 1, n) for n in (10, 100, 1000, 10_000))):
            out = subprocess.run([sys.executable, "-c", GROWTH, kind, str(times), str(letters)], cwd=HERE.parent,
                                 check=True, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
            results[kind][name] = json.loads(out.stdout)
            print(kind, name, results[kind][name], flush=True)
    return results


MAKEMORE = {
    "makemore split: lstm, one layer of 128": "--split makemore --type lstm --n-layer 1 --n-embd2 128 --dropout 0 "
                                              "--max-steps 1200",
    "makemore split: lstm": "--split makemore --type lstm",
    "makemore split: transformer": "--split makemore",
    "lecture split: bigram": "--type bigram",
    "lecture split: mlp": "--type mlp",
    "lecture split: bow": "--type bow",
    "lecture split: rnn": "--type rnn",
    "lecture split: gru": "--type gru",
    "lecture split: lstm": "--type lstm",
    "lecture split: cnn": "--type cnn",
    "lecture split: transformer": "",
}


def run_makemore(args):
    """makemore.py with these arguments and one thread: the final losses, parameters, and seconds of its core."""
    with core_seconds() as used, tempfile.TemporaryDirectory() as folder:
        out = subprocess.run([sys.executable, "makemore.py", "-o", folder, "--num-samples", "0", *args],
                             cwd=HERE.parent, check=True, capture_output=True, text=True).stdout
    losses = {part: float(loss) for part, loss in re.findall(r"^(\w+) split: ([\d.]+)", out, re.M)}
    return losses | {"parameters": int(re.search(r"model: ([\d,]+)", out)[1].replace(",", "")), "seconds": used[0]}


def bench_makemore(_):
    """What makemore.py reaches: the final losses, and the seconds that one core took for it all."""
    results = {}
    for name, args in MAKEMORE.items():
        results[name] = {"command": f"python makemore.py {args}".strip(), **run_makemore(args.split())}
        print(name, results[name], flush=True)
    return results


STAND_IN = {"bigram": "--type bigram", "mlp": "--type mlp",
            "lstm": "--type lstm --n-layer 1 --n-embd2 128 --dropout 0 --max-steps 1000"}


def bench_stand_in(words):
    """Dev losses on the lecture's list and on the stand-in, each model trained on the list that it is judged on."""
    stand_in = HERE.parent / "data" / "sampled_names.txt"
    sampled = stand_in.read_text().split()
    real = set(words)
    results = {"share_of_its_words_in_the_list": round(sum(w in real for w in sampled) / len(sampled), 3)}
    for name, args in STAND_IN.items():
        lists = {"list": [], "stand_in": ["-i", str(stand_in)]}
        results[name] = {which: run_makemore([*more, *args.split()])["val"] for which, more in lists.items()}
        print(name, results[name], flush=True)
    return results


if __name__ == "__main__":
    main()
