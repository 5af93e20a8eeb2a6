"""makemore.py: its models, its data, its words, its checkpoints, and what it says when something is wrong."""

import collections
import contextlib
import csv
import io
import itertools
import json
import math
import os
import pickle
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import unicodedata
import zipfile
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

import makemore
from mmutils import split_words

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 120  # seconds after which a program that says nothing has hung
TYPES = ["bigram", "mlp", "bow", "rnn", "gru", "lstm", "cnn", "transformer"]
TINY = ["--n-layer", "2", "--n-head", "2", "--n-embd", "8", "--n-embd2", "12", "-b", "8", "-l", "0.01"]

GREEK = ["Αλέξανδρος", "Ελένη", "Σωκράτης", "Ευτυχία", "Νίκος", "Άννα", "Γιώργος", "Μαρία", "Ζωή", "Θεόδωρος",
         "Ιάσων", "Κλειώ", "Λουκάς", "Ξένια", "Οδυσσέας", "Πηνελόπη", "Ραφαήλ", "Στέλιος", "Τάσος", "Φωτεινή"]
COMPANIES = ["A.C.M.E. Ltd", "B. and C. Sons", "Acme Inc.", "D.E.F. Ltd", "North & South Ltd", "G.H. Trading Co.",
             "East West Inc.", "K.L.M. Ltd", "Mills Bros. Co.", "N.O.P. Inc.", "Old Oak Ltd", "Q.R.S. Co."]
ONE_LETTER = list("abcdefghijkl")
LISTS = {"greek": GREEK, "companies": COMPANIES, "one letter": ONE_LETTER}


each_type = pytest.mark.parametrize("kind", TYPES)


# ----- helpers --------------------------------------------------------------------------------------------------------

def some_words(n=60, letters="abcdefgh", longest=7, seed=1):
    """n different words of 1 to `longest` letters."""
    g = random.Random(seed)
    words = {}
    while len(words) < n:
        words["".join(g.choices(letters, range(1, len(letters) + 1), k=g.randint(1, longest)))] = None
    return list(words)


def sized(kind, **changes):
    return makemore.Settings(**{"type": kind, "n_layer": 2, "n_head": 2, "n_embd": 8, "n_embd2": 12} | changes)


def shaken(kind, n_vocab=6, n_places=13, **changes):
    """A model none of whose weights is 0 or close to it: a fresh bigram, say, is a table of zeros."""
    torch.manual_seed(1)
    model = makemore.build_model(sized(kind, **changes), n_vocab, n_places)
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.5)
    return model.eval()


def write_list(path, words):
    path.write_text("\n".join(words) + "\n", encoding="utf-8")


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch):
    """Also where there is a GPU: only on a CPU a resumed run ends with exactly the weights of one never stopped."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder, and the one that the test is in, with a list names.txt of sixty words."""
    monkeypatch.chdir(tmp_path)
    write_list(tmp_path / "names.txt", some_words())
    return tmp_path


@pytest.fixture
def program(capsys):
    """makemore's main(), in this process: code, out, err."""
    def run(*argv):
        capsys.readouterr()
        code = makemore.main([str(arg) for arg in argv])
        return SimpleNamespace(code=code, **capsys.readouterr()._asdict())
    return run


def train(program, *argv, out="names", words="names.txt"):
    """A run in the current folder that must end well."""
    ended = program("-i", words, "-o", out, *argv)
    assert ended.code == 0, ended.err
    return ended


def checkpoint(work_dir):
    """What a run has saved, but for its log: that has a row more where a run was interrupted."""
    state = torch.load(Path(work_dir) / "model.pt", weights_only=True)
    return {name: part for name, part in state.items() if name != "log"}


def same(a, b):
    """Whether two checkpoints, or parts of them, are equal, tensors bit by bit."""
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def log_rows(work_dir):
    with (Path(work_dir) / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def losses(out):
    """{"train": (loss, perplexity), …} as a run prints them at its end."""
    found = re.findall(r"^(\w+) split: (\S+), perplexity (\S+)$", out, re.M)
    return {name: (float(loss), float(perplexity)) for name, loss, perplexity in found}


def settings_line(out):
    line, = re.findall(r"^settings: (.*)$", out, re.M)
    return dict(part.split(" ") for part in line.split(", "))


def sampled(out):
    """The lines of the block "Sampling:"."""
    block = out.split("Sampling:\n")[1].split("Most probable words")[0]
    return [line[2:] for line in block.splitlines()]


def told(ended, *names):
    """Exit code 2 and one line, with each of `names` in it."""
    assert ended.code == 2
    assert ended.err.startswith("makemore: ") and ended.err.endswith("\n") and ended.err.count("\n") == 1, ended.err
    for name in names:
        assert name in ended.err
    return ended


# makemore in processes that can be killed, without the seconds that importing torch takes: one process has imported
# it (and _dynamo, which the first optimizer imports), and forks for every run. A run's `first` is code that is run
# before makemore is.
FORKS = """
import json, os, signal, sys, traceback
import torch
import torch._dynamo
import makemore
torch.set_num_threads(1)
for line in sys.stdin:
    job = json.loads(line)
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            signal.signal(signal.SIGHUP, signal.SIG_DFL)    # the tests may have been started with nohup
            signal.alarm(job["patience"])
            os.chdir(job["folder"])
            for name, fd in (("out.txt", 1), ("err.txt", 2)):
                os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), fd)
            exec(job["first"], {})
            code = makemore.main(job["argv"])
            sys.stdout.flush()
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    print(pid, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


# With this, a run is slow enough to be caught at a step, also where the test has to wait for its turn.
SLOWLY = """
import time, makemore
def train_step(self, real=makemore.Run.train_step):
    time.sleep({seconds})
    return real(self)
makemore.Run.train_step = train_step
"""


class Fork:
    """One run of makemore in a process of its own."""

    def __init__(self, parent, folder, argv, first=""):
        self.parent, self.folder, self.code = parent, folder, None
        for name in "out.txt", "err.txt":
            (folder / name).write_text("")
        job = {"folder": str(folder), "argv": [str(arg) for arg in argv], "first": first, "patience": PATIENCE}
        parent.stdin.write(json.dumps(job) + "\n")
        parent.stdin.flush()
        self.pid = int(parent.stdout.readline())
        assert self.pid > 1     # not the exit code of a run that nobody has waited for

    def rows(self, work_dir):
        """How many rows its log has by now."""
        with contextlib.suppress(FileNotFoundError):
            return max(0, (self.folder / work_dir / "log.csv").read_text().count("\n") - 1)
        return 0

    def wait_for_rows(self, work_dir, n):
        end = time.monotonic() + PATIENCE
        while self.rows(work_dir) < n and time.monotonic() < end:
            time.sleep(0.001)

    def signal(self, number):
        with contextlib.suppress(ProcessLookupError):       # it has ended
            os.kill(self.pid, number)

    def wait(self):
        if self.code is None:
            self.code = int(self.parent.stdout.readline())
        self.out, self.err = [(self.folder / name).read_text() for name in ("out.txt", "err.txt")]
        return self


@pytest.fixture(scope="module")
def forking():
    if not hasattr(os, "fork"):
        pytest.skip("this system cannot fork a process")
    with subprocess.Popen([sys.executable, "-c", FORKS], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True, env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}) as parent:
        yield parent
        parent.stdin.close()


@pytest.fixture
def fork(forking, folder):
    """fork(*argv): makemore in a process of its own, in the test's folder."""
    runs = []

    def start(*argv, first=""):
        runs.append(Fork(forking, folder, argv, first))
        return runs[-1]

    yield start
    for run in runs:
        if run.code is None:  # the test has failed before its end
            run.signal(signal.SIGKILL)
            run.wait()


def wait_until(happened):
    end = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.001)


def typed(*argv, cwd, module=()):
    """makemore as a user types it: a new Python, in the folder cwd."""
    return subprocess.run([sys.executable, *module, ROOT / "makemore.py", *argv], cwd=cwd, capture_output=True,
                          text=True, timeout=PATIENCE, env=os.environ | {"OMP_NUM_THREADS": "1"})


# ----- the models -----------------------------------------------------------------------------------------------------

def test_the_eight_types_are_there():
    assert list(makemore.RECIPES) == TYPES


def reach_of(model, kind, block_size, n_places):
    """How many outputs a character can change: its own, and those after it that see it."""
    if kind == "bigram":
        return 1
    if kind == "cnn":
        return sum(model.dilations) + 1
    return n_places if kind in ("rnn", "gru", "lstm") else block_size or n_places


@torch.no_grad()
@pytest.mark.parametrize("block_size", [0, 1, 3, 4, 20])
@each_type
def test_a_character_changes_no_output_before_it_and_those_after_it_that_see_it(kind, block_size):
    T = 12
    model = shaken(kind, n_layer=3, block_size=block_size)
    reach = reach_of(model, kind, block_size, T)
    idx = torch.randint(1, 6, (2, T), generator=torch.Generator().manual_seed(2))
    before = model(idx)[0]
    assert before.shape == (2, T, 6)
    for t in range(T):
        changed = idx.clone()
        changed[:, t] = changed[:, t] % 5 + 1
        moved = (model(changed)[0] - before).abs().amax((0, 2))
        assert (moved[:t] < 1e-5).all()
        assert (moved[t:t + reach] > 1e-4).all()
        assert (moved[t + reach:] < 1e-5).all()


@pytest.mark.parametrize("block_size", [2, 3, 8, 9, 16])
def test_a_cnns_dilations_stay_below_block_size(block_size):
    model = shaken("cnn", n_layer=6, block_size=block_size)
    assert max(model.dilations) < block_size and len(model.dilations) == 6


@torch.no_grad()
@pytest.mark.parametrize("block_size", [0, 3])
@each_type
def test_an_output_does_not_depend_on_how_far_the_input_goes_on(kind, block_size):
    model = shaken(kind, block_size=block_size)
    idx = torch.randint(1, 6, (4, 12), generator=torch.Generator().manual_seed(3))
    whole = model(idx)[0]
    for T in range(1, 12):
        torch.testing.assert_close(model(idx[:, :T])[0], whole[:, :T], rtol=1e-4, atol=1e-5)


@each_type
def test_every_recipe_builds_and_its_first_loss_is_that_of_guessing(folder, program, kind):
    words = some_words(200, "abcdefghijklmnopqrstuvwxyz", 15)
    write_list(folder / "names.txt", words)
    ended = train(program, "--type", kind, "--max-steps", 0)
    shown = settings_line(ended.out)
    recipe = asdict(makemore.RECIPES[kind]) | {"max_steps": 0}
    assert shown == {name: str(value) for name, value in recipe.items()} | {"device": "cpu"}
    n = len(set("".join(words)))
    assert set(losses(ended.out)) == {"train", "val", "test"}
    for loss, _ in losses(ended.out).values():
        assert abs(loss - math.log(n + 1)) < 0.1


