"""makemore takes a list of words, one a line, and makes more of the same kind.

    python makemore.py                              trains a Transformer on the lecture's list of names
    python makemore.py -i words.txt -o words        … on a list of yours, and keeps the result in words/
    python makemore.py -o words --sample-only       more words from what was trained

Every model of the course is here, from a table of bigrams to a Transformer, in one file to be read from top to bottom:
settings and recipes, the models, the data, sampling, checkpoints, training, the command line. The ideas and the flags
are those of Andrej Karpathy's makemore; the code is ours.
"""

import argparse
import contextlib
import hashlib
import io
import math
import os
import shlex
import signal
import sys
import time
import unicodedata
import zipfile
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import torch
import torch.distributed as dist
import torch.nn as nn
import torch.nn.functional as F
from tqdm import tqdm

from mmutils import load_words, split_words

# ----------------------------------------------------------------------------------------------------------------------
# 1. Settings and recipes


@dataclass
class Settings:
    """All that says how a model is built and trained. What a run does not set comes from its type's recipe."""

    type: str = "transformer"
    n_layer: int = 4            # layers
    n_head: int = 4             # heads of attention (transformer)
    n_embd: int = 64            # channels of a character's embedding; the width of a transformer, a bow, a cnn
    n_embd2: int = 64           # units of the hidden layers (mlp, bow, rnn, gru, lstm), channels of the head (cnn)
    block_size: int = 0         # characters of context (mlp, bow, transformer; 0: all); a cnn's dilations stay below it
    dropout: float = 0.0
    batch_size: int = 256       # words in a step
    learning_rate: float = 5e-4  # the highest; see learning_rate_at()
    weight_decay: float = 0.01
    max_steps: int = 4000       # −1: until Ctrl-C
    eval_every: int = 0         # steps between two looks at val; 0: ten looks in a run
    split: str = "lecture"
    seed: int = 3407


#            layers, heads, n_embd, n_embd2, block, dropout, batch, learning rate, weight decay, steps
RECIPES = {
    "bigram":      (0,  0,     0,       0,     1,   0.0,    256,   5e-2,          0.0,          1000),
    "mlp":         (1,  0,    16,     256,     3,   0.0,    256,   1e-2,          0.01,         4000),
    "bow":         (2,  0,    64,     128,     0,   0.0,    256,   3e-3,          0.01,         3000),
    "rnn":         (1,  0,    64,     192,     0,   0.2,    256,   3e-3,          0.1,          3000),
    "gru":         (2,  0,    64,     192,     0,   0.3,    256,   1e-2,          0.1,          3000),
    "lstm":        (2,  0,    64,     192,     0,   0.3,    256,   1e-2,          0.1,          3000),
    "cnn":         (8,  0,    96,      96,    16,   0.2,    128,   3e-3,          0.1,          6000),
    "transformer": (4,  4,    64,      64,     0,   0.1,    128,   3e-3,          0.01,         3800),
}
NAMES = ("n_layer", "n_head", "n_embd", "n_embd2", "block_size", "dropout", "batch_size", "learning_rate",
         "weight_decay", "max_steps")
SIZES = ("type", "n_layer", "n_head", "n_embd", "n_embd2", "block_size")  # what a checkpoint's weights fit


class Problem(Exception):
    """Something that the person at the keyboard can mend: shown as one line, exit code 2."""


# ----------------------------------------------------------------------------------------------------------------------
# 2. The models
#
# Each gets idx (B, T), int64: a batch of words, each with 0 at its front; and gives logits (B, T, V): for every
# position a score for each of the V characters that may follow, 0 being the end. The logits at position t depend on
# idx[:, :t + 1] only.


class Model(nn.Module):
    """What all models share: the loss."""

    def forward(self, idx, targets=None):
        """idx (B, T) → logits (B, T, V), and the mean loss over the targets (B, T) that are not −1, in nats."""
        logits = self.predict(idx)
        if targets is None:
            return logits, None
        total = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-1, reduction="sum")
        return logits, total / (targets >= 0).sum().clamp(min=1)


def head(n_in, n_vocab):
    """The last layer. Its small weights make all characters about equally probable before training."""
    layer = nn.Linear(n_in, n_vocab)
    nn.init.normal_(layer.weight, std=0.02)
    nn.init.zeros_(layer.bias)
    return layer


class Bigram(Model):
    """A table: row i holds the logits of what follows character i (lecture 1)."""

    def __init__(self, s, n_vocab, n_places):
        super().__init__()
        self.table = nn.Embedding(n_vocab, n_vocab)
        nn.init.zeros_(self.table.weight)

    def predict(self, idx):
        return self.table(idx)


