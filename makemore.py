"""makemore takes a list of words, one a line, and makes more of the same kind.

    python makemore.py                              trains a Transformer on the lecture's list of names
    python makemore.py -i words.txt -o words        … on a list of yours, and keeps the result in words/
    python makemore.py -o words --sample-only       more words from what was trained

Eight models are here, from a table of bigrams to a Transformer, in one file to be read from top to bottom:
settings and recipes, the models, the data, sampling, what keeps a run safe, training, the command line. The ideas and
the flags are those of Andrej Karpathy's makemore; the code is ours.
"""

import argparse
import contextlib
import functools
import hashlib
import io
import math
import os
import platform
import re
import shlex
import shutil
import signal
import sys
import tempfile
import threading
import time
import unicodedata
import zipfile
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

import torch
import torch.distributed as dist
import torch.nn as nn
import torch.nn.functional as F
from tqdm import tqdm

from mmutils import load_words, split_words

# ----- 1. Settings and recipes ----------------------------------------------------------------------------------------

def number(kind, low, below=2**31, also=None):
    """A type for argparse: a number of this kind, low <= number < below, or the one that is also allowed."""
    def parse(text):
        with contextlib.suppress(ValueError):
            value = kind(text)
            if low <= value < below or value == also:
                return value
        least, other = "above 0 and" if 0 < low < 1 else f"from {low} to", f", or {also}" * (also is not None)
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is no {kind.__name__} {least} below {below}{other}")
    return parse


NATURAL, FROM_0, POSITIVE, SHARE = number(int, 1), number(int, 0), number(float, 1e-99), number(float, 0, below=1)


def flag(default, kind, text):
    """A field that is a flag of the command line, too."""
    return field(default=default, metadata={"type": kind, "help": text})


@dataclass
class Settings:
    """All that says how a model is built and trained, from flags or a recipe. block_size 0: all of the word."""

    type: str
    n_layer: int = flag(0, NATURAL, "layers")
    n_head: int = flag(0, NATURAL, "heads of attention (transformer)")
    n_embd: int = flag(0, NATURAL, "channels of a character's embedding; the width of a transformer, a bow, a cnn")
    n_embd2: int = flag(0, NATURAL, "units of the hidden layers (mlp, bow, rnn, gru, lstm), channels of a cnn's head")
    block_size: int = flag(0, NATURAL, "characters of context (mlp, bow, transformer); a cnn's dilations stay below it")
    dropout: float = flag(0.0, SHARE, "share of units left out in training")
    batch_size: int = flag(256, NATURAL, "words in a step; fewer, if they are very long")
    learning_rate: float = flag(3e-3, POSITIVE, "the highest learning rate")
    weight_decay: float = flag(0.01, number(float, 0), "weight decay of AdamW")
    max_steps: int = flag(3000, number(int, 0, also=-1), "steps; -1: until Ctrl-C")
    eval_every: int = flag(0, NATURAL, "steps between two looks at val (a tenth of the run)")
    split: str = "lecture"
    seed: int = flag(3407, FROM_0, "seed of weights, batches and samples (3407)")


RECIPES = {s.type: s for s in (
    Settings("bigram", block_size=1, learning_rate=5e-2, weight_decay=0.0, max_steps=1000),
    Settings("mlp", n_layer=1, n_embd=16, n_embd2=256, block_size=3, learning_rate=1e-2, max_steps=4000),
    Settings("bow", n_layer=2, n_embd=64, n_embd2=128, learning_rate=1e-2),
    Settings("rnn", n_layer=1, n_embd=64, n_embd2=192, dropout=0.2, learning_rate=1e-2, weight_decay=0.1),
    Settings("gru", n_layer=2, n_embd=64, n_embd2=192, dropout=0.3, learning_rate=1e-2, weight_decay=0.1),
    Settings("lstm", n_layer=2, n_embd=64, n_embd2=320, dropout=0.45, learning_rate=1e-2, weight_decay=0.1),
    Settings("cnn", n_layer=8, n_embd=96, n_embd2=96, block_size=16, dropout=0.2, batch_size=128, weight_decay=0.1,
             max_steps=6000),
    Settings("transformer", n_layer=4, n_head=4, n_embd=64, dropout=0.2, learning_rate=6e-3, weight_decay=0.1),
)}
SIZES = ("type", "n_layer", "n_head", "n_embd", "n_embd2", "block_size")  # what a checkpoint's weights fit
MINUTE = 60.0   # seconds after which a checkpoint is saved, whatever --eval-every says
LONG = 63       # letters: a batch is one word, or no more characters than batch_size words of this length
PLACES = 2**14  # characters that are sampled at once


class Problem(Exception):
    """Something that the person at the keyboard can mend: shown as one line, exit code 2."""


# ----- 2. The models --------------------------------------------------------------------------------------------------
# Each gets idx (B, T), int64: a batch of words, each with 0 at its front; and gives a loss, and logits (B, T, V): for
# every position a score for each of the V characters that may follow, 0 being the end. The logits at position t depend
# on idx[:, :t + 1] only.

class Model(nn.Module):
    """What all models share: features(idx), (B, T, C) (a bigram's are idx), and a head that makes logits of them."""

    context = 2**31     # how many characters an output can see, the last one included

    def forward(self, idx, targets=None):
        """idx (B, T) → logits (B, T, V), and the mean loss over the targets (B, T) that are not −1, in nats."""
        logits = self.head(self.features(idx))
        if targets is None:
            return logits, None
        total = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-1, reduction="sum")
        return logits, total / (targets >= 0).sum().clamp(min=1)

    def following(self, idx, memory):
        """The logits (B, V) of what follows idx (B, T). In `memory`, a dict, empty at first, a model may keep what it
        has computed, for when the same words come again with one character more."""
        return self.head(self.features(idx[:, -self.context:])[:, -1])


