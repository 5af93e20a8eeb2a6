"""A word list → words, vocabulary, splits, tensors.

The lecture's list is `names.txt` of Andrej Karpathy's makemore repository. It is fetched once, checked, and kept in
`data/`. Any other UTF-8 text with one word a line works too.
"""

import builtins
import contextlib
import difflib
import hashlib
import json
import math
import os
import random
import re
import tempfile
import threading
import time
import unicodedata
import warnings
from pathlib import Path

import torch

DATA = Path(__file__).resolve().parent.parent / "data"
URL = "https://raw.githubusercontent.com/karpathy/makemore/master/names.txt"
SHA256 = "0a30b5557f192f32ab962680889aac5f6fda0f4cecf40a6d0b5694f58ea8cc4d"
SECONDS = 10.0  # a download that has not ended by then is given up

LINE_ENDS = re.compile("\r\n|[\r\v\f\x85\u2028\u2029]")
NO_CHARACTER = re.compile("[\0-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ufffd-\uffff]")
# Seen by nobody, and no letter: byte order marks, zero-width spaces, direction marks, soft hyphens, fillers, tags.
INVISIBLE = re.compile("[\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f"
                       "\u2800\u3164\ufeff\uffa0\ufff0-\ufffb\U000e0000-\U000e007f]")
# Joiners and variation selectors: they change how Persian, Malayalam or Mongolian letters look. And what stands before.
JOINERS = re.compile("([^\n{0}]?)([{0}]+)".format("\u180b-\u180f\u200c\u200d\ufe00-\ufe0f\U000e0100-\U000e01ef"))


# ----- words ----------------------------------------------------------------------------------------------------------

def load_words(path=None, *, dedup=False):
    """Return the words of a text file, one word a line, as a list of str in the file's order.

    Without a path: the lecture's 32,033 names, from `data/names.txt` if that is there (its SHA-256 is checked), else
    downloaded to it; else, with one warning that says why, the stand-in `data/sampled_names.txt`.

    Byte order marks, CRLF, blank lines, white space around a word and characters that nobody sees are cleaned away;
    white space inside a word becomes a space. Every word is NFC-normalised, so that "é" is one character however it
    was typed. Joiners (U+200C, U+200D) stay in the scripts that need them.

    path:  str or Path of a UTF-8 text, in any alphabet.
    dedup: keep only the first of words that are equal.

    Raises FileNotFoundError if there is no such file (or no list at all), and ValueError if the file holds no word,
    is not UTF-8 or holds a control character (with the line), or is a damaged copy of the lecture's list; in a
    notebook also for a word with a '.', which marks start and end in all five of them (makemore.py can do with dots).
    """
    words = _lecture_words() if path is None else _parse(_read(path), str(path))
    if hasattr(builtins, "__IPYTHON__"):
        _refuse_dots(words)
    return list(dict.fromkeys(words)) if dedup else words


def is_lecture_list(words):
    """True if `words` are the lecture's 32,033 names in their order, told by the list's SHA-256."""
    return hashlib.sha256("\n".join(words).encode()).hexdigest() == SHA256


def bench_results():
    """What `make bench` measured: benchmarks/results.json as a dict, from wherever a notebook is run."""
    return json.loads((DATA.parent / "benchmarks" / "results.json").read_text(encoding="utf-8"))


def fetch():
    """Put the lecture's list at `data/names.txt` unless it is there. Return None, or why that failed (str)."""
    return None if (DATA / "names.txt").exists() else _download()[1]