@pytest.mark.parametrize("n_vocab", [3, 100])
@each_type
def test_the_first_loss_of_small_and_of_wide_models_is_that_of_guessing_too(kind, n_vocab):
    for width in 4, 256:
        torch.manual_seed(1)
        model = makemore.build_model(sized(kind, n_embd=width, n_embd2=width), n_vocab, 9).eval()
        g = torch.Generator().manual_seed(1)
        x, y = (torch.randint(0, n_vocab, (200, 8), generator=g) for _ in range(2))
        assert abs(model(x, y)[1].item() - math.log(n_vocab)) < 0.1


def test_without_a_type_it_is_a_transformer_of_about_200_000_parameters(folder, program):
    words = [*some_words(50, "abcdefghijklmnopqrstuvwxyz", 9), "abcdefghijklmno", "pqrstuvwxyz"]
    write_list(folder / "names.txt", words)
    ended = train(program, "--max-steps", 0)
    assert settings_line(ended.out)["type"] == "transformer"
    shown = int(re.search(r"^model: ([\d,]+) parameters", ended.out, re.M)[1].replace(",", ""))
    assert 190_000 <= shown <= 215_000
    assert shown == sum(p.numel() for p in checkpoint("names")["model"].values())


@each_type
def test_flags_win_over_the_recipe(folder, program, kind):
    given = {"n_layer": "2", "n_head": "2", "n_embd": "6", "n_embd2": "10", "block_size": "4", "dropout": "0.125",
             "batch_size": "5", "learning_rate": "0.007", "weight_decay": "0.25", "max_steps": "3", "eval_every": "2",
             "split": "makemore", "seed": "11"}
    flags = [part for name, value in given.items() for part in ("--" + name.replace("_", "-"), value)]
    ended = train(program, "--type", kind, *flags)
    assert settings_line(ended.out) == {"type": kind, **given, "device": settings_line(ended.out)["device"]}
    saved = checkpoint("names")
    assert {name: str(value) for name, value in saved["settings"].items()} == {"type": kind, **given}
    assert saved["optimizer"]["param_groups"][0]["weight_decay"] == 0.25
    sizes = {dim for p in saved["model"].values() for dim in p.shape}
    if kind != "bigram":
        assert 6 in sizes
    if kind not in ("bigram", "transformer"):
        assert 10 in sizes


# ----- what can be learned --------------------------------------------------------------------------------------------

def entropy(words, context):
    """The least mean loss per character, in nats, of whoever sees context(prefix) and no more of a word."""
    after = collections.defaultdict(collections.Counter)
    for word in words:
        for i in range(len(word) + 1):
            after[context(word[:i])][word[i:i + 1]] += 1
    total = sum(-n * math.log(n / counts.total()) for counts in after.values() for n in counts.values())
    return total / sum(counts.total() for counts in after.values())


TWENTY = ["anna", "anne", "ann", "annie", "hanna", "hannah", "ana", "nan", "nana", "nina",
          "ina", "ian", "iain", "eian", "hana", "hane", "inanna", "nia", "ania", "henna"]
CONTEXTS = {
    "bigram": lambda prefix: prefix[-1:],
    "mlp": lambda prefix: prefix[-2:],                              # with --block-size 2
    "bow": lambda prefix: (prefix[-1:], "".join(sorted(prefix))),   # the last character, and a bag of all of them
}


@each_type
def test_twenty_words_are_learned_down_to_their_entropy_and_never_below_it(folder, program, kind):
    write_list(folder / "names.txt", TWENTY)
    assert len(set(TWENTY)) == 20
    flags = {"bigram": ["-l", "0.3"], "mlp": ["--block-size", "2"]}.get(kind, [])
    ended = train(program, "--type", kind, "--split", "all", "--dropout", "0", "-w", "0", "-b", "20", "--n-layer", "2",
                  "--n-head", "2", "--n-embd", "16", "--n-embd2", "32", "-l", "0.01", "--max-steps", "250", *flags)
    least = entropy(TWENTY, CONTEXTS.get(kind, lambda prefix: prefix))
    loss, _ = losses(ended.out)["train"]
    assert least - 1e-4 < loss < least + 0.05  # it is printed with four decimals


def test_more_context_leaves_less_entropy():
    """So that the test above tells the types apart."""
    least = [entropy(TWENTY, CONTEXTS.get(kind, lambda prefix: prefix)) for kind in ("bigram", "mlp", "bow", "lstm")]
    assert all(more > less + 0.01 for more, less in itertools.pairwise(least))


def test_a_bigram_trained_for_long_is_the_table_of_counts(folder, program):
    words = some_words(300, "abcde")
    write_list(folder / "names.txt", words)
    ended = train(program, "--type", "bigram", "--split", "all", "-b", "300", "--max-steps", "600")
    assert losses(ended.out)["train"][0] == pytest.approx(entropy(words, lambda prefix: prefix[-1:]), abs=5e-4)


# ----- the data -------------------------------------------------------------------------------------------------------

@pytest.fixture
def data():
    words = some_words(203)
    return words, makemore.Words(words, {ch: i + 1 for i, ch in enumerate("abcdefgh")})


def test_inputs_and_targets_are_the_words_with_0_in_front_and_1_off(data):
    words, tensors = data
    assert len(tensors.lengths) == len(words)
    which = torch.arange(len(words))
    x, y = tensors.batch(which, "cpu")
    assert x.dtype == y.dtype == torch.int64
    for word, xs, ys in zip(words, x.tolist(), y.tolist(), strict=True):
        indices = ["abcdefgh".index(ch) + 1 for ch in word]
        assert xs[:len(word) + 1] == [0, *indices] and ys[:len(word) + 1] == [*indices, 0]
        assert set(ys[len(word) + 1:]) <= {-1}


def test_a_batch_is_cut_to_its_longest_word(data):
    words, tensors = data
    for which in tensors.batches(8, 1):
        x, y = tensors.batch(which, "cpu")
        assert x.shape == y.shape == (len(which), max(len(words[i]) for i in which) + 1)
        assert [words[i] for i in which] == ["".join("abcdefgh"[c - 1] for c in row if c > 0) for row in y.tolist()]


@pytest.mark.parametrize("batch_size", [1, 7, 8, 29, 203, 500])
def test_an_epoch_holds_every_word_once(data, batch_size):
    words, tensors = data
    batches = tensors.batches(batch_size, 5)
    assert sorted(i for which in batches for i in which.tolist()) == list(range(len(words)))
    assert len(batches) == math.ceil(len(words) / batch_size)
    assert sorted(map(len, batches))[1:] == [batch_size] * (len(batches) - 1)


@pytest.mark.parametrize("batch_size", [7, 8, 29])
def test_epochs_follow_each_other_without_a_word_left_out(data, batch_size):
    words, tensors = data
    n = math.ceil(len(words) / batch_size)
    epochs = [[tensors.training_batch(step, batch_size, 5).tolist() for step in range(e * n, (e + 1) * n)]
              for e in range(3)]
    for epoch in epochs:
        assert sorted(sum(epoch, [])) == list(range(len(words)))
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]


def test_words_in_a_batch_are_of_like_length(own_words):
    tensors = makemore.Words(own_words, {ch: i + 1 for i, ch in enumerate("abcdefghijklmnopqrstuvwxyz")})
    spread = [(tensors.lengths[which].max() - tensors.lengths[which].min()).item() for which in tensors.batches(32, 5)]
    assert 0 < sum(spread) <= (tensors.lengths.max() - tensors.lengths.min()).item()    # they share out all lengths


def test_the_batch_of_a_step_depends_on_nothing_but_the_step(data):
    words, tensors = data
    steps = [3, 70, 0, 26, 25, 3, 70]
    first = [tensors.training_batch(step, 8, 5).tolist() for step in steps]
    torch.manual_seed(99)
    torch.rand(5)
    fresh = [makemore.Words(words, {ch: i + 1 for i, ch in enumerate("abcdefgh")}).training_batch(step, 8, 5).tolist()
             for step in steps]
    assert first == fresh
    assert [tensors.training_batch(step, 8, 6).tolist() for step in steps] != first
    assert [tensors.training_batch(step, 8, 5).tolist() for step in steps] == first


def slow_loss(model, words, stoi):
    """The mean loss per character, a word at a time."""
    total, n = 0.0, 0
    for word in words:
        indices = [stoi[ch] for ch in word]
        log_p = model(torch.tensor([[0, *indices]]))[0][0].double().log_softmax(1)
        total -= log_p[torch.arange(len(word) + 1), torch.tensor([*indices, 0])].sum().item()
        n += len(word) + 1
    return total / n


@torch.no_grad()
@pytest.mark.parametrize("block_size", [0, 3])
@each_type
def test_the_loss_of_a_split_is_the_mean_over_its_characters(data, kind, block_size):
    words, tensors = data
    model = shaken(kind, n_vocab=9, n_places=8, block_size=block_size, dropout=0.5).train()
    loss = makemore.evaluate(model, tensors, "cpu")
    assert model.training  # it is as it was
    expected = slow_loss(model.eval(), words, {ch: i + 1 for i, ch in enumerate("abcdefgh")})
    assert loss == pytest.approx(expected, rel=1e-5)


@torch.no_grad()
def test_the_loss_of_a_long_list_is_the_mean_over_its_characters_too(own_words):
    """Of more words than are computed at once, those of one part being shorter than those of another."""
    stoi = {ch: i + 1 for i, ch in enumerate("abcdefghijklmnopqrstuvwxyz")}
    model = shaken("bigram", n_vocab=27)
    loss = makemore.evaluate(model, makemore.Words(own_words, stoi), "cpu")
    assert loss == pytest.approx(slow_loss(model, own_words, stoi), rel=1e-5)


@torch.no_grad()
@each_type
def test_forward_gives_the_mean_loss_of_the_targets_that_are_there(data, kind):
    _, tensors = data
    model = shaken(kind, n_vocab=9, n_places=8)
    x, y = tensors.batch(torch.arange(20), "cpu")
    logits, loss = model(x, y)
    assert model(x)[1] is None and torch.equal(model(x)[0], logits)
    assert loss.item() == pytest.approx(F.cross_entropy(logits[y >= 0], y[y >= 0]).item(), rel=1e-5)
    assert model(x, torch.full_like(y, -1))[1].item() == 0


def test_the_lectures_split_is_that_of_the_notebooks(own_words):
    assert tuple(map(list, makemore.split(own_words, "lecture"))) == tuple(map(list, split_words(own_words)))


