"""Measures what the course claims about speed, and writes benchmarks/results.json: `make bench`.

    python benchmarks/run.py [NAME ...]     only these; the other results stay as they are

Every figure is a ratio of two things timed in turn in one run, or seconds of one core. Nothing tests a time: machines
differ, and shared ones are noisy.
"""

import argparse
import json
import math
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import torch
import torch.nn.functional as F

from mmutils import build_dataset, build_vocabulary, is_lecture_list, load_words, split_words, steps

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
RESULTS = HERE / "results.json"


def main():
    benchmarks = {f.__name__: f for f in (bench_build_dataset, bench_steps, bench_one_layer_step, bench_mlp,
                                          bench_notebooks, bench_makemore_speed, bench_makemore, bench_stand_in)}
    benchmarks = {name.removeprefix("bench_"): f for name, f in benchmarks.items()}
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(benchmarks)}")
    names = parser.parse_args().names
    if unknown := set(names) - benchmarks.keys():
        parser.error(f"there is no benchmark {sorted(unknown)[0]!r}; there are {', '.join(benchmarks)}")
    words = load_words()
    if not is_lecture_list(words):
        sys.exit("Benchmarks are measured on the lecture's list, which is not in data/names.txt. "
                 "data/README.md says how to put it there.")

    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    results["machine"] = {"system": f"{platform.system()} {platform.machine()}", "cores": os.cpu_count(),
                          "threads": 1, "python": platform.python_version(),
                          "torch": torch.__version__.split("+")[0]}
    for name in names or benchmarks:
        print(f"{name} …", flush=True)
        results[name] = benchmarks[name](words)
        print(json.dumps(results[name], indent=1))
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")


def timed(*functions, repeats=5):
    """The median seconds of each function, run in turn so that a busy moment of the machine strikes all of them."""
    times = [[] for _ in functions]
    for _ in range(repeats):
        for function, seconds in zip(functions, times, strict=True):
            start = time.perf_counter()
            function()
            seconds.append(time.perf_counter() - start)
    return [statistics.median(seconds) for seconds in times]


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


def mlp(Xtr, Ytr, Xdev, Ydev, *, n_steps, batch, lr, fast):
    """Lecture 2's last net from its init: train and dev loss, and seconds of training.

    fast: AdamW, warmed up and then down along half a cosine; else the lecture's loop, lr and from the middle lr / 10.
    """
    g = torch.Generator().manual_seed(2147483647)
    fan_in = Xtr.shape[1] * 10
    parameters = [torch.randn(shape, generator=g).requires_grad_()
                  for shape in ((27, 10), (fan_in, 200), (200,), (200, 27), (27,))]
    C, W1, b1, W2, b2 = parameters

    def forward(X):
        return torch.tanh(C[X].view(len(X), -1) @ W1 + b1) @ W2 + b2

    optimizer = torch.optim.AdamW(parameters, weight_decay=0.01, fused=True) if fast else None
    warm_up = n_steps // 10
    start = time.perf_counter()
    for i in range(n_steps):
        ix = torch.randint(0, len(Xtr), (batch,), generator=g)
        loss = F.cross_entropy(forward(Xtr[ix]), Ytr[ix])
        for p in parameters:
            p.grad = None
        loss.backward()
        if fast:
            optimizer.param_groups[0]["lr"] = (lr * (i + 1) / warm_up if i < warm_up else
                                               lr / 2 * (1 + math.cos(math.pi * (i - warm_up) / (n_steps - warm_up))))
            optimizer.step()
        else:
            for p in parameters:
                p.data.add_(p.grad, alpha=-lr if i < n_steps / 2 else -lr / 10)
    seconds = time.perf_counter() - start
    with torch.no_grad():
        losses = [F.cross_entropy(forward(X), Y).item() for X, Y in ((Xtr, Ytr), (Xdev, Ydev))]
    return {"train": round(losses[0], 4), "dev": round(losses[1], 4), "seconds": round(seconds, 1)}


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


def bench_notebooks(_):
    """Seconds that each notebook takes on one core with one thread, kernel start included."""
    code = ("import nbformat, sys; from nbclient import NotebookClient; "
            "notebook = nbformat.read(sys.argv[1], as_version=4); "
            "NotebookClient(notebook, timeout=400, kernel_name='python3').execute()")
    results = {}
    one_core = (lambda: os.sched_setaffinity(0, {0})) if hasattr(os, "sched_setaffinity") else None
    for path in sorted((HERE.parent / "notebooks").glob("[0-9]_*.ipynb")):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code, path.name], cwd=path.parent, check=True, preexec_fn=one_core,
                       env=os.environ | {"MMUTILS_TEST": "raise"}, stderr=subprocess.DEVNULL)
        results[path.stem] = {"seconds": round(time.perf_counter() - start, 1)}
    return results


def bench_makemore_speed(words):
    """makemore.py's default Transformer: names a second in training, on all cores.

    Ours: batches of 256 words of like length, cut to their longest. The lecture's way: batches of 32 words, each padded
    to the longest word of the list; the same model, optimizer and machine.
    """
    import makemore
    torch.set_num_threads(os.cpu_count())
    s = makemore.Settings(**dict(zip(makemore.NAMES, makemore.RECIPES["transformer"], strict=True)))
    stoi = {ch: i + 1 for i, ch in enumerate(sorted(set("".join(words))))}
    data, longest = makemore.Words(words, stoi), max(map(len, words))
    model = makemore.build_model(s, len(stoi) + 1, longest + 1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    order = torch.randperm(len(words), generator=torch.Generator().manual_seed(1))

    def update(x, y):
        loss = model(x, y)[1]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    def ours():
        for step in range(10):
            update(*data.batch(data.training_batch(step, 256, 1), "cpu"))

    def padded():
        for i in range(40):
            which = order[32 * i:32 * (i + 1)]
            update(data.x[which], data.y[which])

    fast, slow = timed(ours, padded, repeats=7)
    torch.set_num_threads(1)
    return {"names_a_second": round(2560 / fast), "padded_32_names_a_second": round(1280 / slow),
            "ratio": round(2560 / fast / (1280 / slow), 2), "threads": os.cpu_count()}


MAKEMORE = {
    "makemore split: lstm, one layer of 128": "--split makemore --type lstm --n-layer 1 --n-embd2 128 --dropout 0 "
                                              "--max-steps 1200",
    "makemore split: lstm": "--split makemore --type lstm",
    "makemore split: transformer": "--split makemore",
    "lecture split: lstm": "--type lstm",
    "lecture split: cnn": "--type cnn",
}


def run_makemore(args):
    """makemore.py with these arguments, on all cores: the final losses, parameters, and seconds of training."""
    with tempfile.TemporaryDirectory() as folder:
        out = subprocess.run([sys.executable, "makemore.py", "-o", folder, "--num-samples", "0", *args],
                             cwd=HERE.parent, check=True, capture_output=True, text=True,
                             env={k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}).stdout
    losses = {part: float(loss) for part, loss in re.findall(r"^(\w+) split: ([\d.]+)", out, re.M)}
    return losses | {"parameters": int(re.search(r"model: ([\d,]+)", out)[1].replace(",", "")),
                     "seconds": float(re.findall(r"^step .* ([\d.]+) s$", out, re.M)[-1])}


def bench_makemore(_):
    """What makemore.py reaches, on all cores: the final losses, and the seconds of training (looks at val included)."""
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