class MLP(Model):
    """Embeddings of the last block_size characters side by side, a tanh layer, logits (lecture 2).

    Bengio et al. 2003, "A Neural Probabilistic Language Model", JMLR 3.
    """

    def __init__(self, s, n_vocab, n_places):
        super().__init__()
        self.block_size = s.block_size or n_places
        self.embedding = nn.Embedding(n_vocab, s.n_embd)
        sizes = [self.block_size * s.n_embd] + [s.n_embd2] * s.n_layer
        self.hidden = nn.Sequential(*[part for a, b in zip(sizes, sizes[1:], strict=False)
                                      for part in (nn.Linear(a, b), nn.Tanh(), nn.Dropout(s.dropout))])
        self.head = head(sizes[-1], n_vocab)

    def predict(self, idx):
        windows = F.pad(idx, (self.block_size - 1, 0)).unfold(1, self.block_size, 1)   # (B, T, block_size)
        return self.head(self.hidden(self.embedding(windows).flatten(2)))


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
        self.head = head(s.n_embd, n_vocab)

    def predict(self, idx):
        place = torch.arange(idx.shape[1], device=idx.device)
        back = place[:, None] - place[None, :]                              # (T, T): how far column j lies behind row i
        seen = (back >= 0) & (back < self.block_size)
        weight = seen / seen.sum(1, keepdim=True)                           # a row of it takes a mean
        x = self.embedding(idx) + self.position(place)                      # (B, T, C)
        x = x + weight @ x              # the last character is known as it is; those before it only as a bag
        for layer in self.layers:
            x = x + layer(x)
        return self.head(self.norm(x))


class Recurrent(Model):
    """A state h that is carried along the word, and the logits read off it. torch's own modules compute, step by step,

    rnn   h = tanh(W x + U h′ + b)                                                  Elman 1990; Mikolov et al. 2010
    gru   r = σ(W_r x + U_r h′), z = σ(W_z x + U_z h′), n = tanh(W_n x + r ∘ U_n h′)
          h = (1 − z) ∘ n + z ∘ h′                                                  Cho et al. 2014
    lstm  i, f, o = σ(W x + U h′) each with weights of its own, g = tanh(W_g x + U_g h′)
          c = f ∘ c′ + i ∘ g,  h = o ∘ tanh(c)                                      Hochreiter, Schmidhuber 1997

    where x is the embedding of a character and ′ marks the values one step before. Biases are left out here.
    """

    def __init__(self, s, n_vocab, n_places):
        super().__init__()
        self.embedding = nn.Embedding(n_vocab, s.n_embd)
        module = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}[s.type]
        self.cells = module(s.n_embd, s.n_embd2, s.n_layer, batch_first=True,
                            dropout=s.dropout if s.n_layer > 1 else 0.0)
        self.dropout = nn.Dropout(s.dropout)
        self.head = head(s.n_embd2, n_vocab)

    def predict(self, idx):
        h, _ = self.cells(self.dropout(self.embedding(idx)))                # (B, T, n_embd2)
        return self.head(self.dropout(h))


class CNN(Model):
    """A stack of causal convolutions over pairs that lie 1, 2, 4, … characters apart (lecture 5).

    Each layer is gated, adds to a residual stream and to a sum of skips: van den Oord et al. 2016, "WaveNet". A
    convolution over pairs is a linear layer on two characters side by side, which is how it is written here.
    """

    def __init__(self, s, n_vocab, n_places):
        super().__init__()
        self.embedding = nn.Embedding(n_vocab, s.n_embd)
        cycle = [2**k for k in range(max(1, math.ceil(math.log2(s.block_size or n_places))))]
        self.dilations = [cycle[k % len(cycle)] for k in range(s.n_layer)]
        self.gated = nn.ModuleList(nn.Linear(2 * s.n_embd, 2 * s.n_embd) for _ in self.dilations)
        self.mixed = nn.ModuleList(nn.Linear(s.n_embd, 2 * s.n_embd) for _ in self.dilations)
        self.dropout = nn.Dropout(s.dropout)
        self.last = nn.Linear(s.n_embd, s.n_embd2)
        self.head = head(s.n_embd2, n_vocab)

    def predict(self, idx):
        x, skips = self.embedding(idx), 0                                   # (B, T, C)
        for d, gated, mixed in zip(self.dilations, self.gated, self.mixed, strict=True):
            earlier = F.pad(x, (0, 0, d, 0))[:, :x.shape[1]]                # d characters before: nothing from after
            filtered, gate = gated(torch.cat([earlier, x], 2)).chunk(2, 2)
            residual, skip = mixed(self.dropout(filtered.tanh() * gate.sigmoid())).chunk(2, 2)
            x, skips = x + residual, skips + skip
        return self.head(self.dropout(F.relu(self.last(F.relu(skips / math.sqrt(len(self.dilations)))))))