def _lecture_words():
    """The lecture's list from data/names.txt, else downloaded, else the stand-in."""
    kept, stand_in = DATA / "names.txt", DATA / "sampled_names.txt"
    if kept.exists():
        content = _read(kept)
        found = hashlib.sha256(content).hexdigest()
        if found != SHA256:
            raise ValueError(
                f"data/names.txt is not the lecture's list: it has {len(content):,} bytes and SHA-256 {found[:12]}…, "
                f"the list has 228,145 bytes and {SHA256[:12]}…. Perhaps it was edited, or a download broke off. "
                f"Delete it and it will be fetched again; if it is a list of your own, rename it and pass its path.")
        return _parse(content, "data/names.txt")

    if os.environ.get("MMUTILS_TEST"):
        content, why = None, "tests and `make notebooks` try the download once, at their start"
    else:
        content, why = _download()
    if content is not None:
        return _parse(content, "data/names.txt")

    by_hand = (f"To have the lecture's list, open {URL} in a browser, save the page as names.txt, and put it in the "
               f"folder data of this project.")
    if not stand_in.exists():
        raise FileNotFoundError(f"The lecture's list is not in data/names.txt and was not downloaded ({why}). "
                                f"{by_hand}")
    warnings.warn_explicit(  # told where from by name: warn() would print the path of a temporary file
        f"The lecture's list is not in data/names.txt and was not downloaded ({why}). Words from the stand-in "
        f"data/sampled_names.txt are used instead, so losses differ from the lecture's by up to about 0.04. {by_hand}",
        UserWarning, "mmutils", 0)
    return _parse(_read(stand_in), "data/sampled_names.txt")


def _download():
    """Fetch the list into data/names.txt. Return (its bytes, None), or (None, why not).

    pooch fetches in a thread of its own and into a temporary folder: a name server that hangs, a server that drips
    a byte a second or a connection that breaks off can then neither hold us up nor leave half a file in data/.
    """
    import pooch
    import requests

    pooch.get_logger().setLevel("ERROR")  # pooch would print this machine's paths
    deadline, outcome = time.monotonic() + SECONDS, {}

    try:
        temporary = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
    except OSError as error:
        return None, f"there is no folder for temporary files: {error.strerror}"

    with temporary as folder:
        def retrieve():
            try:
                file = pooch.retrieve(URL, f"sha256:{SHA256}", fname="names.txt", path=folder,
                                      downloader=_until(deadline))
                outcome["content"] = Path(file).read_bytes()
            except Exception as error:
                outcome["error"] = error

        thread = threading.Thread(target=retrieve, daemon=True)
        thread.start()
        thread.join(max(0.0, deadline - time.monotonic()))

    if "content" in outcome:
        _store(outcome["content"])
        return outcome["content"], None

    host, error = URL.split("/")[2], outcome.get("error")
    match error:
        case None | requests.exceptions.Timeout() | TimeoutError():
            why = f"no whole answer from {host} within {SECONDS:.0f} seconds"
        case requests.exceptions.HTTPError():
            why = f"{host} answered {error.response.status_code} {error.response.reason}"
        case requests.exceptions.ChunkedEncodingError():
            why = f"{host} broke off in the middle"
        case requests.exceptions.ConnectionError():
            why = f"no connection to {host}"
        case ValueError() if "hash" in str(error):
            why = f"what {host} sent is not the list: its SHA-256 differs"
        case _:
            why = f"{type(error).__name__} while asking {host}"
    return None, why


def _until(deadline):
    """A pooch downloader that stops at `deadline` (time.monotonic seconds), however slowly the bytes come."""
    def download(url, file, _):
        import requests
        left = max(0.1, deadline - time.monotonic())
        with requests.get(url, stream=True, timeout=left) as answer:
            answer.raise_for_status()
            with Path(file).open("wb") as out:
                for chunk in answer.iter_content(256):
                    if time.monotonic() > deadline:
                        raise TimeoutError
                    out.write(chunk)
    return download


def _store(content):
    """Write the list to data/names.txt in one move, so that nobody ever reads half of it."""
    part = DATA / f".names.{os.getpid()}.part"
    try:
        DATA.mkdir(exist_ok=True)
        part.write_bytes(content)
        part.replace(DATA / "names.txt")
    except OSError as error:
        with contextlib.suppress(OSError):  # a disk that may not be written refuses even where there is nothing
            part.unlink()
        warnings.warn_explicit(f"The list was fetched, but could not be kept in data/names.txt ({error.strerror}): "
                               f"it will be fetched again next time.", UserWarning, "mmutils", 0)