class Bigram(Model):
    """A table: row i holds the logits of what follows character i (lecture 1)."""

    context = 1

    def __init__(self, s, n_vocab, n_places):
        super().__init__()
        self.head = nn.Embedding(n_vocab, n_vocab)
        nn.init.zeros_(self.head.weight)

    def features(self, idx):
        return idx


class MLP(Model):
    """Embeddings of the last block_size characters side by side, a tanh layer, logits (lecture 2; Bengio et al. 2003,
    "A Neural Probabilistic Language Model", JMLR 3)."""

    def __init__(self, s, n_vocab, n_places):
        super().__init__()
        self.context = s.block_size or n_places
        self.embedding = nn.Embedding(n_vocab, s.n_embd)
        sizes = [self.context * s.n_embd] + [s.n_embd2] * s.n_layer
        self.hidden = nn.Sequential(*[part for a, b in zip(sizes, sizes[1:], strict=False)
                                      for part in (nn.Linear(a, b), nn.Tanh(), nn.Dropout(s.dropout))])
        self.head = nn.Linear(sizes[-1], n_vocab)

    def features(self, idx):
        windows = F.pad(idx, (self.context - 1, 0)).unfold(1, self.context, 1)         # (B, T, block_size)
        return self.hidden(self.embedding(windows).flatten(2))


class BagOfWords(Model):
    """The mean of the last block_size characters' embeddings, whatever their order, and MLPs that make sense of it."""

    def __init__(self, s, n_vocab, n_places):
        super().__init__()
        self.block_size = s.block_size or n_places
        self.embedding = nn.Embedding(n_vocab, s.n_embd)
        self.position = nn.Embedding(n_places, s.n_embd)
        self.layers = nn.ModuleList(nn.Sequential(nn.LayerNorm(s.n_embd), nn.Linear(s.n_embd, s.n_embd2), nn.Tanh(),
                                                  nn.Linear(s.n_embd2, s.n_embd), nn.Dropout(s.dropout))
                                    for _ in range(s.n_layer))
        self.norm = nn.LayerNorm(s.n_embd)
        self.head = nn.Linear(s.n_embd, n_vocab)

    def features(self, idx):
        place = torch.arange(idx.shape[1], device=idx.device)
        x = self.embedding(idx) + self.position(place)                      # (B, T, C)
        total = x.cumsum(1)
        if self.block_size < idx.shape[1]:                                  # less what lies further back
            total = total - F.pad(total, (0, 0, self.block_size, 0))[:, :-self.block_size]
        x = x + total / (place + 1).clamp(max=self.block_size)[:, None]     # the last character, and the bag's mean
        for layer in self.layers:
            x = x + layer(x)
        return self.norm(x)


class Recurrent(Model):
    """A state h that is carried along the word, and the logits read off it. torch's own modules compute, step by step,

    rnn   h = tanh(W x + U h′ + b)                                                  Elman 1990; Mikolov et al. 2010
    gru   r = σ(W_r x + U_r h′), z = σ(W_z x + U_z h′), n = tanh(W_n x + r ∘ U_n h′)
          h = (1 − z) ∘ n + z ∘ h′                                                  Cho et al. 2014
    lstm  i, f, o = σ(W x + U h′) each with weights of its own, g = tanh(W_g x + U_g h′)
          c = f ∘ c′ + i ∘ g,  h = o ∘ tanh(c)                                      Hochreiter, Schmidhuber 1997

    where x is the embedding of a character and ′ marks the values one step before. Biases are left out here."""

    def __init__(self, s, n_vocab, n_places):
        super().__init__()
        self.embedding = nn.Embedding(n_vocab, s.n_embd)
        module = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}[s.type]
        self.cells = module(s.n_embd, s.n_embd2, s.n_layer, batch_first=True,
                            dropout=s.dropout if s.n_layer > 1 else 0.0)
        self.dropout = nn.Dropout(s.dropout)
        self.head = nn.Linear(s.n_embd2, n_vocab)

    def features(self, idx):
        h, _ = self.cells(self.dropout(self.embedding(idx)))                # (B, T, n_embd2)
        return self.dropout(h)

    def following(self, idx, memory):
        h, memory["state"] = self.cells(self.embedding(idx[:, -1:] if memory else idx), memory.get("state"))
        return self.head(h[:, -1])


class CNN(Model):
    """A stack of causal convolutions over pairs that lie 1, 2, 4, … characters apart (lecture 5). Each
    layer is gated, adds to a residual stream and to a sum of skips: van den Oord et al. 2016, "WaveNet". A convolution
    over pairs is a linear layer on two characters side by side, which is how it is written here."""

    def __init__(self, s, n_vocab, n_places):
        super().__init__()
        self.embedding = nn.Embedding(n_vocab, s.n_embd)
        cycle = [2**k for k in range(max(1, math.ceil(math.log2(s.block_size or n_places))))]
        self.dilations = [cycle[k % len(cycle)] for k in range(s.n_layer)]
        self.context = sum(self.dilations) + 1
        self.gated = nn.ModuleList(nn.Linear(2 * s.n_embd, 2 * s.n_embd) for _ in self.dilations)
        self.mixed = nn.ModuleList(nn.Linear(s.n_embd, 2 * s.n_embd) for _ in self.dilations)
        self.dropout = nn.Dropout(s.dropout)
        self.last = nn.Linear(s.n_embd, s.n_embd2)
        self.head = nn.Linear(s.n_embd2, n_vocab)

    def features(self, idx):
        x, skips = self.embedding(idx), 0                                   # (B, T, C)
        for d, gated, mixed in zip(self.dilations, self.gated, self.mixed, strict=True):
            earlier = F.pad(x, (0, 0, d, 0))[:, :x.shape[1]]                # d characters before: nothing from after
            filtered, gate = gated(torch.cat([earlier, x], 2)).chunk(2, 2)
            residual, skip = mixed(self.dropout(filtered.tanh() * gate.sigmoid())).chunk(2, 2)
            x, skips = x + residual, skips + skip
        return self.dropout(F.relu(self.last(F.relu(skips / math.sqrt(len(self.dilations))))))