class Block(nn.Module):
    """One layer of a transformer: attention, which lets characters look at those before them, and an MLP."""

    def __init__(self, s):
        super().__init__()
        self.n_head, self.dropout = s.n_head, s.dropout
        self.norm1, self.norm2 = nn.LayerNorm(s.n_embd), nn.LayerNorm(s.n_embd)
        self.qkv = nn.Linear(s.n_embd, 3 * s.n_embd)
        self.project = nn.Linear(s.n_embd, s.n_embd)
        self.mlp = nn.Sequential(nn.Linear(s.n_embd, 4 * s.n_embd), nn.GELU(approximate="tanh"),
                                 nn.Linear(4 * s.n_embd, s.n_embd), nn.Dropout(s.dropout))

    def forward(self, x):
        B, T, C = x.shape
        # queries, keys, values, each (B, n_head, T, C / n_head)
        q, k, v = self.qkv(self.norm1(x)).view(B, T, 3, self.n_head, C // self.n_head).permute(2, 0, 3, 1, 4)
        # softmax(q kᵀ / √size) v: a mean of the values, weighted by how well each key answers the query
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, dropout_p=self.dropout if self.training else 0.0)
        x = x + F.dropout(self.project(y.transpose(1, 2).reshape(B, T, C)), self.dropout, self.training)
        return x + self.mlp(self.norm2(x))


class Transformer(Model):
    """Embeddings of characters and places, n_layer blocks of attention and MLP, logits.

    Vaswani et al. 2017, "Attention Is All You Need"; the norms stand in front, as in GPT-2.
    """

    def __init__(self, s, n_vocab, n_places):
        super().__init__()
        self.block_size = s.block_size or n_places
        self.embedding = nn.Embedding(n_vocab, s.n_embd)
        self.position = nn.Embedding(n_places, s.n_embd)
        self.blocks = nn.ModuleList(Block(s) for _ in range(s.n_layer))
        self.norm = nn.LayerNorm(s.n_embd)
        self.dropout = nn.Dropout(s.dropout)
        self.head = head(s.n_embd, n_vocab)

    def predict(self, idx):
        if self.block_size < idx.shape[1]:      # only the last block_size characters may be seen: windows of so many
            windows = idx.unfold(1, self.block_size, 1)                     # (B, T − block_size + 1, block_size)
            logits = self.predict(windows.flatten(0, 1)).unflatten(0, windows.shape[:2])
            return torch.cat([logits[:, 0], logits[:, 1:, -1]], 1)          # all of the first, the last of the others
        x = self.dropout(self.embedding(idx) + self.position(torch.arange(idx.shape[1], device=idx.device)))
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def build_model(s, n_vocab, n_places):
    """A fresh model. n_vocab: characters and the end. n_places: how long an input may be (bow, transformer)."""
    models = {"bigram": Bigram, "mlp": MLP, "bow": BagOfWords, "rnn": Recurrent, "gru": Recurrent, "lstm": Recurrent,
              "cnn": CNN, "transformer": Transformer}
    return models[s.type](s, n_vocab, n_places)


# ----------------------------------------------------------------------------------------------------------------------
# 3. The data


class Words:
    """Words as one tensor: x (N, L + 1), 0 in front of each word; y (N, L + 1), the targets, −1 where it has ended."""

    def __init__(self, words, stoi):
        self.lengths = torch.tensor([len(word) for word in words])
        width = max(map(len, words)) + 1
        self.x = torch.zeros((len(words), width), dtype=torch.int64)
        inside = torch.arange(width - 1) < self.lengths[:, None]
        self.x[:, 1:][inside] = torch.tensor([stoi[ch] for word in words for ch in word], dtype=torch.int64)
        self.y = torch.cat([self.x[:, 1:], torch.zeros((len(words), 1), dtype=torch.int64)], 1)
        self.y[torch.arange(width) > self.lengths[:, None]] = -1

    def __len__(self):
        return len(self.lengths)

    def batch(self, which, device):
        """x and y of the words `which`, cut to the longest of them."""
        width = int(self.lengths[which].max()) + 1
        return self.x[which, :width].to(device), self.y[which, :width].to(device)

    def batches(self, batch_size, seed):
        """One epoch: a list of index tensors that hold each word once, words of like length together.

        The shuffled words are sorted by length within pools of four batches, and the batches are shuffled again.
        """
        g = torch.Generator().manual_seed(seed)
        batches = []
        for pool in torch.randperm(len(self), generator=g).split(4 * batch_size):
            batches += pool[self.lengths[pool].argsort(stable=True)].split(batch_size)
        return [batches[i] for i in torch.randperm(len(batches), generator=g)]

    def training_batch(self, step, batch_size, seed):
        """The batch of a step: a pure function of the step, so that a run can be taken up anywhere."""
        epoch, place = divmod(step, math.ceil(len(self) / batch_size))
        if getattr(self, "_epoch", None) != (epoch, batch_size, seed):
            self._epoch, self._batches = (epoch, batch_size, seed), self.batches(batch_size, seed + 1_000_003 * epoch)
        return self._batches[place]