def _read(path):
    """The bytes of a file, or an error that says what to do."""
    path = Path(path)
    try:
        return path.read_bytes()
    except FileNotFoundError:
        message = f"There is no file {str(path)!r} in {str(Path.cwd())!r}." if not path.is_absolute() \
            else f"There is no file {str(path)!r}."
        near = []
        with contextlib.suppress(OSError):
            near = difflib.get_close_matches(path.name, [other.name for other in path.parent.iterdir()], n=1)
        hint = f" Did you mean {str(path.parent / near[0])!r}?" if near else " Check the path."
        raise FileNotFoundError(f"{message}{hint} Without a path you get the lecture's list.") from None
    except IsADirectoryError:
        raise FileNotFoundError(f"{str(path)!r} is a folder. Pass the path of a text file, one word a line.") from None


def _parse(content, name):
    """Bytes → words: decoded, cleaned, NFC-normalised."""
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise ValueError(f"{name} is not UTF-8 but UTF-16 (line 1 begins with its byte order mark). "
                         f"Save it again with the encoding UTF-8.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = error.object[:error.start]
        line = before.count(b"\n") + before.replace(b"\r\n", b"\n").count(b"\r") + 1
        raise ValueError(f"{name} is not UTF-8: line {line} has the byte 0x{error.object[error.start]:02x}, which no "
                         f"UTF-8 text can have there. Save the file again with the encoding UTF-8.") from None
    text = LINE_ENDS.sub("\n", text)
    if found := NO_CHARACTER.search(text):
        line, ch = text.count("\n", 0, found.start()) + 1, found[0]
        what = "stands for a character that was lost" if ch == "\ufffd" else "no text should hold"
        hint = ": perhaps it is UTF-16. Save it again with the encoding UTF-8." if ch == "\0" else ". Take it out."
        raise ValueError(f"{name} has U+{ord(ch):04X} in line {line}, which {what}{hint}")
    text = JOINERS.sub(_needed, INVISIBLE.sub("", text))
    text = re.sub(r"[^\S\n]", " ", unicodedata.normalize("NFC", text))
    words = [word for line in text.split("\n") if (word := line.strip(" \u200c"))]
    if not words:
        raise ValueError(f"{name} holds no words: it is empty or has only blank lines. "
                         f"Write one word on each line.")
    return words


def _needed(found):
    """Joiners as they are if the script of the character before them has a use for them; else that character alone."""
    before = found[1]
    script = unicodedata.name(before, "").split(" ")[0] if before > "\x7f" else "ASCII"
    return before if script in ("ASCII", "LATIN", "GREEK", "CYRILLIC", "HEBREW") else found[0]


# ----- vocabulary and splits ------------------------------------------------------------------------------------------

def build_vocabulary(words):
    """Return (stoi, itos): character → index and back, as two dicts.

    The characters of `words`, sorted, stand at 1, 2, …; '.' stands at 0 and marks where a word starts and ends
    (lecture 1, 20:54). Raises ValueError if there are no words, or if one of them has a '.' of its own.
    """
    _check_words(words)
    _refuse_dots(words)
    chars = sorted(set("".join(words)))
    stoi = {".": 0} | {ch: i + 1 for i, ch in enumerate(chars)}
    return stoi, {i: ch for ch, i in stoi.items()}


def split_words(words, *, seed=42, fractions=(.8, .1, .1)):
    """Return (train, dev, test): three new lists that share out `words` after one shuffle.

    The same lists every time: `words` is left as it is, where the lecture (2, 53:20) shuffles it in place and gets
    another split whenever its cell is run again. On the lecture's list: 25,626 / 3,203 / 3,204 names.

    Raises ValueError if the fractions are not three numbers that sum to 1, or if a split would be empty.
    """
    _check_words(words)
    ok = len(fractions) == 3 and all(math.isfinite(f) and f >= 0 for f in fractions)
    if not ok or abs(sum(fractions) - 1) > 1e-9:
        raise ValueError(f"fractions={fractions!r} must be three numbers that sum to 1, for train, dev and test: "
                         f"(.8, .1, .1), for example.")
    shuffled = list(words)
    random.Random(seed).shuffle(shuffled)
    n1 = int(fractions[0] * len(words))
    n2 = int((fractions[0] + fractions[1]) * len(words))
    splits = shuffled[:n1], shuffled[n1:n2], shuffled[n2:]
    for name, part in zip(("train", "dev", "test"), splits, strict=True):
        if not part:
            raise ValueError(f"fractions={fractions!r} leave the {name} split of {len(words):,} words empty. "
                             f"Take more words, or a larger fraction.")
    return splits


# ----- tensors --------------------------------------------------------------------------------------------------------

def build_dataset(words, stoi, block_size):
    """Return (X, Y): every character of every word to predict, with the `block_size` characters before it.

    X is int64 (N, block_size), Y int64 (N,), where N counts each word's characters and its end. Contexts are filled
    up with '.' from the left. The rows stand in the order of the lecture's double loop (2, 9:03), and are made
    without one: all words lie in one long tensor, and the contexts are windows of it.

    Raises ValueError for block_size < 1, no words, or a character outside the vocabulary (with its word).
    """
    _check_words(words)
    if isinstance(block_size, bool) or not isinstance(block_size, int) or block_size < 1:
        raise ValueError(f"block_size={block_size!r} must be a whole number, 1 or more: "
                         f"it says how many characters the model sees.")
    if "." not in stoi:
        raise ValueError("The vocabulary has no '.', which marks the start and the end of a word. "
                         "build_vocabulary(words) makes one that has.")
    text = "".join(words)
    unknown = set(text) - stoi.keys()
    if unknown:
        place, word = next((i, word) for i, word in enumerate(words) if unknown & set(word))
        ch = next(ch for ch in word if ch in unknown)
        raise ValueError(f"The character {ch!r} of {word!r} (word {place + 1} of {len(words):,}) is not in the "
                         f"vocabulary. Build the vocabulary from all the words that it has to cover.")
    if "." in text:
        _refuse_dots(words)

    # One long tensor: block_size dots, the first word, block_size dots, …, the last word, block_size dots. The first
    # dot after a word is its end; the block_size entries in front of any entry are its context.
    n_targets = torch.tensor([len(word) for word in words]) + 1
    word = torch.repeat_interleave(torch.arange(len(words)), n_targets)      # (N,) the word of each target
    place = torch.arange(len(word)) + block_size + word * (block_size - 1)   # (N,) where each target stands
    is_end = torch.zeros(len(word), dtype=torch.bool)
    is_end[n_targets.cumsum(0) - 1] = True
    line = torch.full((len(text) + block_size * (len(words) + 1),), stoi["."])
    line[place[~is_end]] = torch.tensor([stoi[ch] for ch in text], dtype=torch.int64)
    return line.unfold(0, block_size, 1)[place - block_size], line[place]


# ----- bad input ------------------------------------------------------------------------------------------------------

def _check_words(words):
    """Refuse what is not a list of words."""
    if isinstance(words, (str, bytes)):
        raise ValueError(f"words is one {type(words).__name__}, {words[:20]!r}; it must be a list of words: "
                         f"['emma', …].")
    if len(words) == 0:
        raise ValueError("words is empty. Pass a list with at least one word; load_words() gives the lecture's.")


def _refuse_dots(words):
    """Refuse words with a '.', which would read as an end in the middle of a word."""
    for i, word in enumerate(words):
        if "." in word:
            raise ValueError(f"The word {word!r} (word {i + 1} of {len(words):,}) has a '.', but '.' marks the start "
                             f"and the end of a word here. Take it out, or replace it by another character.")