class Block(nn.Module):
    """One layer of a transformer: attention, which lets characters look at those before them, and an MLP."""

    def __init__(self, s):
        super().__init__()
        self.n_head = s.n_head
        self.norm1, self.norm2 = nn.LayerNorm(s.n_embd), nn.LayerNorm(s.n_embd)
        self.qkv = nn.Linear(s.n_embd, 3 * s.n_embd)
        self.project = nn.Linear(s.n_embd, s.n_embd)
        self.mlp = nn.Sequential(nn.Linear(s.n_embd, 4 * s.n_embd), nn.GELU(), nn.Linear(4 * s.n_embd, s.n_embd))

    def forward(self, x, memory=None):
        B, T, C = x.shape
        # queries, keys, values, each (B, n_head, T, C / n_head)
        q, k, v = self.qkv(self.norm1(x)).view(B, T, 3, self.n_head, C // self.n_head).permute(2, 0, 3, 1, 4)
        if memory is not None:                              # in sampling: those of the characters before are known
            if self in memory:
                k, v = torch.cat([memory[self][0], k], 2), torch.cat([memory[self][1], v], 2)
            memory[self] = k, v
        # softmax(q kᵀ / √size) v: a mean of the values, weighted by how well each key answers the query
        y = F.scaled_dot_product_attention(q, k, v, is_causal=T > 1)
        x = x + self.project(y.transpose(1, 2).reshape(B, T, C))
        return x + self.mlp(self.norm2(x))


class Transformer(Model):
    """Embeddings of characters and places, n_layer blocks of attention and MLP, logits (Vaswani et al. 2017, "Attention
    Is All You Need"; the norms stand in front, as in GPT-2)."""

    def __init__(self, s, n_vocab, n_places):
        super().__init__()
        self.context = s.block_size or n_places
        self.embedding = nn.Embedding(n_vocab, s.n_embd)
        self.position = nn.Embedding(n_places, s.n_embd)
        self.blocks = nn.ModuleList(Block(s) for _ in range(s.n_layer))
        self.norm = nn.LayerNorm(s.n_embd)
        self.dropout = nn.Dropout(s.dropout)
        self.head = nn.Linear(s.n_embd, n_vocab)

    def features(self, idx, memory=None, done=0):
        if self.context < idx.shape[1]:         # only the last block_size characters may be seen: windows of so many
            windows = idx.unfold(1, self.context, 1)                        # (B, T − block_size + 1, block_size)
            x = self.features(windows.flatten(0, 1)).unflatten(0, windows.shape[:2])
            return torch.cat([x[:, 0], x[:, 1:, -1]], 1)                    # all of the first, the last of the others
        place = torch.arange(done, done + idx.shape[1], device=idx.device)
        x = self.dropout(self.embedding(idx) + self.position(place))
        for block in self.blocks:
            x = block(x, memory)
        return self.norm(x)

    def following(self, idx, memory):
        if self.context < idx.shape[1]:
            return super().following(idx, memory)
        done, memory["done"] = memory.get("done", 0), idx.shape[1]
        return self.head(self.features(idx[:, done:], memory, done)[:, -1])


def build_model(s, n_vocab, n_places):
    """A fresh model. n_vocab: characters and the end. n_places: how long an input may be (bow, transformer)."""
    kinds = {"bigram": Bigram, "mlp": MLP, "bow": BagOfWords, "cnn": CNN, "transformer": Transformer}
    model = kinds.get(s.type, Recurrent)(s, n_vocab, n_places)
    if s.type != "bigram":                      # small weights make all characters about equally probable at first
        nn.init.normal_(model.head.weight, std=0.02)
        nn.init.zeros_(model.head.bias)
    return model


# ----- 3. The data ----------------------------------------------------------------------------------------------------

class Words:
    """Words as one row of indices with 0 around each, 0 e m m a 0 a v a 0: no padding, whatever their lengths."""

    def __init__(self, words, stoi):
        index = stoi | {"\n": 0}
        self.row = torch.tensor([index[ch] for ch in "\n".join(["", *words, ""])])
        self.lengths = torch.tensor([len(word) for word in words])
        self.starts = (self.lengths + 1).cumsum(0) - self.lengths - 1       # where the 0 in front of each word stands
        self.batches = functools.lru_cache(maxsize=2)(self.batches)         # of the first epoch, and of this one

    def batch(self, which, device):
        """x and y (B, T) of the words `which`: 0 and the word, and 1 further on the targets; behind it 0, and −1."""
        lengths = self.lengths[which, None]
        place = torch.arange(int(lengths.max()) + 1)
        inside = place <= lengths                                           # (B, T)
        at = (self.starts[which, None] + place) * inside
        return self.row[at].to(device), self.row[at + 1].masked_fill(~inside, -1).to(device)

    def cut(self, which, batch_size):
        """The words `which` in order of length, as batches that are at most `batch_size` words and LONG + 1 times as
        many characters, with what pads them to the longest; or a single word."""
        which, batches = which[self.lengths[which].argsort(stable=True)], []
        while len(which):
            longest = self.lengths[which[:batch_size]] + 1                  # of the first word, the first two, …
            padded = longest * torch.arange(1, len(longest) + 1)
            n = max(1, int((padded <= batch_size * (LONG + 1)).sum()))
            batches.append(which[:n])
            which = which[n:]
        return batches

    def batches(self, batch_size, seed):
        """One epoch: a list of index tensors that hold each word once, words of like length together. The shuffled
        words are sorted by length and cut, and the batches are shuffled again: there are as many whatever the seed."""
        g = torch.Generator().manual_seed(seed)
        batches = self.cut(torch.randperm(len(self.lengths), generator=g), batch_size)
        return [batches[i] for i in torch.randperm(len(batches), generator=g)]

    def training_batch(self, step, batch_size, seed):
        """The batch of a step: a pure function of the step, so that a run can be taken up anywhere."""
        epoch, place = divmod(step, len(self.batches(batch_size, seed)))
        return self.batches(batch_size, seed + 1_000_003 * epoch)[place]


def split(words, how):
    """(train, val, test) by the name of the split; val and test are empty for "all"."""
    if how == "all":
        return list(words), [], []
    if len(words) < 10:
        raise Problem(f"{len(words)} words are too few to split 80/10/10. Take at least 10, or --split all.")
    if how == "lecture":
        return split_words(words)
    # Karpathy's permutation: the last 1,000 words (or a tenth) are test. He has no val; here it is taken from train
    n = min(1000, len(words) // 10)
    order = torch.randperm(len(words), generator=torch.Generator().manual_seed(3407))
    shuffled = [words[i] for i in order]
    return shuffled[:-2 * n], shuffled[-2 * n:-n], shuffled[-n:]


# ----- 4. Sampling ----------------------------------------------------------------------------------------------------

@torch.no_grad()
def sample(model, n, longest, g, *, temperature=1.0, top_k=-1, prefix=(), device="cpu"):
    """n words as lists of indices: all drawn at once, a character a round. No word gets longer than `longest`.
    prefix: indices that each word begins with. top_k: draw from the k most probable characters. g: the generator."""
    model.eval()
    idx = torch.tensor([[0, *prefix]], device=device).repeat(n, 1)          # (n, T)
    ended, memory = torch.zeros(n, dtype=torch.bool, device=device), {}
    while idx.shape[1] <= longest and not ended.all():
        logits = model.following(idx, memory) / max(temperature, 1e-30)     # (n, V)
        if top_k > 0:
            logits[logits < logits.topk(min(top_k, logits.shape[1])).values[:, -1:]] = -math.inf
        drawn = torch.multinomial(logits.softmax(1).cpu(), 1, generator=g).to(device)
        drawn[ended] = 0
        ended |= drawn[:, 0] == 0
        idx = torch.cat([idx, drawn], 1)
    # what follows the first end is padding; the prefix may not hold an end
    return [row[:row.index(0)] if 0 in row else row for row in idx[:, 1:].tolist()]


@torch.no_grad()
def most_likely(model, n, longest, *, prefix=(), device="cpu"):
    """The n most probable words and their probabilities given the prefix, by beam search: a list of (indices, p).
    Keeps the most probable beginnings of each length, far more of them than words are wanted, without those that are
    less probable than the n words found: what they lead to is less probable still."""
    model.eval()
    beams, log_p, found = torch.tensor([[0, *prefix]]), torch.zeros(1), []
    while len(beams) and beams.shape[1] <= longest + 1:
        portions = beams.split(max(1, PLACES // beams.shape[1]))            # for the memory
        logits = torch.cat([model.following(some.to(device), {}).cpu() for some in portions])
        scores = log_p[:, None] + logits.log_softmax(1)                     # (beams, V); column 0: the word ends here
        found += zip(scores[:, 0].tolist(), beams[:, 1:].tolist(), strict=True)
        found = sorted(found, reverse=True)[:n]
        least = found[-1][0] if len(found) == n else -math.inf
        keep = n + min(20 * n + 200, 2**22 // scores.shape[1])
        log_p, at = scores[:, 1:].flatten().sort(descending=True)
        log_p = log_p[log_p > least][:keep]
        beam, ch = at[:len(log_p)] // (scores.shape[1] - 1), at[:len(log_p)] % (scores.shape[1] - 1) + 1
        beams = torch.cat([beams[beam], ch[:, None]], 1)
    return [(word, math.exp(score)) for score, word in found]


# ----- 5. Nothing is lost: checkpoints, the log, the work directory, signals ------------------------------------------

CHECKPOINT, LOG, LOCK, HEADER = "model.pt", "log.csv", ".makemore.lock", "step,batch_loss,val_loss,learning_rate"
PARTS = {"makemore", "settings", "chars", "longest", "list", "model", "best", "best_loss", "log", "optimizer",
         "step", "random", "random_gpu"}


def write_whole(path, content):
    """Write bytes in one move: whoever reads the file, at any moment, finds the old one or the new one, whole."""
    path = path.resolve()                                                   # where a link leads to
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        kept = "The one before it is still there." if path.exists() else "Nothing was saved."
        raise Problem(f"{path} could not be written ({error.strerror}). {kept}") from None


def load(path):
    """Read a checkpoint, or say what is wrong with it."""
    if not path.exists():
        raise Problem(f"there is no checkpoint {path}. Train first, or name another work directory with -o.")
    try:
        if zipfile.ZipFile(path).testzip():                                 # torch does not look at the check sums
            raise zipfile.BadZipFile
        state = torch.load(path, map_location="cpu", weights_only=True)
        if state.keys() != PARTS or state["settings"].keys() != {f.name for f in fields(Settings)}:
            raise KeyError
    except Exception as error:                                              # of damaged pickles any kind may come
        raise Problem(f"{path} is no checkpoint of this version of the program, or it is damaged "
                      f"({type(error).__name__}). It stays as it is; take another work directory with -o.") from None
    return state


class WorkDir:
    """Where a run keeps its checkpoint and its log. A run that was there before is kept until this one is better."""

    def __init__(self, path, state, overwrite):
        self.path, self.aside, self.board = path, None, None
        self.logs = {path / LOG: self.to_file, "TensorBoard": self.to_board}
        self.saved, self.saved_at = state is not None, time.monotonic()
        text = (path / LOG).read_text(errors="replace") if (path / LOG).is_file() else None
        is_log = text is not None and (text.startswith(HEADER + "\n") or HEADER.startswith(text))   # or cut off early
        self.foreign_log, there = (path / LOG).exists() and not is_log, "the log of a run" if is_log else ""
        if (path / CHECKPOINT).exists() and not state:
            old = load(path / CHECKPOINT)                                   # untrained, it is nothing to keep
            there = f"a run ({old['settings']['type']}, step {old['step']:,})" if old["step"] else ""
        self.replaces = not state and there
        if self.replaces and not overwrite:
            raise Problem(f"{path} holds {there}: go on with --resume, take another -o, or give it up: --overwrite.")

    def save(self, state, loss, *, report=False, good=False):
        """Write a checkpoint, if the loss is a number. good: it makes the run that was there before superfluous."""
        if not math.isfinite(loss):
            raise Problem(f"the loss is {loss}, so training has diverged: take a smaller --learning-rate. Not saved.")
        if self.replaces:
            self.replaces, self.aside = False, Path(tempfile.mkdtemp(prefix="before-", dir=self.path))
            for path in filter(Path.exists, (self.path / CHECKPOINT, self.path / LOG)):
                shutil.copy2(path, self.aside)
        for name, write in list(self.logs.items()) if report else ():       # first: a row too many is written over
            try:
                write(state["log"])
            except Exception as error:                                      # of TensorBoard any kind may come
                del self.logs[name]                                         # told once and given up
                if getattr(error, "name", None) != "tensorboard":           # that it is not there is no fault
                    tqdm.write(f"note: training goes on without {name}, which cannot be written: {error}", sys.stderr)
        content = io.BytesIO()
        torch.save(state, content)
        write_whole(self.path / CHECKPOINT, content.getbuffer())
        self.saved, self.saved_at = True, time.monotonic()
        if good and self.aside:
            shutil.rmtree(self.aside, ignore_errors=True)
            self.aside = None

    def to_file(self, log):
        if self.foreign_log:
            raise ValueError("it is no log of this program")
        rows = ["{},{:.5f},{:.5f},{:.3g}".format(*row) for row in log]
        write_whole(self.path / LOG, "\n".join([HEADER, *rows, ""]).encode())

    def to_board(self, log):
        from torch.utils.tensorboard import SummaryWriter
        self.board = self.board or SummaryWriter(str(self.path))
        for name, loss in zip(("loss/batch", "loss/val"), log[-1][1:], strict=False):
            self.board.add_scalar(name, loss, log[-1][0])
        self.board.flush()


@contextlib.contextmanager
def locked(path, state, overwrite):
    """The work directory, for this process alone. The system drops the lock when the process ends, however it ends."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = (path / LOCK).open("a+")
    except OSError as error:
        raise Problem(f"--work-dir {path} cannot be made or written ({error.strerror}).") from None
    with lock:
        try:
            import fcntl
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise Problem(f"{path} is in use by {lock.read()}. Wait until it ends, or take another -o.") from None
        except (ImportError, OSError):                                      # Windows; file systems that know no locks
            pass
        lock.truncate(0)
        print(f"process {os.getpid()} on {platform.node()}, since {time.ctime()}", end="", file=lock, flush=True)
        yield WorkDir(path, state, overwrite)


@contextlib.contextmanager
def signals():
    """Ctrl-C, SIGTERM and SIGHUP (a terminal that was closed) only fill the list that this gives.
    Python looks at signals between two of torch's operations, and of a large model one can take long. So a thread
    listens, too: it answers at once, and ends the process at a second Ctrl-C (not under torchrun, which sends two)."""
    asked, (reading, writing) = [], os.pipe()

    def answer():
        with contextlib.suppress(OSError):                                  # the terminal is gone
            if os.read(reading, 1) and tells():                             # a signal's number; nothing at the end
                tqdm.write("stopping after this step (Ctrl-C again: at once, without saving)", sys.stderr)
        while number := os.read(reading, 1):
            if number[0] == signal.SIGINT and not dist.is_initialized():
                os._exit(130)

    before = {n: signal.signal(n, lambda n, frame: asked.append(n)) for n in signal.Signals
              if n.name in ("SIGINT", "SIGTERM", "SIGHUP") and signal.getsignal(n) != signal.SIG_IGN}       # by nohup
    if hasattr(os, "set_blocking"):                                         # not on Windows before Python 3.12
        os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing)
    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(-1)
        os.close(writing)
        thread.join()
        os.close(reading)


# ----- 6. Training ----------------------------------------------------------------------------------------------------

def learning_rate_at(step, s):
    """A short warm-up, then down to 0 along half a cosine; without an end (max_steps −1) it stays up."""
    warm_up = min(100, s.max_steps // 10) if s.max_steps > 0 else 100
    if step < warm_up:
        return s.learning_rate * (step + 1) / warm_up
    if s.max_steps < 0:
        return s.learning_rate
    return s.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, s.max_steps - warm_up)))


@torch.no_grad()
def evaluate(model, words, device):
    """The mean loss per character over all words, in nats."""
    was_training, total, n = model.training, 0.0, 0
    model.eval()
    for which in words.cut(torch.arange(len(words.lengths)), 512):
        x, y = words.batch(which, device)
        count = (y >= 0).sum().item()
        total, n = total + model(x, y)[1].item() * count, n + count
    model.train(was_training)
    return total / n


class Run:
    """A model in training, with all that a checkpoint holds. folder: the WorkDir that it is saved in."""

    def __init__(self, s, words, device, folder=None, state=None, *, compiled=False):
        self.s, self.device, self.kind, self.folder = s, device, torch.device(device).type, folder
        self.rank, self.world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
        self.chars = sorted(set("".join(words)))
        self.longest = max(map(len, words))
        self.list_hash = hashlib.sha256("\n".join(words).encode()).hexdigest()
        train, val, test = split(words, s.split)
        self.parts = {"train": train, "val": val, "test": test}
        self.marks = dict.fromkeys(val + test, "in val or test") | dict.fromkeys(train, "in train")
        stoi = {ch: i + 1 for i, ch in enumerate(self.chars)}               # 0 is the end, and no character
        self.data = {name: Words(part, stoi) for name, part in self.parts.items() if part}
        self.judge = "val" if val else "train"
        self.characters = (len("".join(train)) + len(train)) / len(self.data["train"].batches(s.batch_size, s.seed))
        torch.manual_seed(s.seed)
        self.model = self.parallel = build_model(s, len(self.chars) + 1, self.longest + 1).to(device)
        self.half = self.kind == "cuda" and s.n_embd >= 256 and torch.cuda.is_bf16_supported(False)  # else it is slower
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=s.learning_rate, weight_decay=s.weight_decay,
                                           betas=(0.9, 0.99), fused=self.kind in ("cpu", "cuda"))
        self.step, self.best, self.best_loss, self.log = 0, None, math.inf, []
        if state:
            if state["list"] != self.list_hash:
                raise Problem("the list is not the one that this run was started with. Give the same one with -i.")
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.optimizer.param_groups[0]["weight_decay"] = s.weight_decay             # it may be given anew
            self.step, self.best, self.best_loss, self.log = (state[k] for k in ("step", "best", "best_loss", "log"))
            torch.set_rng_state(state["random"])
            if self.kind == "cuda" and state["random_gpu"] is not None:
                torch.cuda.set_rng_state(state["random_gpu"])
        if self.world > 1:
            torch.manual_seed(s.seed + 7919 * self.rank + self.step)        # each process drops other units
            self.parallel = nn.parallel.DistributedDataParallel(self.model)
        if compiled:
            self.parallel = torch.compile(self.parallel, dynamic=True)      # batches have many shapes

    def state(self):
        """All that a run needs to go on as if it had never stopped."""
        gpu = torch.cuda.get_rng_state() if self.kind == "cuda" else None
        return {"makemore": 1, "settings": asdict(self.s), "chars": self.chars, "longest": self.longest,
                "list": self.list_hash, "model": self.weights(), "best": self.best, "best_loss": self.best_loss,
                "log": self.log, "optimizer": self.optimizer.state_dict(), "step": self.step,
                "random": torch.get_rng_state(), "random_gpu": gpu}

    def weights(self):
        """The weights as they are now, copied to the CPU."""
        return {name: p.detach().cpu().clone() for name, p in self.model.state_dict().items()}

    def train_step(self):
        """One update on the words of this step, shared out among the processes. Returns (summed loss, characters)."""
        which = self.data["train"].training_batch(self.step, self.s.batch_size, self.s.seed)
        mine = which[self.rank::self.world]
        x, y = self.data["train"].batch(mine if len(mine) else which[:1], self.device)
        with torch.autocast(self.kind, torch.bfloat16, enabled=self.half):
            loss = self.parallel(x, y)[1]
        n = (y >= 0).sum() * bool(len(mine))                                # 0: nothing was left for this process
        self.optimizer.zero_grad(set_to_none=True)
        # divided by what a batch has on average, so that every character weighs the same, in short words and long ones;
        # times the number of processes, since DDP takes the mean over them
        (loss * n * self.world / self.characters).backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.param_groups[0]["lr"] = learning_rate_at(self.step, self.s)
        self.optimizer.step()
        self.step += 1
        return torch.stack([(loss * n).detach(), n])

    def train(self):
        """Steps until max_steps or a signal. Returns whether it was a signal."""
        s, since, start = self.s, [], time.monotonic()
        every = s.eval_every or (max(1, s.max_steps // 10) if s.max_steps > 0 else 500)
        end = s.max_steps if s.max_steps >= 0 else math.inf
        self.model.train()
        with signals() as asked, tqdm(total=end, initial=self.step, unit=" steps", dynamic_ncols=True,
                                      disable=True if self.rank else None) as bar:     # None: only on a terminal
            while self.step < end and not self.any(asked):
                since.append(self.train_step())
                bar.update()
                if self.step % 20 == 0:
                    total, n = torch.stack(since[-20:]).sum(0).tolist()
                    bar.set_postfix_str(f"loss {total / n:.4f}", refresh=False)
                if self.step % every == 0 and self.step < end:
                    self.report(since, start)
                    since = []
                elif self.folder and (asked and self.folder.saved or time.monotonic() - self.folder.saved_at > MINUTE):
                    # save() asks only whether the loss is a number: the last batch's will do, but for the first save
                    loss = (since[-1][0].item() if self.folder.saved else
                            evaluate(self.model, self.data[self.judge], self.device))
                    self.folder.save(self.state(), loss)
            # an interrupt must not change what is best: a run that is taken up again ends like one never stopped
            self.report(since, start, remember=self.step == end or end == math.inf)
        return self.step < end or bool(asked)

    def any(self, asked):
        """Whether any process was interrupted: all of them have to leave the loop at the same step."""
        n = torch.tensor(float(len(asked)), device=self.device if self.world > 1 else "cpu")
        if self.world > 1:
            dist.all_reduce(n)
        return n > 0

    def report(self, since, start, remember=True):
        """Look at val, save, and let the first process tell. remember: these weights, if they are the best so far."""
        sums = torch.stack([*since, torch.zeros(2, device=self.device)]).sum(0)
        if self.world > 1:
            dist.all_reduce(sums)
        mean, loss = (sums[0] / sums[1]).item(), evaluate(self.model, self.data[self.judge], self.device)
        if remember and (loss < self.best_loss or self.judge == "train"):   # without val the last weights are the best
            self.best, self.best_loss = self.weights(), loss
        if since:
            self.log.append((self.step, mean, loss, learning_rate_at(self.step - 1, self.s)))
        if not self.folder:
            return
        good = remember and self.step > 0 and loss < math.log(len(self.chars) + 1)      # better than guessing
        self.folder.save(self.state(), loss, report=bool(since), good=good)
        if since:
            tqdm.write(f"step {self.step}: loss {mean:.4f}, {self.judge} {loss:.4f}, {time.monotonic() - start:.1f} s")
            g = torch.Generator().manual_seed(self.s.seed + self.step)
            words = sample(self.model, 5, self.longest, g, device=self.device)
            tqdm.write("\n".join(lines(words, self.chars, self.marks)))
        self.model.train()


# ----- 7. The command line --------------------------------------------------------------------------------------------

def tells():
    """Whether this process prints and saves: of several only the first does."""
    if dist.is_initialized():
        return dist.get_rank() == 0
    return not dist.is_torchelastic_launched() or os.environ["RANK"] == "0"


def parse(argv):
    parser = argparse.ArgumentParser("makemore.py", allow_abbrev=False, description="Makes more of a list of words.",
                                     epilog="What is not given comes from the checkpoint, else from the type's recipe.")
    files = parser.add_argument_group("files")
    add, path = files.add_argument, os.path.expanduser
    add("-i", "--input-file", type=path, help="text with one word a line (left out: the lecture's list of names)")
    add("-o", "--work-dir", type=path, default="out", help="folder for the checkpoint and the log (out)")
    add("--split", choices=["lecture", "makemore", "all"], help="80/10/10; Karpathy's, 1,000 for test; no split")
    add = files.add_mutually_exclusive_group().add_argument
    add("--resume", action="store_true", help="go on with the run in the work directory")
    add("--sample-only", action="store_true", help="only sample, from the best weights there")
    add("--overwrite", action="store_true", help="begin anew; the old run goes when this one is better than guessing")
    add = parser.add_argument_group("model and training").add_argument
    add("--type", choices=list(RECIPES), help="the kind of model (transformer)")
    also = {"n_embd2": ["--n-hidden"], "batch_size": ["-b"], "learning_rate": ["-l"], "weight_decay": ["-w"]}
    for f in fields(Settings):
        if f.metadata:
            add("--" + f.name.replace("_", "-"), *also.get(f.name, []), **f.metadata)
    add("--device", help="cpu, cuda, cuda:1, mps, … (cuda if there is one, else cpu)")
    add("--compile", action="store_true", help="let torch compile the model, which takes minutes at first")
    add("-n", "--num-workers", type=FROM_0, help="accepted; none are needed")
    add = parser.add_argument_group("sampling").add_argument
    add("--num-samples", type=FROM_0, default=20, help="words to make (20)")
    add("--temperature", type=POSITIVE, default=1.0, help="below 1: safer, above 1: wilder (1.0)")
    add("--top-k", type=number(int, 1, also=-1), default=-1, help="draw from the k most probable characters; -1: all")
    add("--prefix", default="", help="what each word begins with")
    add("--most-likely", type=NATURAL, metavar="N", help="and the N most probable words")

    def refuse(message):
        raise Problem(message)
    parser.error = refuse
    args = parser.parse_args(argv)
    args.work_dir, args.prefix = Path(args.work_dir), unicodedata.normalize("NFC", args.prefix)     # as in the list
    return args


def settings_from(args, state):
    """The settings of this run: flags win, then the checkpoint if there is one, then the type's recipe."""
    given = {f.name: getattr(args, f.name) for f in fields(Settings) if getattr(args, f.name) is not None}
    s = Settings(**state["settings"]) if state else RECIPES[args.type or "transformer"]
    for name in (*SIZES, "split", *["seed"] * args.resume) if state else ():    # samples may have a seed of their own
        if given.get(name, getattr(s, name)) != getattr(s, name):
            raise Problem(f"--{name.replace('_', '-')} {given[name]} contradicts {getattr(s, name)} of the run in "
                          f"{args.work_dir}. Leave it out, or start anew in another work directory.")
    s = replace(s, **given)
    if s.type == "transformer" and s.n_embd % s.n_head:
        raise Problem(f"--n-embd {s.n_embd} cannot be shared out among --n-head {s.n_head} heads: take a multiple.")
    return s


def pick_device(name):
    """The device to compute on, tried once. If torchrun has started several processes, they find each other first."""
    world = os.environ.get("WORLD_SIZE") or "1"
    gpu = torch.cuda.is_available() if name is None else name.startswith("cuda")
    what = f"WORLD_SIZE is {world}, but the other processes were not found: start with torchrun, or unset it"
    try:
        if world != "1":
            dist.init_process_group("nccl" if gpu else "gloo")
        if name in (None, "cuda"):
            name = f"cuda:{os.environ.get('LOCAL_RANK', 0) if world != '1' else 0}" if gpu else "cpu"
        what = f"--device {name} does not work: take cpu"
        tried = torch.zeros(1, device=name).add_(1)
        tried.item()
        if tried.is_cuda:
            torch.cuda.set_device(tried.device)
            torch.set_float32_matmul_precision("high")                      # TF32, where the card has it
    except Exception as error:
        raise Problem(f"{what} ({str(error).splitlines()[0][:80]})") from None
    return name


def lines(words, chars, marks=None):
    """Words to print; with their marks in a column, as far right as the words need, but for very long ones."""
    words = ["".join(chars[i - 1] for i in word) for word in words]
    width = max([16, *(len(word) for word in words if len(word) <= 40)])
    return [f"  {word:{width}}  {marks.get(word, 'new')}" if marks else f"  {word}" for word in words]


def indices(prefix, chars, longest):
    """The prefix as a model knows it, if it can stand in front of a word."""
    if unknown := set(prefix) - set(chars):
        raise Problem(f"--prefix {prefix!r}: {min(unknown)!r} is not in the alphabet of this list: {''.join(chars)}")
    if len(prefix) > longest:
        raise Problem(f"--prefix {prefix!r} is longer than the longest word of the list, {longest} characters.")
    return [chars.index(ch) + 1 for ch in prefix]


def write_samples(args, model, chars, longest, device, seed, marks=None):
    """The block `Sampling:`, and the most probable words if they are asked for."""
    prefix, g = indices(args.prefix, chars, longest), torch.Generator().manual_seed(seed)
    print("Sampling:")
    portion = max(1, PLACES // (longest + 1))                               # so that memory is no limit
    for start in range(0, args.num_samples, portion):
        words = sample(model, min(portion, args.num_samples - start), longest, g, temperature=args.temperature,
                       top_k=args.top_k, prefix=prefix, device=device)
        print("\n".join(lines(words, chars, marks)))
    if args.most_likely:
        print("Most probable words" + (f" that begin with {args.prefix!r}:" if args.prefix else ":"))
        words, ps = zip(*most_likely(model, args.most_likely, longest, prefix=prefix, device=device), strict=True)
        for p, line in zip(ps, lines(words, chars, marks), strict=True):
            print(f"  {p:9.6f}{line}")


def makemore(args):
    """Sample from a checkpoint; or say what there is to learn from, train, say what came out, and show some words."""
    state = load(args.work_dir / CHECKPOINT) if args.resume or args.sample_only else None
    s, device = settings_from(args, state), pick_device(args.device)
    if args.sample_only:                                # neither the list nor the flags of its run are needed
        model = build_model(s, len(state["chars"]) + 1, state["longest"] + 1).to(device)
        model.load_state_dict(state["best"] or state["model"])
        write_samples(args, model, state["chars"], state["longest"], device, s.seed)
        return
    try:
        words = load_words(args.input_file)
    except (ValueError, OSError) as error:
        raise Problem(f"-i {args.input_file}: {error}" if args.input_file else str(error)) from None
    with locked(args.work_dir, state, args.overwrite) if tells() else contextlib.nullcontext() as folder:
        run = Run(s, words, device, folder, state, compiled=args.compile)
        indices(args.prefix, run.chars, run.longest)                        # before the work, not after it
        if tells():
            repeated = sum(run.marks[word] == "in train" for word in run.parts["val"])
            usual = sorted(map(len, words))[len(words) // 2]
            print("settings:", ", ".join(f"{key} {value}" for key, value in (asdict(s) | {"device": device}).items()))
            sizes = ", ".join(f"{name} {len(part):,}" for name, part in run.parts.items() if part)
            sizes += f"; {repeated:,} words of val are also in train" * (repeated > 0)
            print(f"data: {len(words):,} words, {len(run.chars)} characters {''.join(run.chars[:80])!r}, the longest "
                  f"word has {run.longest}; {sizes}")
            print(f"model: {sum(p.numel() for p in run.model.parameters()):,} parameters"
                  + f", {run.world} processes" * (run.world > 1) + f", resumed at step {run.step}" * (run.step > 0))
            if run.longest > max(LONG, 8 * usual):
                print(f"note: {max(words, key=len)[:30]!r}… has {run.longest:,} characters; others about {usual}")
            if args.num_workers:
                print("note: --num-workers is not needed here, since all data are in memory as one tensor")
            if run.kind == "mps":
                print("note: on mps losses may differ from those of a CPU")
        interrupted = run.train()
    if not tells():
        return
    if interrupted:
        again = ["--resume", "-o", str(args.work_dir)] + (["-i", str(args.input_file)] if args.input_file else [])
        print(f"interrupted at step {run.step}; saved in {args.work_dir}: go on with {shlex.join(again)}")
    if folder.aside:
        print(f"note: the run that was there before is in {folder.aside}")
    run.model.load_state_dict(run.best or run.weights())
    for name, data in run.data.items():
        loss = evaluate(run.model, data, device)
        print(f"{name} split: {loss:.4f}, perplexity {math.exp(min(loss, 700)):.3f}")
    write_samples(args, run.model, run.chars, run.longest, device, s.seed, run.marks)


def main(argv=None):
    for stream in sys.stdout, sys.stderr:                                   # line by line; any character, anywhere
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=True, errors="backslashreplace")
    try:
        makemore(parse(argv))
        print(end="", flush=True)                                           # a closed pipe shows here, not at exit
        return 0
    except BrokenPipeError:                                                 # its reader has enough: … | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())      # Python closes stdout once more at exit
        return 0
    except KeyboardInterrupt:
        return 130
    except (Problem, OSError) as error:
        problem = error
    except (MemoryError, RuntimeError) as error:
        if not re.search("(?i)alloc|memory|overflow", repr(error)):
            raise
        problem = "there is not enough memory. Take a smaller --batch-size, --n-embd, --n-embd2 or --most-likely."
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
    with contextlib.suppress(OSError):                                      # the terminal is gone
        sys.stderr.write(f"makemore: {problem}\n" if tells() else "")
    return 2


if __name__ == "__main__":
    sys.exit(main())