def split(words, how):
    """(train, val, test) by the name of the split; val and test are empty for "all"."""
    if how == "all":
        return list(words), [], []
    if how == "lecture":
        try:
            return split_words(words)
        except ValueError:
            raise Problem(f"{len(words)} words are too few to split 80/10/10. Take at least 10, "
                          f"or --split all to train on every one.") from None
    # Karpathy's permutation: the last 1,000 words (or a tenth) are test. He has no val; here it is taken from train
    n = min(1000, len(words) // 10)
    if n == 0 or len(words) < 3 * n:
        raise Problem(f"{len(words)} words are too few for --split makemore. Take at least 10, or --split all.")
    order = torch.randperm(len(words), generator=torch.Generator().manual_seed(3407)).tolist()
    shuffled = [words[i] for i in order]
    return shuffled[:-2 * n], shuffled[-2 * n:-n], shuffled[-n:]


# ----------------------------------------------------------------------------------------------------------------------
# 4. Sampling


@torch.no_grad()
def sample(model, n, longest, g, *, temperature=1.0, top_k=None, prefix=(), device="cpu"):
    """n words as lists of indices: all drawn at once, a character a round. No word gets longer than `longest`.

    prefix: indices that each word begins with. top_k: draw from the k most probable characters only. g: the generator.
    """
    model.eval()
    idx = torch.tensor([[0, *prefix]], device=device).repeat(n, 1)          # (n, T)
    ended = torch.zeros(n, dtype=torch.bool, device=device)
    while idx.shape[1] <= longest and not ended.all():
        logits = model(idx)[0][:, -1] / max(temperature, 1e-30)             # (n, V)
        if top_k is not None:
            logits[logits < logits.topk(min(top_k, logits.shape[1])).values[:, -1:]] = -math.inf
        drawn = torch.multinomial(logits.softmax(1).cpu(), 1, generator=g).to(device)
        drawn[ended] = 0
        ended |= drawn[:, 0] == 0
        idx = torch.cat([idx, drawn], 1)
    rows = idx[:, 1:].tolist()
    # what follows the first end is padding; the prefix may not hold an end
    return [row[:row.index(0)] if 0 in row else row for row in rows]


@torch.no_grad()
def most_likely(model, n, longest, *, prefix=(), device="cpu"):
    """The n most probable words and their probabilities given the prefix, by beam search: a list of (indices, p).

    Keeps the most probable beginnings of each length, far more of them than words are wanted, and stops when no
    beginning that is left is more probable than the n words found.
    """
    model.eval()
    beams, log_p, found = [list(prefix)], torch.zeros(1), []
    while beams and len(beams[0]) <= longest:
        found = sorted(found, key=lambda pair: -pair[1])[:n]
        if len(found) == n and log_p.max() <= found[-1][1]:
            break
        logits = model(torch.tensor([[0, *beam] for beam in beams], device=device))[0][:, -1]
        scores = log_p[:, None] + logits.log_softmax(1).cpu()               # (beams, V)
        found += [(beam, score) for beam, score in zip(beams, scores[:, 0].tolist(), strict=True)]
        if len(beams[0]) == longest:                                        # no longer words than the list has
            break
        best = scores[:, 1:].flatten().topk(min(max(200, 20 * n), scores[:, 1:].numel()))
        width = scores.shape[1] - 1
        beams = [beams[i // width] + [i % width + 1] for i in best.indices.tolist()]
        log_p = best.values
    found = sorted(found, key=lambda pair: -pair[1])[:n]
    return [(word, math.exp(score)) for word, score in found]


# ----------------------------------------------------------------------------------------------------------------------
# 5. Checkpoints

CHECKPOINT = "model.pt"


def write_whole(path, content):
    """Write bytes in one move: whoever reads the file, at any moment, finds the old one or the new one, whole."""
    part = path.with_suffix(".part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        kept = "The one before it is still there." if path.exists() else "Nothing was saved."
        raise Problem(f"{path} could not be written ({error.strerror}). {kept}") from None


def save(path, state):
    """Write a checkpoint."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_whole(path, buffer.getbuffer())


def load(path):
    """Read a checkpoint, or say what is wrong with it."""
    if not path.exists():
        raise Problem(f"there is no checkpoint {path}. Train first, without --resume and --sample-only, or give the "
                      f"work directory of an earlier run with -o.")
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip():                                           # torch does not look at the check sums
                raise zipfile.BadZipFile
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:                                              # of damaged pickles any kind may come
        raise Problem(f"the checkpoint {path} cannot be read: it is damaged, or no checkpoint of this program "
                      f"({type(error).__name__}).") from None
    parts = {"makemore", "settings", "chars", "longest", "list", "model", "best", "best_loss", "optimizer", "step",
             "random", "random_gpu"}
    if not isinstance(state, dict) or state.keys() != parts or state["makemore"] != 1 \
            or state["settings"].keys() != {f.name for f in fields(Settings)}:
        raise Problem(f"{path} is not a checkpoint of this program (or of another version of it).")
    return state


# ----------------------------------------------------------------------------------------------------------------------
# 6. Training


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
    was_training = model.training
    model.eval()
    total, n = 0.0, 0
    for which in words.lengths.argsort(stable=True).split(1024):
        x, y = words.batch(which, device)
        count = (y >= 0).sum().item()
        total, n = total + model(x, y)[1].item() * count, n + count
    model.train(was_training)
    return total / n


class Run:
    """A model in training, with all that a checkpoint holds."""

    def __init__(self, s, words, device, work_dir, state=None):
        self.s, self.device, self.work_dir = s, device, work_dir
        self.rank, self.world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
        self.chars = sorted(set("".join(words)))
        self.stoi = {ch: i + 1 for i, ch in enumerate(self.chars)}          # 0 is the end, and no character
        self.list_hash = hashlib.sha256("\n".join(words).encode()).hexdigest()
        self.parts = dict(zip(("train", "val", "test"), split(words, s.split), strict=True))
        self.longest = max(map(len, words))
        self.data = {name: Words(part, self.stoi) for name, part in self.parts.items() if part}
        torch.manual_seed(s.seed)
        self.model = build_model(s, len(self.chars) + 1, self.longest + 1).to(device)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=s.learning_rate, weight_decay=s.weight_decay,
                                           betas=(0.9, 0.99), fused=torch.device(device).type in ("cpu", "cuda"))
        train = self.data["train"]
        self.characters = (train.lengths + 1).double().mean().item() * min(s.batch_size, len(train))
        self.step, self.best, self.best_loss = 0, None, math.inf
        if state is not None:
            if state["list"] != self.list_hash:
                raise Problem("the list of words is not the one that this run was started with. Give the same one "
                              "with -i, or start anew in another work directory.")
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            for group in self.optimizer.param_groups:
                group["weight_decay"] = s.weight_decay                      # it may be given anew
            self.step, self.best, self.best_loss = state["step"], state["best"], state["best_loss"]
            torch.set_rng_state(state["random"])
            if state["random_gpu"] is not None and torch.cuda.is_available():
                torch.cuda.set_rng_state(state["random_gpu"])
        if self.world > 1:
            torch.manual_seed(s.seed + 7919 * self.rank + self.step)         # each process drops other units
        self.parallel = nn.parallel.DistributedDataParallel(self.model) if self.world > 1 else self.model

    def n_parameters(self):
        return sum(p.numel() for p in self.model.parameters())

    def weights(self):
        """The weights as they are now, copied to the CPU."""
        return {name: p.detach().cpu().clone() for name, p in self.model.state_dict().items()}

    def look(self, remember):
        """The loss on val, or on train if there is no val. remember: these weights, if they are the best so far."""
        loss = evaluate(self.model, self.data.get("val", self.data["train"]), self.device)
        if remember and (loss < self.best_loss or "val" not in self.data):  # without val the last weights are the best
            self.best, self.best_loss = self.weights(), loss
        return loss

    def save(self):
        if self.rank == 0:
            gpu = torch.cuda.get_rng_state() if torch.device(self.device).type == "cuda" else None
            save(self.work_dir / CHECKPOINT, {
                "makemore": 1, "settings": asdict(self.s), "chars": self.chars, "longest": self.longest,
                "list": self.list_hash, "model": self.weights(), "best": self.best, "best_loss": self.best_loss,
                "optimizer": self.optimizer.state_dict(), "step": self.step, "random": torch.get_rng_state(),
                "random_gpu": gpu})

    def train_step(self):
        """One update on the words of this step, shared out among the processes. Returns (summed loss, characters)."""
        which = self.data["train"].training_batch(self.step, self.s.batch_size, self.s.seed)
        mine = which[self.rank::self.world]
        x, y = self.data["train"].batch(mine if len(mine) else which[:1], self.device)
        if not len(mine):
            y = torch.full_like(y, -1)                                      # nothing left for this process: a zero
        total, n = self.parallel(x, y)[1] * (y >= 0).sum(), (y >= 0).sum()
        self.optimizer.zero_grad(set_to_none=True)
        # divided by what a batch has on average, so that every character weighs the same, in short words and long ones;
        # times the number of processes, since DDP takes the mean over them
        (total * self.world / self.characters).backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate_at(self.step, self.s)
        self.optimizer.step()
        self.step += 1
        return torch.stack([total.detach(), n])

    def train(self):
        """Steps until max_steps or Ctrl-C. Returns whether it was interrupted."""
        s, log = self.s, Log(self.work_dir, self.step) if self.rank == 0 else None
        every = s.eval_every or (max(1, s.max_steps // 10) if s.max_steps > 0 else 500)
        end = s.max_steps if s.max_steps >= 0 else None
        interrupted, since, start = False, [], time.monotonic()

        def on_interrupt(signum, frame):
            nonlocal interrupted
            interrupted = True

        previous = signal.signal(signal.SIGINT, on_interrupt)
        bar = tqdm(total=end, initial=self.step, unit=" steps", dynamic_ncols=True, disable=True if self.rank else None)
        self.model.train()
        try:
            while (end is None or self.step < end) and not self.agree(interrupted):
                since.append(self.train_step())
                bar.update()
                if self.step % 20 == 0:
                    total, n = torch.stack(since[-20:]).sum(0).tolist()
                    bar.set_postfix_str(f"loss {total / n:.4f}", refresh=False)
                if self.step % every == 0 and self.step != end:
                    self.report(since, log, start)
                    since = []
            # an interrupt must not change what is best: a run that is taken up again ends like one never stopped
            self.report(since, log, start, remember=self.step == end or end is None)
        finally:
            bar.close()
            signal.signal(signal.SIGINT, previous)
        return interrupted

    def agree(self, flag):
        """Whether any process was interrupted: all of them have to leave the loop at the same step."""
        if self.world == 1:
            return flag
        flag = torch.tensor(float(flag), device=self.device)
        dist.all_reduce(flag, dist.ReduceOp.MAX)
        return flag.item() > 0

    def report(self, since, log, start, remember=True):
        """Look at val, save, and let the first process tell."""
        sums = torch.stack(since).sum(0) if since else torch.zeros(2, device=self.device)
        if self.world > 1:
            dist.all_reduce(sums)
        mean = (sums[0] / sums[1]).item()                                   # nan if there was no step
        loss = self.look(remember)
        if not math.isfinite(loss):
            raise Problem(f"the loss is {loss} at step {self.step}: training has diverged. Take a smaller "
                          f"--learning-rate. Nothing of this was saved.")
        if self.rank == 0 and since:    # the row first: if it is killed in between, resuming takes the row out again
            log.write(self.step, mean, loss, learning_rate_at(self.step - 1, self.s))
        if self.rank == 0:
            self.save()
        if self.rank == 0 and since:
            tqdm.write(f"step {self.step}: loss {mean:.4f}, {'val' if 'val' in self.data else 'train'} {loss:.4f}, "
                       f"{time.monotonic() - start:.1f} s")
            g = torch.Generator().manual_seed(self.s.seed + self.step)
            for word in sample(self.model, 5, self.longest, g, device=self.device):
                tqdm.write(f"  {self.mark(self.decode(word))}")
        self.model.train()

    def decode(self, word):
        return "".join(self.chars[i - 1] for i in word)

    def mark(self, word):
        """The word, and whether it is in train, in val or test, or new."""
        if not hasattr(self, "known"):
            self.known = {name: set(part) for name, part in self.parts.items()}
        where = "in train" if word in self.known["train"] else \
            "in val or test" if word in self.known["val"] | self.known["test"] else "new"
        return f"{word:{max(16, self.longest)}}  {where}"


class Log:
    """log.csv in the work directory, a row a look; to TensorBoard too, if it is installed."""

    def __init__(self, work_dir, step):
        self.path = work_dir / "log.csv"
        rows = []
        if step and self.path.exists():                                     # a run goes on: what came later is redone
            rows = [line for line in self.path.read_text(errors="replace").splitlines()[1:]
                    if line.split(",")[0].isdecimal() and int(line.split(",")[0]) <= step]
        write_whole(self.path, "\n".join(["step,batch_loss,val_loss,learning_rate", *rows, ""]).encode())
        try:
            from torch.utils.tensorboard import SummaryWriter
            self.board = SummaryWriter(str(work_dir))
        except ImportError:
            self.board = None

    def write(self, step, batch_loss, val_loss, learning_rate):
        try:
            with self.path.open("a") as file:
                file.write(f"{step},{batch_loss:.5f},{val_loss:.5f},{learning_rate:.3g}\n")
        except OSError as error:
            raise Problem(f"{self.path} could not be written ({error.strerror}). What was saved before is "
                          "still there.") from None
        if self.board is not None:
            self.board.add_scalar("loss/batch", batch_loss, step)
            self.board.add_scalar("loss/val", val_loss, step)
            self.board.flush()


# ----------------------------------------------------------------------------------------------------------------------
# 7. The command line


class Parser(argparse.ArgumentParser):
    def error(self, message):
        raise Problem(message)


def number(kind, low, *, above=False, also=None):
    """An argparse type: an int or a float that is at least `low` (or above it), or `also`."""
    def parse(text):
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        bound = (f"above {low}" if above else f"{low} or more") + " and below 2**31"
        extra = "" if also is None else f", or {also}"
        if value == also:
            return value
        if not low <= value < 2**31 or (above and value == low):            # nan is neither
            raise argparse.ArgumentTypeError(f"{text[:40]!r} must be {'a whole' if kind is int else 'a'} number, "
                                             f"{bound}{extra}")
        return value
    return parse


def parse(argv):
    natural, positive = number(int, 1), number(float, 0, above=True)
    parser = Parser(prog="makemore.py", description="Makes more of the words in a list.", allow_abbrev=False,
                    epilog="What is not given comes from the recipe of the type: the table at the head of this file.")
    files = parser.add_argument_group("files")
    files.add_argument("-i", "--input-file", help="text with one word a line (left out: the lecture's list of names)")
    files.add_argument("-o", "--work-dir", default="out", help="folder for the checkpoint and the log (out)")
    files.add_argument("--resume", action="store_true", help="go on with the run in the work directory")
    files.add_argument("--sample-only", action="store_true", help="only sample, from the best weights there")
    files.add_argument("--split", choices=["lecture", "makemore", "all"], help="80/10/10 as in the notebooks "
                       "(default); Karpathy's last 1,000 for test; all words for training")
    model = parser.add_argument_group("model")
    model.add_argument("--type", choices=list(RECIPES), help="the kind of model (transformer)")
    model.add_argument("--n-layer", type=natural, help="layers")
    model.add_argument("--n-head", type=natural, help="heads of attention (transformer)")
    model.add_argument("--n-embd", type=natural, help="channels of an embedding, width of a transformer or cnn")
    model.add_argument("--n-embd2", "--n-hidden", dest="n_embd2", type=natural, help="units of the hidden layers")
    model.add_argument("--block-size", type=natural, help="characters of context (mlp, bow, "
                       "transformer); of a cnn: its dilations stay below it")
    model.add_argument("--dropout", type=number(float, 0), help="share of units left out in training")
    train = parser.add_argument_group("training")
    train.add_argument("--max-steps", type=number(int, 0, also=-1), help="steps; -1: until Ctrl-C")
    train.add_argument("-b", "--batch-size", type=natural, help="words in a step")
    train.add_argument("-l", "--learning-rate", type=positive, help="the highest learning rate")
    train.add_argument("-w", "--weight-decay", type=number(float, 0), help="weight decay of AdamW")
    train.add_argument("--eval-every", type=natural, help="steps between two looks at val (a tenth of the run)")
    train.add_argument("--seed", type=number(int, 0), help="seed of weights, batches and samples (3407)")
    train.add_argument("--device", help="cpu, cuda, cuda:1, mps, … (a GPU if there is one, else the CPU)")
    train.add_argument("-n", "--num-workers", type=number(int, 0), help="accepted; none are needed")
    drawing = parser.add_argument_group("sampling")
    drawing.add_argument("--num-samples", type=number(int, 0), default=20, help="words to make (20)")
    drawing.add_argument("--temperature", type=positive, default=1.0, help="below 1: safer, above 1: wilder (1.0)")
    drawing.add_argument("--top-k", type=number(int, 1, also=-1), default=-1, help="draw from the k most probable "
                         "characters; -1: from all")
    drawing.add_argument("--prefix", default="", help="what each word begins with")
    drawing.add_argument("--most-likely", type=natural, metavar="N", help="and the N most probable words")
    args = parser.parse_args(argv)
    args.prefix = unicodedata.normalize("NFC", args.prefix)                 # as the words of the list
    if args.dropout is not None and args.dropout >= 1:
        raise Problem(f"argument --dropout: {args.dropout} must be below 1")
    if args.resume and args.sample_only:
        raise Problem("--resume goes on training and --sample-only does not train: give one of them")
    return args


def settings_from(args, state):
    """The settings of this run: flags win, then the checkpoint if there is one, then the type's recipe."""
    given = {f.name: getattr(args, f.name) for f in fields(Settings) if getattr(args, f.name, None) is not None}
    if state is not None:
        saved = Settings(**state["settings"])
        for name in (*SIZES, "split", "seed"):
            if name in given and given[name] != getattr(saved, name):
                raise Problem(f"--{name.replace('_', '-')} {given[name]} contradicts the run in {args.work_dir}, which "
                              f"has {getattr(saved, name)}. Leave it out, or start anew in another work directory.")
        return replace(saved, **given)
    kind = given.get("type", Settings.type)
    s = replace(Settings(type=kind, **dict(zip(NAMES, RECIPES[kind], strict=True))), **given)
    if s.type == "transformer" and s.n_embd % s.n_head:
        raise Problem(f"--n-embd {s.n_embd} cannot be shared out among --n-head {s.n_head} heads: "
                      f"take a multiple, such as {s.n_head * math.ceil(s.n_embd / s.n_head)}.")
    return s


def pick_device(name):
    """The device to compute on, tried once."""
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "cpu"
        if name == "cuda" and dist.is_initialized():
            name = f"cuda:{os.environ.get('LOCAL_RANK', 0)}"
    try:
        torch.zeros(1, device=name).add_(1).item()
        if torch.device(name).type == "cuda":
            torch.cuda.set_device(name)
    except Exception as error:
        raise Problem(f"--device {name} is not there or does not work ({str(error).splitlines()[0][:80]}). "
                      f"Leave it out, or take cpu.") from None
    return name


def read_words(path):
    try:
        return load_words(path)
    except (ValueError, OSError) as error:
        raise Problem(str(error)) from None


def write_samples(args, model, chars, longest, device, seed, mark=str):
    """The block `Sampling:`, and the most probable words if they are asked for."""
    prefix = [chars.index(ch) + 1 for ch in args.prefix]
    g = torch.Generator().manual_seed(seed)
    print("Sampling:")
    top_k = None if args.top_k == -1 else args.top_k
    for start in range(0, args.num_samples, 2048):                          # in portions, so that memory is no limit
        n = min(2048, args.num_samples - start)
        for word in sample(model, n, longest, g, temperature=args.temperature, top_k=top_k, prefix=prefix,
                           device=device):
            print(f"  {mark(''.join(chars[i - 1] for i in word))}")
    if args.most_likely:
        print("Most probable words" + (f" that begin with {args.prefix!r}:" if args.prefix else ":"))
        for word, p in most_likely(model, args.most_likely, longest, prefix=prefix, device=device):
            print(f"  {p:9.6f}  {mark(''.join(chars[i - 1] for i in word))}")


def check_prefix(prefix, chars, longest):
    unknown = [ch for ch in prefix if ch not in chars]
    if unknown:
        raise Problem(f"--prefix {prefix!r}: {unknown[0]!r} is not in the alphabet of this list: {''.join(chars)}")
    if len(prefix) > longest:
        raise Problem(f"--prefix {prefix!r} is longer than the longest word of the list, {longest} characters.")


def sample_only(args, state):
    """Words from a checkpoint alone: neither the list nor the flags of its run are needed."""
    s = settings_from(args, state)
    check_prefix(args.prefix, state["chars"], state["longest"])
    device = pick_device(args.device)
    model = build_model(s, len(state["chars"]) + 1, state["longest"] + 1).to(device)
    model.load_state_dict(state["best"] or state["model"])
    write_samples(args, model, state["chars"], state["longest"], device, s.seed if args.seed is None else args.seed)


def run(argv):
    args = parse(argv)
    work_dir = Path(args.work_dir)
    state = load(work_dir / CHECKPOINT) if args.resume or args.sample_only else None
    if args.sample_only:
        if args.seed is not None:
            state["settings"]["seed"] = args.seed                           # of the samples, here
        return sample_only(args, state)

    if int(os.environ.get("WORLD_SIZE", 1)) > 1:                            # started by torchrun
        gpu = args.device.startswith("cuda") if args.device else torch.cuda.is_available()
        dist.init_process_group("nccl" if gpu else "gloo")
    first = not dist.is_initialized() or dist.get_rank() == 0
    s = settings_from(args, state)
    device = pick_device(args.device)
    words = read_words(args.input_file)
    try:
        work_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Problem(f"--work-dir {work_dir} cannot be made ({error.strerror}).") from None
    training = Run(s, words, device, work_dir, state)
    check_prefix(args.prefix, training.chars, training.longest)

    if first:
        if args.num_workers:
            print("note: --num-workers is not needed here, since all data are in memory as one tensor")
        print("settings: " + ", ".join(f"{name} {value}" for name, value in asdict(s).items()) + f", device {device}")
        print(f"data: {len(words):,} words, {len(training.chars)} characters "
              f"{''.join(training.chars[:80])!r}, the longest word has {training.longest}; "
              + ", ".join(f"{name} {len(part):,}" for name, part in training.parts.items() if part))
        print(f"model: {training.n_parameters():,} parameters" + (f", {training.world} processes"
                                                                   if training.world > 1 else ""))
        if state is not None:
            print(f"resumed at step {training.step}")
    interrupted = training.train()
    if not first:
        return None
    if interrupted:
        again = ["--resume", "-o", str(work_dir)] + (["-i", args.input_file] if args.input_file else [])
        print(f"interrupted at step {training.step}; saved in {work_dir}: go on with {shlex.join(again)}")
    training.model.load_state_dict(training.best or training.weights())
    for name, data in training.data.items():
        loss = evaluate(training.model, data, device)
        print(f"{name} split: {loss:.4f}, perplexity {math.exp(min(loss, 700)):.3f}")
    write_samples(args, training.model, training.chars, training.longest, device, s.seed, training.mark)


def main(argv=None):
    try:
        run(argv)
        print(end="", flush=True)
    except BrokenPipeError:                                                 # its reader has enough: … | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())      # Python closes stdout once more at exit
    except (Problem, OSError) as problem:
        if os.environ.get("RANK", "0") == "0":                              # of several processes one tells
            print(f"makemore: {problem}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
    return 0


if __name__ == "__main__":
    sys.exit(main())