@pytest.mark.parametrize("n", [12, 100, 5000])
def test_karpathys_split_is_the_documented_permutation(n):
    words = [f"w{i}" for i in range(n)]
    train, val, test = makemore.split(words, "makemore")
    torch.manual_seed(3407)
    permuted = [words[i] for i in torch.randperm(n).tolist()]
    n_test = min(1000, n // 10)
    assert test == permuted[-n_test:] and len(val) == n_test
    assert sorted(train + val + test) == sorted(words)
    assert not set(val) & set(train) and not set(val) & set(test) and not set(train) & set(test)


def test_karpathys_test_set_is_the_same_whatever_the_seed(folder, program):
    write_list(folder / "names.txt", some_words(40))
    loss = {}
    for seed in 1, 2:
        ended = train(program, "--split", "makemore", "--seed", seed, "--type", "bigram", "--max-steps", 0)
        loss[seed] = losses(ended.out)  # of equal tables of zeros: they differ if their words' lengths do
        assert ended.out.count("train 32, val 4, test 4") == 1
    assert loss[1] == loss[2]
    for seed in 1, 2:
        torch.manual_seed(seed)
        assert makemore.split(some_words(40), "makemore") == makemore.split(some_words(40), "makemore")


def test_all_words_are_for_training_with_split_all(folder, program):
    assert makemore.split(["b", "a"], "all") == (["b", "a"], [], [])
    ended = train(program, "--split", "all", "--type", "bigram", "--max-steps", 2)
    assert set(losses(ended.out)) == {"train"} and "val split" not in ended.out and "test split" not in ended.out
    assert "train 60" in ended.out


# ----- sampling -------------------------------------------------------------------------------------------------------

def draw(model, n, seed=1, longest=8, **how):
    return makemore.sample(model, n, longest, torch.Generator().manual_seed(seed), **how)


@each_type
def test_words_keep_the_prefix_and_are_never_longer_than_the_longest(kind):
    model = shaken(kind)
    for prefix in [], [3], [2, 5, 1], [1] * 8:
        words = draw(model, 200, prefix=prefix)
        assert len(words) == 200
        assert all(word[:len(prefix)] == prefix and len(word) <= 8 and 0 not in word for word in words)
    assert max(map(len, draw(model, 500))) > 2


@each_type
def test_a_seed_gives_the_same_words_and_another_seed_others(kind):
    model = shaken(kind)
    torch.manual_seed(5)
    first = draw(model, 30)
    torch.manual_seed(6)
    assert draw(model, 30) == first != draw(model, 30, seed=2)


@each_type
def test_all_words_are_drawn_at_once(kind, monkeypatch):
    model, calls = shaken(kind), []
    following = model.following
    monkeypatch.setattr(model, "following", lambda idx, memory: calls.append(len(idx)) or following(idx, memory))
    draw(model, 100)
    assert 1 <= len(calls) <= 8 and set(calls) == {100}


@torch.no_grad()
@each_type
def test_at_low_temperatures_and_with_top_k_1_there_is_one_word(kind):
    model = shaken(kind)
    greedy = []
    while len(greedy) < 8:
        nxt = model(torch.tensor([[0, *greedy]]))[0][0, -1].argmax().item()
        if nxt == 0:
            break
        greedy.append(nxt)
    for how in {"top_k": 1}, {"temperature": 1e-4}, {"temperature": 1e-30}, {"temperature": 1e-40}, \
            {"temperature": 1e-300}, {"temperature": 0.5, "top_k": 1}:
        assert draw(model, 50, **how) == [greedy] * 50


@torch.no_grad()
def probabilities(model, letters, longest, prefix=(), temperature=1.0):
    """{word: p} of every word that begins with the prefix: the product over its characters, and over its end."""
    found = {}
    for n in range(len(prefix), longest + 1):
        for rest in itertools.product(range(1, letters + 1), repeat=n - len(prefix)):
            word = (*prefix, *rest)
            log_p = (model(torch.tensor([[0, *word]]))[0][0].double() / temperature).log_softmax(1)
            places = torch.arange(len(prefix), n + 1)
            found[word] = log_p[places, torch.tensor([*rest, 0])].sum().exp().item()
    return found


@each_type
def test_words_come_as_often_as_the_model_says(kind):
    n, model = 20_000, shaken(kind, n_vocab=3, n_places=5)
    expected = probabilities(model, 2, 3, temperature=0.7)
    seen = collections.Counter(map(tuple, draw(model, n, longest=3, temperature=0.7)))
    for word, p in expected.items():
        if len(word) < 3:  # the longest end without being asked
            assert abs(seen[word] / n - p) < 5 * math.sqrt(p * (1 - p) / n) + 1e-4


@torch.no_grad()
def test_with_top_k_only_the_k_most_probable_characters_are_drawn():
    model = shaken("bigram", n_vocab=20)
    allowed = {row: set(model(torch.tensor([[row]]))[0][0, 0].topk(5).indices.tolist()) for row in range(20)}
    words, followed = draw(model, 500, top_k=5), collections.defaultdict(set)
    for word in words:
        path = [0, *word, *([0] if len(word) < 8 else [])]
        for a, b in itertools.pairwise(path):
            followed[a].add(b)
    assert all(followed[a] <= allowed[a] for a in followed) and followed[0] == allowed[0]


@pytest.mark.parametrize("prefix", [(), (2,), (3, 1, 1)])
@each_type
def test_the_most_likely_words_are_those_of_brute_force(kind, prefix):
    model = shaken(kind, n_vocab=4, n_places=6)
    expected = probabilities(model, 3, 4, prefix)
    for n in 1, 7, 10_000:
        found = makemore.most_likely(model, n, 4, prefix=prefix)
        assert len(found) == min(n, len(expected))
        assert len({tuple(word) for word, _ in found}) == len(found)
        ps = [p for _, p in found]
        assert ps == sorted(ps, reverse=True)
        assert ps == pytest.approx(sorted(expected.values(), reverse=True)[:n], abs=1e-5)
        for word, p in found:
            assert tuple(word[:len(prefix)]) == prefix and p == pytest.approx(expected[tuple(word)], abs=1e-5)


def test_the_most_likely_words_are_printed_with_their_probabilities(folder, program):
    train(program, "--type", "mlp", *TINY, "--max-steps", 40)
    ended = program("-o", "names", "--sample-only", "--most-likely", 6, "--prefix", "b", "--num-samples", 0)
    lines = ended.out.split("Most probable words that begin with 'b':\n")[1].splitlines()
    state = checkpoint("names")
    model = makemore.build_model(makemore.Settings(**state["settings"]), len(state["chars"]) + 1, state["longest"] + 1)
    model.load_state_dict(state["best"])
    expected = makemore.most_likely(model, 6, state["longest"], prefix=[state["chars"].index("b") + 1])
    assert len(lines) == 6
    for line, (indices, p) in zip(lines, expected, strict=True):
        shown, *word = line.split()
        assert float(shown) == pytest.approx(p, abs=1e-6)
        assert "".join(word) == "".join(state["chars"][i - 1] for i in indices) and word[0][0] == "b"


@pytest.mark.parametrize("how", [[], ["--top-k", "1"], ["--top-k", "5"], ["--temperature", "1e-40"],
                                 ["--temperature", "3"], ["--prefix", "ba"]], ids=" ".join)
def test_the_sampling_flags_work_after_training_and_alone(folder, program, how):
    first = sampled(train(program, "--type", "gru", *TINY, "--max-steps", 10, "--num-samples", 9, *how).out)
    ended = program("-o", "names", "--sample-only", "--num-samples", 9, *how)
    words = sampled(ended.out)
    assert ended.code == 0 and len(words) == 9
    assert [line[:16].rstrip() for line in first] == words  # the same seed, and the same weights
    if how in (["--top-k", "1"], ["--temperature", "1e-40"]):
        assert len(set(words)) == 1
    else:
        assert len(set(words)) > 1
    if "--prefix" in how:
        assert all(word.startswith("ba") for word in words)
    other = program("-o", "names", "--sample-only", "--num-samples", 9, "--seed", 4, *how)
    assert (sampled(other.out) == words) == (len(set(words)) == 1)


def test_no_samples_are_made_where_none_are_wanted(folder, program):
    ended = train(program, "--type", "bigram", "--max-steps", 1, "--num-samples", 0)
    assert ended.out.endswith("Sampling:\n")
    assert program("-o", "names", "--sample-only", "--num-samples", 0).out.endswith("Sampling:\n")


# ----- lists ----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("kind", ["bigram", "lstm", "transformer"])
def test_any_list_of_words_does(folder, program, name, kind):
    write_list(folder / "names.txt", LISTS[name])
    ended = train(program, "--type", kind, "--split", "all", *TINY, "--max-steps", 40)
    assert f"{len(LISTS[name])} words" in ended.out and repr("".join(checkpoint("names")["chars"])) in ended.out
    only = program("-o", "names", "--sample-only", "--num-samples", 200)
    words = sampled(only.out)
    assert only.code == 0 and len(words) == 200
    assert set("".join(words)) <= set("".join(LISTS[name]))
    assert max(map(len, words)) <= max(map(len, LISTS[name]))
    if name == "companies":
        assert {" ", ".", "A", "d"} <= set("".join(words))
    else:
        assert len(set("".join(words))) > 5
    prefix = LISTS[name][0][:8]
    for word in sampled(program("-o", "names", "--sample-only", "--prefix", prefix).out):
        assert word.startswith(prefix)


def test_words_are_ended_by_no_character(folder, program):
    """A dot is a character like others: words go on after it."""
    write_list(folder / "names.txt", ["a.b", "a..", "..", "a b. ", "B.a"] * 4)
    train(program, "--type", "lstm", "--split", "all", "--dropout", 0, *TINY, "--max-steps", 300)
    found = program("-o", "names", "--sample-only", "--most-likely", 5, "--num-samples", 0).out.splitlines()[-5:]
    assert {line[13:] for line in found} == {"a.b", "a..", "..", "a b.", "B.a"}


def test_a_prefix_may_be_typed_with_combining_accents(folder, program):
    """As in the list, where letter and accent are put together on reading."""
    write_list(folder / "names.txt", GREEK)
    prefix = unicodedata.normalize("NFD", "Άν")
    assert len(prefix) == 3
    ended = train(program, "--type", "bigram", "--split", "all", "--max-steps", 1, "--prefix", prefix)
    assert all(line.startswith("Άν") for line in sampled(ended.out))


# ----- checkpoints ----------------------------------------------------------------------------------------------------

STOPPING = "stopping after this step (Ctrl-C again: at once, without saving)\n"
RUN = [*TINY, "--dropout", "0.3", "--max-steps", "20", "--eval-every", "5", "--num-samples", "3"]


def interrupt_after(monkeypatch, step):
    """Ctrl-C while the step with this number is computed."""
    train_step = makemore.Run.train_step

    def interrupted(self):
        loss = train_step(self)
        if self.step == step:
            signal.raise_signal(signal.SIGINT)
        return loss

    monkeypatch.setattr(makemore.Run, "train_step", interrupted)


def visible(work_dir):
    return sorted(path.name for path in Path(work_dir).iterdir() if path.name != makemore.LOCK)


def steps_logged(work_dir):
    steps = [int(row["step"]) for row in log_rows(work_dir)]
    assert all(a < b for a, b in itertools.pairwise(steps)), steps
    assert all(math.isfinite(float(value)) for row in log_rows(work_dir) for value in row.values())
    return steps


@pytest.mark.parametrize(("kind", "step"), [*((kind, 7) for kind in TYPES), ("lstm", 1), ("lstm", 4), ("lstm", 5),
                                            ("lstm", 10), ("lstm", 19), ("lstm", 20), ("transformer", 15)])
def test_a_run_stopped_with_ctrl_c_and_resumed_ends_as_one_never_stopped(folder, program, monkeypatch, kind, step):
    whole = train(program, "--type", kind, *RUN, out="whole")
    with monkeypatch.context() as patch:
        interrupt_after(patch, step)
        stopped = train(program, "--type", kind, *RUN)
    assert f"interrupted at step {step}" in stopped.out and checkpoint("names")["step"] == step
    assert len(sampled(stopped.out)) == 3 and set(losses(stopped.out)) == {"train", "val", "test"}
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    resumed = train(program, "--resume")
    assert f"resumed at step {step}" in resumed.out
    assert same(checkpoint("names"), checkpoint("whole"))  # weights, best weights, optimizer, random state, settings
    assert losses(resumed.out) == losses(whole.out)
    assert steps_logged("whole") == [5, 10, 15, 20]
    assert steps_logged("names") == sorted({5, 10, 15, 20, step})


def test_a_run_stopped_often_ends_as_one_never_stopped(folder, program, monkeypatch):
    train(program, "--type", "lstm", *RUN, "--eval-every", "1", out="whole")
    for step in 2, 3, 9, 14:
        with monkeypatch.context() as patch:
            interrupt_after(patch, step)
            flags = [] if step > 2 else ["--type", "lstm", *RUN, "--eval-every", "1"]
            train(program, *flags, *(["--resume"] if step > 2 else []))
    train(program, "--resume")
    assert same(checkpoint("names"), checkpoint("whole"))
    assert log_rows("names") == log_rows("whole") and steps_logged("names") == list(range(1, 21))


def test_resuming_a_finished_run_changes_nothing(folder, program):
    first = train(program, "--type", "gru", *RUN)
    before, rows = checkpoint("names"), log_rows("names")
    again = train(program, "--resume", "--num-samples", 3)
    assert same(checkpoint("names"), before) and log_rows("names") == rows
    assert losses(again.out) == losses(first.out) and sampled(again.out) == sampled(first.out)


def test_resume_takes_new_values_of_what_may_change(folder, program):
    train(program, "--type", "mlp", *RUN)
    train(program, "--resume", "--max-steps", 30, "-w", "0.5", "-b", 4, "-l", "0.002", "--eval-every", 10)
    state = checkpoint("names")
    group, = state["optimizer"]["param_groups"]
    assert state["step"] == 30 and group["weight_decay"] == 0.5
    assert 0 < group["lr"] <= 0.002
    assert {name: state["settings"][name] for name in ("max_steps", "weight_decay", "batch_size", "learning_rate")} \
        == {"max_steps": 30, "weight_decay": 0.5, "batch_size": 4, "learning_rate": 0.002}
    assert steps_logged("names") == [5, 10, 15, 20, 30]


def test_the_best_weights_are_those_of_the_best_look_and_sample_only_takes_them(folder, program):
    write_list(folder / "names.txt", some_words(40))
    ended = train(program, "--type", "lstm", *RUN, "--n-embd2", 32, "--dropout", 0, "-l", 0.03, "--max-steps", 100)
    state, rows = checkpoint("names"), log_rows("names")
    best = min(float(row["val_loss"]) for row in rows)
    assert best < float(rows[-1]["val_loss"]) - 0.05  # it has overfitted, or this test could not tell
    assert state["best_loss"] == pytest.approx(best, abs=1e-5) and not same(state["best"], state["model"])
    assert losses(ended.out)["val"][0] == pytest.approx(best, abs=1e-4)

    model = makemore.build_model(makemore.Settings(**state["settings"]), len(state["chars"]) + 1, state["longest"] + 1)
    words = {}
    for name in "best", "model":
        model.load_state_dict(state[name])
        drawn = draw(model, 20, seed=3407, longest=state["longest"])
        words[name] = ["".join(state["chars"][i - 1] for i in word) for word in drawn]
    assert sampled(program("-o", "names", "--sample-only").out) == words["best"] != words["model"]


def test_an_interrupt_does_not_change_which_weights_are_the_best(folder, program, monkeypatch):
    """Were the weights at the interrupt kept as the best, a run stopped and resumed could end with others."""
    write_list(folder / "names.txt", some_words(40))
    flags = ["--type", "lstm", *RUN, "--n-embd2", 32, "--dropout", 0, "-l", 0.03, "--max-steps", 100]
    train(program, *flags, "--eval-every", 1, out="every step")
    val = [float(row["val_loss"]) for row in log_rows("every step")]
    step = val.index(min(val)) + 1
    assert val[step - 1] < val[-1] - 0.05
    train(program, *flags, "--eval-every", 100, out="whole")
    with monkeypatch.context() as patch:
        interrupt_after(patch, step)
        train(program, *flags, "--eval-every", 100)
    train(program, "--resume")
    assert same(checkpoint("names"), checkpoint("whole"))


def test_a_work_directory_is_all_that_sample_only_needs(folder, program):
    first = train(program, "--type", "transformer", *RUN, "--num-samples", 20)
    Path("names.txt").unlink()
    Path("names").rename("elsewhere")
    for path in Path("elsewhere").iterdir():
        if path.name != "model.pt":
            path.unlink()
    ended = program("-o", "elsewhere", "--sample-only")
    assert ended.code == 0 and [line[:16].rstrip() for line in sampled(first.out)] == sampled(ended.out)
    assert [path.name for path in Path("elsewhere").iterdir()] == ["model.pt"]  # and it leaves nothing behind


def test_a_checkpoint_holds_all_that_a_run_needs(folder, program):
    train(program, "--type", "mlp", *RUN)
    state = checkpoint("names")  # loaded with weights_only=True
    words = some_words()
    assert state["chars"] == sorted(set("".join(words))) and state["longest"] == max(map(len, words))
    assert state["step"] == 20 and state["settings"]["type"] == "mlp"
    assert state["model"].keys() == state["best"].keys() and state["optimizer"]["state"]
    assert not list(Path("names").glob("*.part"))


def test_without_an_end_it_trains_until_ctrl_c_and_can_go_on(folder, fork):
    flags = ["-i", "names.txt", "-o", "names", "--type", "bow", *RUN, "--max-steps", "-1"]
    for _ in range(2):
        running = fork(*flags)
        begun = running.rows("names")
        running.wait_for_rows("names", begun + 5)
        running.signal(signal.SIGINT)
        stopped = running.wait()
        assert (stopped.code, stopped.err) == (0, STOPPING)
        step, how = re.search(r"^interrupted at step (\d+); saved in names: go on with (.+)$", stopped.out,
                              re.M).groups()
        assert int(step) == checkpoint("names")["step"]
        flags = [*shlex.split(how), "--num-samples", "3"]           # as it says itself
        assert len(sampled(stopped.out)) == 3 and set(losses(stopped.out)) == {"train", "val", "test"}
    assert len(steps_logged("names")) >= 10


MOMENTS = {  # the eighth file that is written: the log and a checkpoint at each of the steps 2, 4, 6, 8
    "half of it is written": """
import os
def fsync(fd, real=os.fsync, calls=[]):
    calls.append(fd)
    if len(calls) == 8:
        os.ftruncate(fd, os.fstat(fd).st_size // 2)
        os.kill(os.getpid(), 9)
    real(fd)
os.fsync = fsync
""",
    "it is about to be put in place": """
import os
def replace(old, new, real=os.replace, calls=[]):
    calls.append(old)
    if len(calls) == 8:
        os.kill(os.getpid(), 9)
    real(old, new)
os.replace = replace
""",
    "it has been put in place": """
import os
def replace(old, new, real=os.replace, calls=[]):
    calls.append(old)
    real(old, new)
    if len(calls) == 8:
        os.kill(os.getpid(), 9)
os.replace = replace
""",
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_while_a_checkpoint_is_written_a_run_can_go_on(folder, fork, program, moment):
    flags = ["--type", "gru", *RUN, "--eval-every", 2]
    train(program, *flags, out="whole")
    killed = fork("-i", "names.txt", "-o", "names", *flags, first=MOMENTS[moment]).wait()
    assert killed.code == -signal.SIGKILL, killed.err
    assert checkpoint("names")["step"] == (8 if moment == "it has been put in place" else 6)
    train(program, "--resume")
    assert same(checkpoint("names"), checkpoint("whole"))
    assert log_rows("names") == log_rows("whole")
    assert not list(Path("names").glob("*.part"))


def at_most(n_bytes):
    """As on a disk where no more than so many bytes of a file find room."""
    return f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({n_bytes}, {n_bytes}))"


def test_on_a_full_disk_the_old_checkpoint_survives(folder, fork, program):
    train(program, "--type", "rnn", *RUN)
    before = Path("names/model.pt").read_bytes()
    ended = fork("-i", "names.txt", "-o", "names", "--resume", "--max-steps", 40,
                 first=at_most(len(before) // 2)).wait()
    told(ended, "model.pt", "could not be written", "still")
    assert Path("names/model.pt").read_bytes() == before
    assert visible("names") == ["log.csv", "model.pt"]
    train(program, "--resume", "--max-steps", 40)
    assert checkpoint("names")["step"] == 40


def test_on_a_full_disk_a_first_checkpoint_is_not_left_in_pieces(folder, fork):
    ended = fork("-i", "names.txt", "-o", "names", "--type", "rnn", *RUN, first=at_most(5000)).wait()
    told(ended, "model.pt", "could not be written", "Nothing was saved")
    assert visible("names") == ["log.csv"]


NO_ROOM = """
import os
def fsync(fd, real=os.fsync, calls=[]):
    if "log.csv" in os.readlink(f"/proc/self/fd/{{fd}}"):
        calls.append(fd)
        if len(calls) > {rows}:
            raise OSError(28, "No space left on device")
    real(fd)
os.fsync = fsync
"""


@pytest.mark.parametrize("rows", [0, 2])
def test_without_room_for_the_log_the_model_is_trained_and_saved(folder, fork, program, rows):
    train(program, "--type", "bigram", *RUN)
    ended = fork("-i", "names.txt", "-o", "names", "--resume", "--max-steps", 40,
                 first=NO_ROOM.format(rows=rows)).wait()
    assert ended.code == 0 and checkpoint("names")["step"] == 40
    assert ended.err.startswith("note: ") and ended.err.count("\n") == 1 and "names/log.csv" in ended.err
    assert steps_logged("names") == [5, 10, 15, 20, 25, 30][:4 + rows] and visible("names") == ["log.csv", "model.pt"]


@pytest.mark.parametrize("content", ["anna\nbob\n", "\x00\xff,,\n12", "step,loss\n1,2\n", "step\n1\nmine\n"])
def test_a_foreign_log_is_never_touched(folder, program, content):
    Path("names").mkdir()
    path = Path("names/log.csv")
    path.write_text(content, encoding="latin-1")
    for flags in [], ["--resume", "--max-steps", 40]:
        ended = train(program, *([] if flags else ["--type", "bigram", *RUN]), *flags)
        assert path.read_text(encoding="latin-1") == content and ended.err.count("\n") == 1
        assert "names/log.csv" in ended.err and "no log of this program" in ended.err
    assert checkpoint("names")["step"] == 40


@pytest.mark.parametrize("damage", ["", "step,batch", "step,batch_loss,val_loss,learning_rate\nten,1,2,3\n12"])
def test_a_damaged_log_does_not_keep_a_run_from_going_on(folder, program, damage):
    train(program, "--type", "bigram", *RUN)
    Path("names/log.csv").write_text(damage)
    assert train(program, "--resume", "--max-steps", 40).err == ""
    assert checkpoint("names")["step"] == 40
    assert steps_logged("names")[-1] == 40


def test_a_reader_that_has_enough_is_no_error(folder, program):
    train(program, "--type", "bigram", *RUN)
    command = [sys.executable, str(Path(makemore.__file__).resolve()), "-o", "names", "--sample-only",
               "--num-samples", "20000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout.readline() == "Sampling:\n"
        running.stdout.close()
        assert running.stderr.read() == ""
    assert running.returncode == 0


# ----- nothing is lost ------------------------------------------------------------------------------------------------

def contents(work_dir):
    return {path.relative_to(work_dir): path.read_bytes() for path in Path(work_dir).rglob("*") if path.is_file()
            and path.name != makemore.LOCK}


def test_a_run_is_never_overwritten_silently(folder, program):
    train(program, "--type", "bigram", *RUN)
    before = contents("names")
    for flags in [], ["--type", "bigram"], ["--max-steps", 40, "--seed", 2]:
        told(program("-i", "names.txt", "-o", "names", *flags), "names holds a run (bigram, step 20", "--resume", "-o",
             "--overwrite")
        assert contents("names") == before
    Path("names/model.pt").unlink()
    told(program("-i", "names.txt", "-o", "names"), "names holds the log of a run", "--overwrite")
    assert contents("names") == {Path("log.csv"): before[Path("log.csv")]}


def test_overwrite_begins_anew_and_keeps_the_old_run_until_the_new_one_is_worth_something(folder, program, monkeypatch):
    train(program, "--type", "bigram", *RUN)
    before = contents("names")
    with monkeypatch.context() as patch:
        interrupt_after(patch, 3)
        stopped = train(program, "--overwrite", "--type", "gru", *RUN)
    kept, = Path("names").glob("before-*")
    assert contents(kept) == before and str(kept) in stopped.out    # a few steps are no reason to give it up
    assert checkpoint("names")["step"] == 3 and steps_logged("names") == [3]
    whole = train(program, "--overwrite", "--type", "gru", *RUN, out="names")
    assert visible("names") == [kept.name, "log.csv", "model.pt"] and "before-" not in whole.out
    assert checkpoint("names")["step"] == 20 and steps_logged("names") == [5, 10, 15, 20]
    assert contents(kept) == before                                 # which was not this run's


@pytest.mark.parametrize("flags", [["--max-steps", 0], ["--max-steps", 10, "-l", 1000]], ids=["untrained", "worse"])
def test_a_run_that_is_no_better_than_guessing_replaces_nothing(folder, program, flags):
    train(program, "--type", "bigram", *RUN)
    before = contents("names")
    ended = train(program, "--overwrite", "--type", "bigram", *RUN, *flags)
    kept, = Path("names").glob("before-*")
    assert contents(kept) == before and str(kept) in ended.out


def test_until_it_saves_for_the_first_time_a_new_run_leaves_the_old_one_as_it_is(folder, program, fork, monkeypatch):
    train(program, "--type", "bigram", *RUN)
    before = contents("names")
    with monkeypatch.context() as patch:
        patch.setattr(makemore, "evaluate", lambda *_: math.nan)
        told(program("-i", "names.txt", "-o", "names", "--overwrite", *RUN), "diverged", "--learning-rate")
    assert contents("names") == before
    killed = fork("-i", "names.txt", "-o", "names", "--overwrite", *RUN, first="""
import os, makemore
makemore.write_whole = lambda path, content: os.kill(os.getpid(), 9)
makemore.WorkDir.to_file = lambda *_: None
""").wait()
    assert killed.code == -signal.SIGKILL
    assert {path: content for path, content in contents("names").items() if len(path.parts) == 1} == before


@pytest.mark.parametrize("kind", ["a list", "a checkpoint of something else"])
def test_a_foreign_model_pt_is_never_touched(folder, program, kind):
    Path("own").mkdir()
    path = Path("own/model.pt")
    if kind == "a list":
        write_list(path, some_words())
    else:
        torch.save({"weights": torch.zeros(3)}, path)
    before = contents("own")
    for flags in [], ["--overwrite"]:
        words = path if kind == "a list" else "names.txt"
        told(program("-i", words, "-o", "own", *flags), "own/model.pt", "no checkpoint", "-o")
    assert contents("own") == before


def test_a_list_called_log_csv_in_the_work_directory_is_not_overwritten(folder, program):
    Path("own").mkdir()
    write_list(Path("own/log.csv"), some_words())
    ended = train(program, "--type", "bigram", *RUN, out="own", words="own/log.csv")
    assert Path("own/log.csv").read_text().split() == some_words() and "own/log.csv" in ended.err
    assert checkpoint("own")["step"] == 20


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_run_that_is_stopped_from_outside_saves_and_samples(folder, program, fork, name):
    flags = ["--type", "transformer", *RUN, "--max-steps", 60]
    train(program, *flags, out="whole")
    running = fork("-i", "names.txt", "-o", "names", *flags, first=SLOWLY.format(seconds=0.01))
    running.wait_for_rows("names", 2)
    running.signal(getattr(signal, name))
    ended = running.wait()
    assert (ended.code, ended.err) == (0, STOPPING) and len(sampled(ended.out)) == 3
    step = checkpoint("names")["step"]
    assert 10 <= step < 60 and f"interrupted at step {step}" in ended.out
    train(program, "--resume")
    assert same(checkpoint("names"), checkpoint("whole"))


def test_under_nohup_a_closed_terminal_changes_nothing(folder, fork):
    running = fork("-i", "names.txt", "-o", "names", "--type", "bigram", *RUN,
                   first="import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n" + SLOWLY.format(seconds=0.01))
    running.wait_for_rows("names", 1)
    running.signal(signal.SIGHUP)
    assert (running.wait().code, running.err) == (0, "")
    assert checkpoint("names")["step"] == 20


BUSY = """
import pathlib, torch, makemore
def train_step(self, real=makemore.Run.train_step):
    if self.step == 3:
        pathlib.Path("busy").touch()
        torch.randn(3000, 3000).mm(torch.randn(3000, 3000))     # no Python runs within it
        pathlib.Path("done").touch()
    return real(self)
makemore.Run.train_step = train_step
"""


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_within_a_long_operation_is_answered_at_once_and_a_second_ends_at_once(folder, fork, times):
    running = fork("-i", "names.txt", "-o", "names", "--type", "bigram", *RUN, first=BUSY)
    wait_until(Path("busy").exists)
    running.signal(signal.SIGINT)
    wait_until(lambda: STOPPING in Path("err.txt").read_text())
    assert not Path("done").exists()
    if times == 2:
        running.signal(signal.SIGINT)
    ended = running.wait()
    assert ended.code == (130 if times == 2 else 0) and Path("done").exists() == (times == 1)
    assert Path("names/model.pt").exists() == (times == 1)


def test_a_checkpoint_is_saved_by_the_clock_whatever_eval_every_says(folder, program, monkeypatch):
    """The first of them after a look at val; and a run that goes on from one ends as one never stopped."""
    train(program, "--type", "lstm", *RUN, "--eval-every", 20, out="whole")
    happened = []

    def train_step(self, real=makemore.Run.train_step):
        if self.step == 13:
            raise KeyboardInterrupt
        return real(self)

    with monkeypatch.context() as patch:
        for name in "evaluate", "write_whole":
            real = getattr(makemore, name)
            patch.setattr(makemore, name, lambda *args, n=name, f=real: happened.append(n) or f(*args))
        patch.setattr(makemore, "MINUTE", 0.0)
        patch.setattr(makemore.Run, "train_step", train_step)
        assert program("-i", "names.txt", "-o", "names", "--type", "lstm", *RUN, "--eval-every", 20).code == 130
    assert happened == ["evaluate", *13 * ["write_whole"]]
    assert checkpoint("names")["step"] == 13 and visible("names") == ["model.pt"]
    train(program, "--resume")
    assert same(checkpoint("names"), checkpoint("whole"))


def test_a_second_run_in_a_work_directory_is_told_who_is_there(folder, fork, program):
    running = fork("-i", "names.txt", "-o", "names", "--type", "bigram", *RUN, first=SLOWLY.format(seconds=0.05))
    wait_until(Path("names/model.pt").exists)
    for flags in [], ["--resume"], ["--overwrite"]:
        told(program("-i", "names.txt", "-o", "names", *flags), f"in use by process {running.pid} on ", "-o")
    assert program("-o", "names", "--sample-only").code == 0
    running.signal(signal.SIGKILL)
    running.wait()
    train(program, "--resume")                                      # the dead run has left no lock behind
    assert steps_logged("names") == [5, 10, 15, 20]


def test_a_symlinked_checkpoint_is_followed(folder, program):
    Path("names").mkdir()
    Path("disk").mkdir()
    Path("names/model.pt").symlink_to(folder / "disk/names.pt")
    train(program, "--type", "bigram", *RUN)
    assert Path("names/model.pt").is_symlink() and visible("disk") == ["names.pt"]
    train(program, "--resume", "--max-steps", 30)
    assert Path("names/model.pt").is_symlink() and torch.load("disk/names.pt", weights_only=True)["step"] == 30


@pytest.mark.parametrize("broken", ["import", "write"])
def test_a_broken_tensorboard_does_not_end_a_run(folder, program, monkeypatch, broken):
    class Writer:
        def __init__(self, folder):
            pass

        def add_scalar(self, *_):
            raise ZeroDivisionError("no board")

    board = SimpleNamespace(SummaryWriter=Writer) if broken == "write" else SimpleNamespace()
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", board)
    ended = train(program, "--type", "bigram", *RUN)
    assert ended.err.count("\n") == 1 and "TensorBoard" in ended.err and ended.err.startswith("note: ")
    assert checkpoint("names")["step"] == 20 and steps_logged("names") == [5, 10, 15, 20]


def test_a_log_that_is_a_folder_does_not_end_a_run(folder, program):
    Path("names/log.csv").mkdir(parents=True)
    ended = train(program, "--type", "bigram", *RUN)
    assert ended.err.count("\n") == 1 and "names/log.csv" in ended.err and checkpoint("names")["step"] == 20


def random_kills(n, seed, fork, flags):
    """Kill a run n times, at random moments, half of them within a save."""
    g, begun, saved = random.Random(seed), 0, False
    for _ in range(n):
        number = g.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
        within = MOMENT.format(number=int(number), call=g.randint(1, 12), place=g.choice(["before", "half", "after"])) \
            if g.random() < 0.5 else ""
        running = fork("-i", "names.txt", "-o", "names", *flags, *(["--resume"] if saved else []),
                       first=SLOWLY.format(seconds=0.004) + "makemore.MINUTE = 0.02\n" + within)
        if not within:
            lock = Path("names", makemore.LOCK)
            wait_until(lambda: lock.exists() and f"process {running.pid} " in lock.read_text())     # noqa: B023
            time.sleep(g.uniform(0, 0.25))
            running.signal(number)
        ended = running.wait()
        assert ended.code in (0, -number, 130), ended.err           # 130: Ctrl-C before or after training
        if Path("names/model.pt").exists():
            saved = True
            step = checkpoint("names")["step"]
            assert step >= begun
            begun = step


MOMENT = """
import os
def fsync(fd, real=os.fsync, calls=[]):
    calls.append(fd)
    now = len(calls) == {call}
    if now and "{place}" == "half":
        os.ftruncate(fd, os.fstat(fd).st_size // 2) if {number} == 9 else None
        os.kill(os.getpid(), {number})
    real(fd)
    if now and "{place}" == "before":
        os.kill(os.getpid(), {number})
os.fsync = fsync
def replace(old, new, real=os.replace, calls=[]):
    calls.append(old)
    real(old, new)
    if len(calls) == {call} and "{place}" == "after":
        os.kill(os.getpid(), {number})
os.replace = replace
"""


def test_whatever_kills_it_and_when_there_is_a_checkpoint_and_it_ends_as_one_never_killed(
        folder, fork, program, kills=12, steps=300, seed=7):
    flags = ["--type", "lstm", *RUN, "--max-steps", steps, "--eval-every", 25, "--num-samples", 0]
    train(program, *flags, out="whole")
    random_kills(kills, seed, fork, flags)
    train(program, "--resume")
    assert same(checkpoint("names"), checkpoint("whole"))
    assert set(range(25, steps + 1, 25)) <= set(steps_logged("names"))


# ----- any list -------------------------------------------------------------------------------------------------------

URL = "https://" + "abcdefgh" * 400 + "/"


def test_a_long_word_gets_a_small_batch(data):
    """So that a batch never has more characters than so many words of 63, however long one of them is."""
    words = data[0] + ["abcd" * n for n in (15, 16, 17, 25, 25, 40, 75, 250, 2500)]
    tensors = makemore.Words(words, {ch: i + 1 for i, ch in enumerate("abcdefgh")})
    for batch_size in 1, 8, 64:
        epochs = [tensors.batches(batch_size, seed) for seed in range(4)]
        for batches in [*epochs, tensors.cut(torch.arange(len(words)), batch_size)]:
            assert sorted(i for which in batches for i in which.tolist()) == list(range(len(words)))
            for which in batches:
                size = len(which) * max(len(words[i]) + 1 for i in which)
                assert tensors.batch(which, "cpu")[0].numel() == size
                assert len(which) <= batch_size and (size <= 64 * batch_size or len(which) == 1)
        n, = {len(batches) for batches in epochs}           # always as many, so that a step is a batch of a known epoch
        third = [tensors.training_batch(step, batch_size, 5).tolist() for step in range(2 * n, 3 * n)]
        assert sorted(sum(third, [])) == list(range(len(words)))


def test_padding_is_less_than_the_characters_of_a_list_with_a_long_line(own_words):
    words = [*own_words, "x" * 5000]
    tensors = makemore.Words(words, {ch: i + 1 for i, ch in enumerate("abcdefghijklmnopqrstuvwxyz")})
    characters = sum(map(len, words)) + len(words)
    for batches in tensors.batches(128, 1), tensors.cut(torch.arange(len(words)), 512):
        assert sum(tensors.batch(which, "cpu")[0].numel() for which in batches) < 1.5 * characters


MEMORY = """
import atexit, os, resource
def end(code, real=os._exit):
    open("peak.txt", "w").write(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))
    real(code)
os._exit = end
"""


@pytest.mark.parametrize("kind", ["bow", "transformer"])
def test_a_long_line_needs_memory_for_its_characters_and_is_named(folder, fork, kind):
    write_list(folder / "names.txt", [*some_words(300), URL])
    ended = fork("-i", "names.txt", "-o", "names", "--type", kind, *TINY, "-b", 64, "--dropout", 0.1, "--split", "all",
                 "--max-steps", 7, first=MEMORY).wait()
    assert (ended.code, ended.err) == (0, "")
    assert "note: 'https://abcdefghabcdefghabcdef'… has 3,209 characters" in ended.out
    assert int(Path("peak.txt").read_text()) < 700_000              # with a square of them it is above 1,500,000
    assert max(map(len, sampled(ended.out))) < 3209 + 40


def test_no_line_is_named_where_none_is_much_longer_than_the_others(folder, program):
    assert "note:" not in train(program, "--type", "bigram", "--max-steps", 1).out
    write_list(folder / "names.txt", [word * 50 for word in some_words(30, longest=5)])
    assert "note:" not in train(program, "--type", "bigram", "--max-steps", 1, out="long").out


@torch.no_grad()
@pytest.mark.parametrize("block_size", [0, 3])
@each_type
def test_what_follows_is_what_the_whole_model_says_a_character_at_a_time(kind, block_size):
    model = shaken(kind, block_size=block_size)
    idx = torch.randint(1, 6, (4, 12), generator=torch.Generator().manual_seed(3))
    expected = model(idx)[0]
    for begin in 1, 2, 5:
        memory = {}
        for T in range(begin, 13):
            torch.testing.assert_close(model.following(idx[:, :T], memory), expected[:, T - 1], rtol=1e-4, atol=1e-5)


def test_samples_are_padded_to_what_is_shown_and_not_to_the_longest_word():
    mark = {"b" * 30: "in train"}
    chars = ["a", "b", "n"]
    assert makemore.lines([[1, 3, 3, 1]], chars, mark) == ["  anna              new"]
    assert makemore.lines([[1, 3, 3, 1], 30 * [2]], chars, mark) == ["  anna" + 28 * " " + "new", "  " + 30 * "b" +
                                                                     "  in train"]
    assert makemore.lines([[1, 3, 3, 1], 300 * [2]], chars, mark)[0] == "  anna              new"
    assert makemore.lines([[1, 3, 3, 1]], chars) == ["  anna"]


def test_words_of_val_that_are_also_in_train_are_counted(folder, program):
    assert "also in train" not in train(program, "--type", "bigram", "--max-steps", 0).out
    words = some_words(50) * 8
    write_list(folder / "names.txt", words)
    train_words, val, _ = split_words(words)
    n = sum(word in set(train_words) for word in val)
    assert n > 30
    ended = train(program, "--type", "bigram", "--max-steps", 0, out="repeated")
    assert f"; {n} words of val are also in train\n" in ended.out


# ----- any terminal ---------------------------------------------------------------------------------------------------

def test_every_report_is_written_at_once(folder, fork):
    running = fork("-i", "names.txt", "-o", "names", "--type", "bigram", *RUN, first=SLOWLY.format(seconds=0.05))
    wait_until(lambda: "step 5: loss" in Path("out.txt").read_text())
    running.signal(signal.SIGKILL)
    assert running.wait().out.startswith("settings: ") and "step 20" not in running.out


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "cp437", "utf-8"])
def test_what_a_terminal_cannot_show_is_shown_escaped(folder, monkeypatch, encoding):
    write_list(folder / "names.txt", ["ışık", "çağrı", "gül", "İpek", "şule", "öğüt"] * 5)
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    code = makemore.main(["-i", "names.txt", "-o", "names", "--type", "bigram", *map(str, RUN), "--most-likely", "3"])
    out = stream.buffer.getvalue().decode(encoding)
    assert code == 0 and ("\\u0131" in out) == (encoding != "utf-8") == ("ı" not in out)


def test_a_work_directory_may_have_any_name(folder, fork):
    name = os.fsdecode("nämen".encode("latin-1"))
    for flags in ["--type", "bigram", *RUN], ["--resume"], ["--sample-only"]:
        ended = fork("-i", "names.txt", "-o", name, *flags).wait()
        assert ended.code == 0, ended.err
    ended = fork("-i", "names.txt", "-o", name).wait()
    assert ended.code == 2 and ended.err.count("\n") == 1 and "n\\udce4men" in ended.err


def test_the_home_folder_may_be_written_as_a_tilde(folder, program, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    train(program, "--type", "bigram", *RUN, out="~/names", words="~/names.txt")
    assert checkpoint(folder / "names")["step"] == 20 and not Path("~").exists()
    assert program("-o", "~/names", "--sample-only").code == 0
    told(program("-o", "~nobody-of-this-name/names", "--sample-only"), "~nobody-of-this-name/names")


@pytest.mark.parametrize(("environment", "names"), [
    ({"WORLD_SIZE": "2"}, ["WORLD_SIZE is 2", "torchrun", "unset"]),
    ({"WORLD_SIZE": "two", "RANK": "0"}, ["WORLD_SIZE is two", "torchrun"]),
    ({"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "localhost", "MASTER_PORT": "port"}, ["WORLD_SIZE is 2"]),
    ({"WORLD_SIZE": "-1", "RANK": "0", "MASTER_ADDR": "localhost", "MASTER_PORT": "29555"}, ["WORLD_SIZE is -1"]),
    ({"WORLD_SIZE": ""}, None), ({"WORLD_SIZE": "1"}, None), ({"RANK": "3"}, None)])
def test_an_environment_that_torchrun_did_not_make_is_told(folder, program, monkeypatch, environment, names):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    ended = program("-i", "names.txt", "-o", "names", "--type", "bigram", *RUN)
    if names:
        told(ended, *names)
    else:
        assert ended.code == 0 and len(sampled(ended.out)) == 3
        told(program("-i", "names.txt", "-o", "names"), "names holds a run")


@pytest.mark.skipif(torch.cuda.is_available(), reason="wants a machine without a GPU")
def test_each_process_takes_a_gpu_of_its_own(monkeypatch):
    monkeypatch.setattr(makemore.dist, "init_process_group", lambda backend: None)
    for name, value in {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(makemore.Problem, match="--device cuda:1 does not work"):
        makemore.pick_device("cuda")


LITTLE_MEMORY = """
import resource
limit = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize() + 2**29
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
"""


@pytest.mark.parametrize("flags", ["--n-embd 65536", "--type mlp --n-embd2 2147483647", "--type lstm --n-hidden 300000",
                                   "--type mlp --block-size 2147483647", "-b 100000"])
def test_too_little_memory_is_told_with_what_to_change(folder, fork, flags):
    write_list(folder / "names.txt", some_words(10_000, longest=20))
    ended = fork("-i", "names.txt", "-o", "names", *flags.split(),
                 first=LITTLE_MEMORY).wait()
    told(ended, "not enough memory", "--n-embd", "--batch-size", "--most-likely")


def test_twenty_thousand_most_likely_words_need_less_than_a_gigabyte(folder, fork):
    write_list(folder / "names.txt", some_words(60, "abcdefghijklmnopqrstuvwxyz", 12))
    ended = fork("-i", "names.txt", "-o", "names", "--type", "bigram", "--max-steps", 0, "--num-samples", 0,
                 "--most-likely", 20_000, first=MEMORY).wait()
    assert ended.code == 0 and len(ended.out.split("Most probable words:\n")[1].splitlines()) == 20_000
    assert int(Path("peak.txt").read_text()) < 1_000_000


# ----- bad input ------------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A folder with lists, work directories, and files that are none. Nothing in it may be changed."""
    folder = tmp_path_factory.mktemp("bad input")
    words = some_words()
    write_list(folder / "names.txt", words)
    write_list(folder / "others.txt", words[1:])
    write_list(folder / "reordered.txt", words[::-1])
    write_list(folder / "five.txt", words[:5])
    (folder / "empty.txt").write_text("")
    (folder / "blank.txt").write_text("\n \n\n")
    (folder / "latin1.txt").write_bytes("anna\nbj\xf6rn\n".encode("latin-1"))
    (folder / "nothing").mkdir()
    with contextlib.redirect_stdout(None):
        assert makemore.main(["-i", str(folder / "names.txt"), "-o", str(folder / "names"), "--type", "transformer",
                              *TINY, "--max-steps", "2", "--device", "cpu"]) == 0
    good = (folder / "names/model.pt").read_bytes()
    state = torch.load(folder / "names/model.pt", weights_only=True)

    def put(name, content):
        (folder / name).mkdir()
        if isinstance(content, bytes):
            (folder / name / "model.pt").write_bytes(content)
        else:
            torch.save(content, folder / name / "model.pt")

    put("truncated", good[:len(good) * 2 // 3])
    put("without_its_end", good[:-1])
    put("random", random.Random(1).randbytes(5000))
    put("no_bytes", b"")
    put("text", b"not a checkpoint\n")
    put("cut_pickle", pickle.dumps({"list": [1.5, "x" * 300]}, 2)[:-200])
    put("a_class", pickle.dumps(Fork))
    put("a_torch_class", Fork)
    put("state_dict", state["model"])
    put("a_tensor", torch.zeros(3))
    put("a_number", 1)
    put("other_version", state | {"settings": {"type": "transformer"}})
    put("without_weights", {name: part for name, part in state.items() if name != "model"})
    weights = state["model"]["embedding.weight"]
    place = good.index(bytes(weights.flatten().view(torch.uint8).tolist()))
    put("flipped", good[:place] + bytes([good[place] ^ 8]) + good[place + 1:])  # one bit of one weight
    (folder / "a_folder/model.pt").mkdir(parents=True)
    (folder / "a_zip").mkdir()
    with zipfile.ZipFile(folder / "a_zip/model.pt", "w") as archive:
        archive.writestr("words.txt", "anna\n")
    return folder


@pytest.fixture
def bad(prepared, monkeypatch, program):
    """The program in that folder."""
    monkeypatch.chdir(prepared)
    before = {path: path.read_bytes() for path in prepared.rglob("*") if path.is_file() and path.name != makemore.LOCK}
    yield program
    for path, content in before.items():
        assert path.read_bytes() == content
    shutil.rmtree("new", ignore_errors=True)


NEW = ["-i", "names.txt", "-o", "new", "--type", "bigram", "--max-steps", "1"]
SAMPLE, RESUME = ["-o", "names", "--sample-only"], ["-i", "names.txt", "-o", "names", "--resume"]
BAD = {
    "unknown type": ([*NEW, "--type", "gpt"], "--type", "gpt"),
    "unknown split": ([*NEW, "--split", "half"], "--split", "half"),
    "unknown flag": ([*NEW, "--n-heads", "4"], "--n-heads"),
    "unknown short flag": ([*NEW, "-x"], "-x"),
    "a flag cut short": ([*NEW, "--temp", "2"], "--temp"),
    "a flag without its value": ([*NEW, "--seed"], "--seed"),
    "a word too many": ([*NEW, "names.txt"], "names.txt"),
    "heads that do not divide": ([*NEW, "--type", "transformer", "--n-embd", "10", "--n-head", "4"],
                                 "--n-head 4", "--n-embd 10"),
    "heads that do not divide the recipe's width": ([*NEW, "--type", "transformer", "--n-head", "7"], "--n-head 7"),
    "prefix outside the alphabet": ([*NEW, "--prefix", "ab!"], "--prefix", "'!'"),
    "prefix outside the alphabet, sampling": ([*SAMPLE, "--prefix", "aB"], "--prefix", "'B'"),
    "prefix outside the alphabet, resuming": ([*RESUME, "--prefix", "aé"], "--prefix", "'é'"),
    "prefix too long": ([*NEW, "--prefix", "abcdefgh"], "--prefix", "'abcdefgh'", "7"),
    "prefix too long, sampling": ([*SAMPLE, "--prefix", "abcdefgh"], "--prefix", "7"),
    "nothing to resume": (["-i", "names.txt", "-o", "nothing", "--resume"], "nothing"),
    "nothing to sample from": (["-o", "nothing", "--sample-only"], "nothing"),
    "no folder to resume": (["-i", "names.txt", "-o", "nowhere", "--resume"], "nowhere"),
    "no folder to sample from": (["-o", "nowhere", "--sample-only"], "nowhere"),
    "another type": ([*RESUME, "--type", "lstm"], "--type", "lstm", "transformer"),
    "another type, sampling": ([*SAMPLE, "--type", "lstm"], "--type", "lstm", "transformer"),
    "another width": ([*RESUME, "--n-embd", "16"], "--n-embd 16", "8"),
    "other hidden layers": ([*RESUME, "--n-hidden", "16"], "--n-embd2 16", "12"),
    "another depth": ([*RESUME, "--n-layer", "5"], "--n-layer 5", "2"),
    "other heads": ([*RESUME, "--n-head", "4"], "--n-head 4", "2"),
    "another context": ([*RESUME, "--block-size", "3"], "--block-size 3"),
    "another split": ([*RESUME, "--split", "all"], "--split all", "lecture"),
    "another list": (["-i", "others.txt", "-o", "names", "--resume"], "list", "-i"),
    "the list in another order": (["-i", "reordered.txt", "-o", "names", "--resume"], "list", "-i"),
    "no such list": ([*NEW, "-i", "missing.txt"], "missing.txt"),
    "a folder for a list": ([*NEW, "-i", "nothing"], "nothing"),
    "an empty list": ([*NEW, "-i", "empty.txt"], "empty.txt"),
    "a list of blank lines": ([*NEW, "-i", "blank.txt"], "blank.txt"),
    "an undecodable list": ([*NEW, "-i", "latin1.txt"], "latin1.txt", "line 2"),
    "too few words": ([*NEW, "-i", "five.txt"], "5 words", "--split all"),
    "too few words for makemore": ([*NEW, "-i", "five.txt", "--split", "makemore"], "5 words", "--split all"),
    "no such device": ([*NEW, "--device", "gpu"], "--device", "gpu"),
    "no device": ([*NEW, "--device", ""], "--device"),
    "a device that cannot compute": ([*NEW, "--device", "meta"], "--device", "meta"),
    "no such device, sampling": ([*SAMPLE, "--device", "gpu"], "--device", "gpu"),
    "a file for a folder": ([*NEW, "-o", "names.txt"], "names.txt"),
    "a file for a folder above": ([*NEW, "-o", "names.txt/new"], "names.txt"),
    "a file for a folder, sampling": (["-o", "names.txt", "--sample-only"], "names.txt"),
    "resume and sample-only": ([*RESUME, "--sample-only"], "--resume", "--sample-only"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_one_clear_line_and_exit_code_2(bad, case):
    argv, *names = BAD[case]
    told(bad(*argv), *names)


@pytest.mark.skipif(torch.cuda.device_count() > 0, reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_told(bad):
    for argv in NEW, SAMPLE:
        for device in "cuda", "cuda:1":
            told(bad(*argv, "--device", device), "--device", device)


CHECKPOINTS = ["truncated", "without_its_end", "flipped", "random", "no_bytes", "text", "cut_pickle", "a_class",
               "a_torch_class", "state_dict", "a_tensor", "a_number", "other_version", "without_weights", "a_folder",
               "a_zip"]


@pytest.mark.filterwarnings("error")  # a warning would be a second line
@pytest.mark.parametrize("name", CHECKPOINTS)
def test_a_damaged_or_foreign_checkpoint_is_told(bad, name):
    told(bad("-o", name, "--sample-only"), f"{name}/model.pt")
    told(bad("-i", "names.txt", "-o", name, "--resume"), f"{name}/model.pt")


@pytest.mark.filterwarnings("error")
def test_a_checkpoint_cut_or_changed_anywhere_is_told_or_is_as_it_was(prepared, tmp_path):
    good = (prepared / "names/model.pt").read_bytes()
    state = torch.load(prepared / "names/model.pt", weights_only=True)
    path, g = tmp_path / "model.pt", random.Random(1)
    damaged = [good[:g.randrange(len(good))] for _ in range(30)] + [g.randbytes(g.randrange(400)) for _ in range(150)]
    for _ in range(100):
        i = g.randrange(len(good))
        damaged.append(good[:i] + bytes([good[i] ^ 1 << g.randrange(8)]) + good[i + 1:])
    refused = 0
    for content in damaged:
        path.write_bytes(content)
        try:
            assert same(makemore.load(path), state)  # some bytes only fill gaps
        except makemore.Problem:
            refused += 1
    assert refused > 200


WHOLE, FROM_0, FRACTION = ["0", "-2", "1.5", "1e3"], ["-2", "1.5", "1e3"], ["-0.5", "-2"]
NUMBERS = {"--n-layer": WHOLE, "--n-head": WHOLE, "--n-embd": WHOLE, "--n-embd2": WHOLE, "--n-hidden": WHOLE,
           "--block-size": WHOLE, "-b": WHOLE, "--batch-size": WHOLE, "--eval-every": WHOLE, "--most-likely": WHOLE,
           "--top-k": WHOLE, "--max-steps": FROM_0, "--seed": FROM_0, "-n": FROM_0, "--num-workers": FROM_0,
           "--num-samples": FROM_0, "--dropout": [*FRACTION, "1", "1.5"], "-w": FRACTION, "--weight-decay": FRACTION,
           "-l": [*FRACTION, "0"], "--learning-rate": [*FRACTION, "0"], "--temperature": [*FRACTION, "0"]}


@pytest.mark.parametrize("flag", NUMBERS)
def test_a_number_out_of_range_is_told(bad, monkeypatch, flag):
    def taken(*_):
        pytest.fail("a number out of range was taken")

    monkeypatch.setattr(makemore, "build_model", taken)  # which, with such numbers, might never end
    for value in [*NUMBERS[flag], "nan", "inf", "-inf", "ten", "", "1" + 30 * "0", 400 * "9"]:
        told(bad(*NEW, f"{flag}={value}" if flag.startswith("--") else flag + value), flag)


def test_every_numeric_flag_is_among_those(capsys):
    with pytest.raises(SystemExit) as ended:
        makemore.main(["--help"])
    assert ended.value.code == 0
    flags = set(re.findall(r"(?<![\w-])--?[a-z][a-z0-9-]*", capsys.readouterr().out))
    assert flags - set(NUMBERS) == {"-h", "--help", "-i", "--input-file", "-o", "--work-dir", "--resume", "--device",
                                    "--sample-only", "--overwrite", "--split", "--type", "--prefix", "--compile"}


@pytest.mark.parametrize("kind", ["bigram", "lstm", "transformer"])
def test_a_run_that_diverges_says_so_or_goes_on(folder, program, kind):
    ended = program("-i", "names.txt", "-o", "names", "--type", kind, *TINY, "-l", "1e9", "--max-steps", 30)
    if ended.code:
        told(ended, "--learning-rate")
    else:
        assert losses(ended.out)["train"][0] > 100 and ended.err == ""


# ----- the commands of Karpathy's script ------------------------------------------------------------------------------

@pytest.fixture
def short(monkeypatch):
    """Every type with a recipe of a few steps, so that commands can be typed as they stand."""
    for kind, recipe in makemore.RECIPES.items():
        monkeypatch.setitem(makemore.RECIPES, kind, replace(recipe, n_layer=2, n_head=2, n_embd=8, n_embd2=12,
                                                            batch_size=16, max_steps=12))


def test_karpathys_commands_work_as_they_stand(folder, program, short):
    command = ["-i", "names.txt", "-o", "names"]
    first = program(*command)
    assert (first.code, first.err) == (0, "")
    assert settings_line(first.out)["type"] == "transformer" and len(sampled(first.out)) == 20
    assert checkpoint("names")["step"] == 12
    for more in ("--sample-only", "--resume", "--overwrite --top-k 5", "--overwrite -n 4", "--sample-only --top-k 5",
                 "--resume --num-workers 4"):
        ended = program(*command, *more.split())
        assert (ended.code, ended.err) == (0, "")
        assert len(sampled(ended.out)) == 20
        assert ("--num-workers is not needed" in ended.out) == (more[-1] == "4")


def test_the_hidden_layers_flag_has_two_names(folder, program):
    for flag in "--n-embd2", "--n-hidden":
        ended = train(program, "--type", "mlp", flag, 9, "--max-steps", 0)
        assert settings_line(ended.out)["n_embd2"] == "9"


def test_the_lecture_list_is_taken_where_none_is_given(folder, program, lecture_words):
    ended = program("-o", "names", "--type", "bigram", "--max-steps", 1)
    assert ended.code == 0 and "32,033 words, 26 characters" in ended.out and "longest word has 15" in ended.out
    assert "train 25,626, val 3,203, test 3,204" in ended.out


# ----- what is printed ------------------------------------------------------------------------------------------------

def test_a_run_tells_its_settings_its_data_its_size_and_its_losses(folder, program):
    out = train(program, "--type", "mlp", *TINY, "--max-steps", 10, "--eval-every", 5, "--device", "cpu").out
    words = some_words()
    places = [out.index(part) for part in (
        "settings: type mlp, ", f"data: {len(words)} words, 8 characters 'abcdefgh', the longest word has 7", "model: ",
        "step 5: loss ", "step 10: loss ", "train split: ", "val split: ", "test split: ", "Sampling:\n")]
    assert places == sorted(places)
    assert settings_line(out)["device"] == "cpu" and "train 48, val 6, test 6" in out
    shown = int(re.search(r"^model: ([\d,]+) parameters", out, re.M)[1].replace(",", ""))
    assert shown == sum(p.numel() for p in checkpoint("names")["model"].values())
    for loss, perplexity in losses(out).values():
        assert perplexity == pytest.approx(math.exp(loss), rel=2e-4)
    assert [int(row["step"]) for row in log_rows("names")] == [5, 10]
    assert losses(out)["val"][0] == pytest.approx(min(float(row["val_loss"]) for row in log_rows("names")), abs=1e-4)


def test_the_losses_at_the_end_are_those_of_the_best_weights_on_each_split(folder, program):
    out = train(program, "--type", "gru", *TINY, "--max-steps", 10).out
    state = checkpoint("names")
    model = makemore.build_model(makemore.Settings(**state["settings"]), len(state["chars"]) + 1, state["longest"] + 1)
    model.load_state_dict(state["best"])
    stoi = {ch: i + 1 for i, ch in enumerate(state["chars"])}
    for name, part in zip(("train", "val", "test"), split_words(some_words()), strict=True):
        loss = makemore.evaluate(model, makemore.Words(part, stoi), "cpu")
        assert losses(out)[name][0] == pytest.approx(loss, abs=1e-4)


def test_words_are_marked_as_in_train_in_val_or_test_or_new(folder, program):
    words = some_words(40, "ab", 5)
    write_list(folder / "names.txt", words)
    out = train(program, "--type", "bigram", "--max-steps", 20, "--num-samples", 100, "--most-likely", 10).out
    train_words, *others = map(set, split_words(words))
    lines = [line for line in out.splitlines() if line.startswith("  ")]
    seen = collections.Counter()
    for line in lines:
        word, mark = re.fullmatch(r"  (?: *\d\.\d+  )?([ab]*) +(in train|in val or test|new)", line).groups()
        seen[mark] += 1
        assert mark == ("in train" if word in train_words else
                        "in val or test" if word in set.union(*others) else "new")
    assert seen.keys() == {"in train", "in val or test", "new"} and seen.total() > 110


# ----- as a user types it ---------------------------------------------------------------------------------------------

TYPED = {  # a command of Karpathy's with all of its flags, and ours
    "transformer": "--type transformer --n-layer 2 --n-head 2 --n-embd 8 --n-embd2 8 -b 16 -l 0.001 -w 0.02 "
                   "--seed 7 --device cpu --top-k 5 -n 4",
    "bigram": "--prefix ab --temperature 0.8",
    "mlp": "--block-size 4 --n-hidden 24",
    "cnn": "--split makemore --dropout 0.1 --n-layer 3",
    "lstm": "--most-likely 3 --n-embd2 16 --eval-every 7",
    "rnn": "--split all --n-embd2 16",
}


@each_type
def test_each_type_runs_from_the_command_line(folder, fork, kind):
    """In a new Python for Karpathy's command; the others begin where Python has imported torch, which takes seconds."""
    flags = TYPED.get(kind, f"--type {kind} -b 32").split()
    command = ["-i", "names.txt", "-o", "names", "--type", kind, "--max-steps", "20", "--num-samples", "5", *flags]
    if kind == "transformer":
        ended = typed(*command, cwd=folder)
        code, out, err = ended.returncode, ended.stdout, ended.stderr
    else:
        ended = fork(*command).wait()
        code, out, err = ended.code, ended.out, ended.err
    assert (code, err) == (0, "")
    assert settings_line(out)["type"] == kind and len(sampled(out)) == 5
    assert losses(out)["train"][0] < math.log(9) + 0.1
    assert checkpoint("names")["step"] == 20
    assert ("note:" in out) == ("-n" in flags)


def test_a_mistake_on_the_command_line_ends_with_code_2(folder):
    ended = typed("-i", "names.txt", "--n-head", "0", cwd=folder)
    told(SimpleNamespace(code=ended.returncode, err=ended.stderr), "--n-head")
    assert ended.stdout == ""


def test_two_processes_compute_what_one_does(folder, program):
    """Of 7 words one process gets 4; and an epoch's last batch has a single word, of which the other has none."""
    words = some_words(78)
    assert len(words) % 7 == 1
    write_list(folder / "names.txt", words)
    flags = ["--type", "transformer", *TINY, "-b", "7", "--split", "all", "--dropout", "0", "--max-steps", "50",
             "--eval-every", "1", "--device", "cpu"]
    one = train(program, *flags, out="one")
    two = typed("-i", "names.txt", "-o", "two", *flags, cwd=folder,
                module=["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"])
    assert two.returncode == 0, two.stderr
    rows = list(zip(log_rows("one"), log_rows("two"), strict=True))
    assert len(rows) == 50
    for a, b in rows:
        assert a["step"] == b["step"]
        assert float(a["batch_loss"]) == pytest.approx(float(b["batch_loss"]), abs=1e-4)
        assert float(a["val_loss"]) == pytest.approx(float(b["val_loss"]), abs=1e-4)
    for text in "settings: ", "data: ", "model: ", "step 50: ", "train split: ", "Sampling:":
        assert two.stdout.count(text) == one.out.count(text) == 1
    assert "2 processes" in two.stdout and len(sampled(two.stdout)) == 20
