"""data.py: a word list becomes words, vocabulary, splits and tensors; bad input gets errors that help."""

import os
import random
import re
import subprocess
import sys
import unicodedata
import warnings
from pathlib import Path

import pytest
import torch

import mmutils.data
from mmutils import bench_results, build_dataset, build_vocabulary, is_lecture_list, load_words, split_words

FEW = ["emma", "olivia", "ava", "isabella", "sophia", "mia", "eve", "amelia", "zoe", "luna", "emma"]
ALPHABETS = {
    "greek": ["Άννα", "Γιώργος", "Ελένη", "Μαΐρη", "Ζωή"],
    "korean": ["김민준", "이서연", "박지우", "최하은"],
    "german": ["Jürgen", "Jörg", "Käthe", "Weiß", "Zoë"],
}


@pytest.fixture
def write(tmp_path):
    """Write a word file, and give its path."""
    def write(content):
        path = tmp_path / "my_words.txt"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path
    return write


def message_of(error, function, *args, **kwargs):
    with pytest.raises(error) as raised:
        function(*args, **kwargs)
    return str(raised.value)


# ----- reading --------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("content", [
    b"emma\nolivia\nava\n",
    b"emma\nolivia\nava",
    b"\xef\xbb\xbfemma\nolivia\nava\n",
    b"emma\r\nolivia\r\nava\r\n",
    b"emma\rolivia\rava\r",
    b"emma\r\nolivia\rava\n",
    b"\n\nemma\n  \n\nolivia\n\t\nava\n\n",
    b"  emma\nolivia  \n\tava \t\n",
    b"\xef\xbb\xbf\r\n emma \r\n\r\nolivia\t\r\nava",
    "\u00a0emma\u00a0\nolivia\u3000\nava".encode(),
], ids=["plain", "no last newline", "BOM", "CRLF", "lone CR", "mixed ends", "blank lines", "outer space", "all at once",
        "wide spaces"])
def test_a_file_is_cleaned(write, content):
    assert load_words(write(content)) == ["emma", "olivia", "ava"]


def test_white_space_inside_a_word_stays(write):
    assert load_words(write("new york\nlos angeles\n")) == ["new york", "los angeles"]


def test_words_are_nfc_normalised(write):
    assert load_words(write("e\u0301va\n\u212b\n")) == ["\u00e9va", "\u00c5"]


@pytest.mark.parametrize(("text", "words"), [
    ("emma\n\ufeffolivia\nav\ufeffa\n", ["emma", "olivia", "ava"]),
    ("em\u200bma\n\u200eolivia\u200f\n\u202aav\xada\u202c\n\u2060\n", ["emma", "olivia", "ava"]),
    ("emma\u2028olivia\u2029ava\vmia\fzoe\x85eve", ["emma", "olivia", "ava", "mia", "zoe", "eve"]),
    ("new\tyork\nlos\xa0angeles\nsan\u3000jose\n", ["new york", "los angeles", "san jose"]),
    ("em\u200dma\n\u200colivia\nav\ufe0fa\nя\u200cна\n", ["emma", "olivia", "ava", "яна"]),
    ("e\u200b\u0301va\nanna\u200d\u0301\n", ["\u00e9va", "ann\u00e1"]),
    ("\u3164\n\u2800anna\n", ["anna"]),
], ids=["BOM in the middle", "zero width and direction", "separators of lines", "white space", "joiners", "before NFC",
        "fillers"])
def test_what_nobody_sees_becomes_no_letter(write, text, words):
    assert load_words(write(text)) == words


@pytest.mark.parametrize("word", ["می\u200cخواهم", "അവന\u0d4d\u200d", "ක\u0dca\u200dර", "র\u200d\u09cd\u09afা",
                                  "❤\ufe0f", "👩\u200d🚀", "葛\U000e0100", "ᠠ\u180b", "נ\u05b8", "o'neil-smith",
                                  "½", "ﷺ", "۝"])
def test_joiners_stay_where_a_script_needs_them_and_so_does_all_that_is_seen(write, word):
    assert load_words(write(f"anna\n{word}\n\u200c{word}\u200c\n")) == ["anna", word, word]


@pytest.mark.parametrize(("ch", "told"), [("\0", "UTF-16"), ("\x1b", "U+001B"), ("\b", "U+0008"), ("\x7f", "U+007F"),
                                          ("\x9b", "U+009B"), ("\x1e", "U+001E"), ("\ufffd", "lost"),
                                          ("\ufffe", "U+FFFE")])
def test_a_control_character_is_told_with_its_line_and_code_point(write, ch, told):
    message = message_of(ValueError, load_words, write(f"emma\r\nav{ch}a\nzoe\n"))
    assert "my_words.txt" in message and f"U+{ord(ch):04X}" in message and "line 2" in message and told in message


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_byte_order_mark_is_told(write, encoding):
    message = message_of(ValueError, load_words, write("emma\nava\n".encode(encoding)))
    assert "UTF-16" in message and "line 1" in message and "U+0000" in message


def test_order_and_repeats_stay_unless_dedup_is_asked_for(write):
    path = write("b\na\nb\nc\na\n")
    assert load_words(path) == ["b", "a", "b", "c", "a"]
    assert load_words(path, dedup=True) == ["b", "a", "c"]


def test_dedup_sees_two_spellings_of_a_word_as_one(write):
    assert load_words(write("\u00e9va\ne\u0301va\n eva\n"), dedup=True) == ["\u00e9va", "eva"]


def test_a_path_may_be_str_or_path(write):
    path = write("emma\nava\n")
    assert load_words(str(path)) == load_words(path) == ["emma", "ava"]


def test_a_relative_path_is_read_from_here(write, monkeypatch):
    monkeypatch.chdir(write("emma\n").parent)
    assert load_words("my_words.txt") == ["emma"]


@pytest.mark.parametrize("names", ALPHABETS.values(), ids=ALPHABETS)
def test_both_spellings_of_an_alphabet_give_the_same_data(write, names):
    results = []
    for form in ("NFC", "NFD"):
        words = load_words(write(unicodedata.normalize(form, "\n".join(names))))
        stoi, itos = build_vocabulary(words)
        X, Y = build_dataset(words, stoi, 3)
        results.append((words, stoi, itos, X.tolist(), Y.tolist()))
    assert results[0] == results[1]
    assert results[0][0] == names
    assert len(results[0][4]) == sum(len(name) + 1 for name in names)


# ----- files that cannot be read --------------------------------------------------------------------------------------

def test_a_missing_file_is_named_with_what_to_do(tmp_path, monkeypatch):
    message = message_of(FileNotFoundError, load_words, tmp_path / "nowhere.txt")
    assert "nowhere.txt" in message and "Check the path" in message and "Without a path" in message
    monkeypatch.chdir(tmp_path)
    message = message_of(FileNotFoundError, load_words, "nowhere.txt")
    assert "'nowhere.txt'" in message and repr(str(Path.cwd())) in message


def test_a_mistyped_file_gets_the_near_one_proposed(write):
    path = write("emma\n")
    message = message_of(FileNotFoundError, load_words, path.parent / "my_word.txt")
    assert "Did you mean" in message and "my_words.txt" in message


def test_a_missing_folder_is_told(tmp_path):
    assert "nowhere" in message_of(FileNotFoundError, load_words, tmp_path / "nowhere" / "words.txt")


def test_a_folder_is_no_list(tmp_path):
    message = message_of(FileNotFoundError, load_words, tmp_path)
    assert "is a folder" in message and "one word a line" in message


@pytest.mark.parametrize("content", [b"", b"\n\n", b"  \r\n\t\r\n", b"\xef\xbb\xbf"],
                         ids=["empty", "newlines", "white space", "only a BOM"])
def test_a_file_without_words_is_told(write, content):
    message = message_of(ValueError, load_words, write(content))
    assert "my_words.txt" in message and "no words" in message and "one word on each line" in message


@pytest.mark.parametrize("content, line, byte", [
    (b"\xffemma\n", 1, "0xff"),
    (b"emma\nava\nJ\xfcrgen\nzoe\n", 3, "0xfc"),
    (b"emma\r\nava\r\nJ\xfcrgen\r\n", 3, "0xfc"),
    (b"emma\rava\rJ\xfcrgen\r", 3, "0xfc"),
    (b"\xef\xbb\xbfemma\r\n\r\nzo\xeb", 3, "0xeb"),
    (b"emma\nzo\xc3", 2, "0xc3"),
])
def test_an_undecodable_byte_is_told_with_its_line(write, content, line, byte):
    message = message_of(ValueError, load_words, write(content))
    assert re.search(rf"line {line}\b", message) and byte in message
    assert "my_words.txt" in message and "UTF-8" in message and "Save the file again" in message


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_told_by_its_byte_order_mark(write, encoding):
    mark = "" if encoding == "utf-16" else "\ufeff"
    message = message_of(ValueError, load_words, write((mark + "emma\nava\n").encode(encoding)))
    assert "UTF-16" in message and "UTF-8" in message


# ----- the lecture's list ---------------------------------------------------------------------------------------------

def test_the_lecture_list_is_told_by_its_words(lecture_words):
    assert len(lecture_words) == 32_033 and lecture_words[:3] == ["emma", "olivia", "ava"]
    assert is_lecture_list(lecture_words)
    assert not is_lecture_list(lecture_words[:-1])
    assert not is_lecture_list(lecture_words[::-1])
    assert not is_lecture_list([*lecture_words[:-1], "zzzz"])


@pytest.mark.parametrize("words", [[], ["emma"], FEW])
def test_other_words_are_not_the_lecture_list(words):
    assert not is_lecture_list(words)


@pytest.mark.parametrize("content", [b"", b"emma\nolivia\n", b"<html>404</html>"])
def test_a_damaged_lecture_list_is_an_error_and_never_a_stand_in(tmp_path, monkeypatch, content):
    monkeypatch.setattr(mmutils.data, "DATA", tmp_path)
    (tmp_path / "names.txt").write_bytes(content)
    (tmp_path / "sampled_names.txt").write_text("anna\n")
    message = message_of(ValueError, load_words)
    assert "data/names.txt" in message and "not the lecture's list" in message
    assert f"{len(content)} bytes" in message and "Delete it" in message and "pass its path" in message
    assert str(tmp_path) not in message


def test_one_changed_byte_of_the_lecture_list_is_damage(lecture_words, tmp_path, monkeypatch):
    monkeypatch.setattr(mmutils.data, "DATA", tmp_path)
    (tmp_path / "names.txt").write_text("\n".join(["emmb", *lecture_words[1:]]))
    assert "228,145 bytes" in message_of(ValueError, load_words)


# ----- vocabulary -----------------------------------------------------------------------------------------------------

def test_the_vocabulary_is_the_sorted_characters_from_1_and_the_dot_at_0():
    stoi, itos = build_vocabulary(["cab", "dab"])
    assert stoi == {".": 0, "a": 1, "b": 2, "c": 3, "d": 4}
    assert itos == {0: ".", 1: "a", 2: "b", 3: "c", 4: "d"}


def test_the_lecture_vocabulary_has_27_characters(lecture_words):
    stoi, itos = build_vocabulary(lecture_words)
    assert "".join(itos[i] for i in range(27)) == ".abcdefghijklmnopqrstuvwxyz"
    assert len(stoi) == len(itos) == 27


def test_a_dot_inside_a_word_is_told_with_the_word():
    message = message_of(ValueError, build_vocabulary, ["emma", "st.john", "ava"])
    assert "'st.john'" in message and "word 2 of 3" in message and "Take it out" in message


# ----- splits ---------------------------------------------------------------------------------------------------------

def n_examples(words):
    return sum(len(word) + 1 for word in words)


def lecture_shuffle(words):
    """One run of the lecture's cell (2, 53:20), which shuffles the list it is given, and then cuts it."""
    random.seed(42)
    random.shuffle(words)
    first, second = int(0.8 * len(words)), int(0.9 * len(words))
    return words[:first], words[first:second], words[second:]


def test_the_split_is_the_lectures_first(lecture_words):
    splits = split_words(lecture_words)
    assert [len(part) for part in splits] == [25_626, 3_203, 3_204]
    stoi, _ = build_vocabulary(lecture_words)
    assert [len(build_dataset(part, stoi, 3)[0]) for part in splits] == [182_625, 22_655, 22_866]
    assert splits == lecture_shuffle(list(lecture_words))


def test_the_lectures_cell_gives_another_split_each_time_and_ours_does_not(lecture_words):
    in_place = list(lecture_words)
    assert [n_examples(lecture_shuffle(in_place)[0]) for _ in range(4)] == [182_625, 182_580, 182_437, 182_441]
    assert {n_examples(split_words(lecture_words)[0]) for _ in range(4)} == {182_625}


@pytest.mark.parametrize("n", range(10, 40))
def test_the_split_is_the_lectures_whatever_the_number_of_words(n):
    words = [f"{i}" for i in range(n)]
    assert split_words(words) == lecture_shuffle(list(words))


def test_splitting_is_repeatable_and_touches_nothing_else():
    words = list(FEW)
    random.seed(7)
    state = random.getstate()
    first = split_words(words)
    assert words == FEW and random.getstate() == state
    random.seed(8)
    assert split_words(words) == first
    first[0].clear()
    assert words == FEW


def test_the_splits_share_out_every_word_once():
    assert sorted(sum(split_words(FEW), [])) == sorted(FEW)


def test_another_seed_gives_another_split_and_fractions_are_kept():
    words = [f"{i}" for i in range(200)]
    assert split_words(words, seed=1) != split_words(words, seed=2)
    assert [len(part) for part in split_words(words, fractions=(.5, .25, .25))] == [100, 50, 50]


@pytest.mark.parametrize("words, fractions, split", [
    (["a", "b", "c"], (.8, .1, .1), "dev"),
    (["a"], (.8, .1, .1), "train"),
    (["a"] * 20, (0, .5, .5), "train"),
    (["a"] * 20, (.5, 0, .5), "dev"),
    (["a"] * 20, (.5, .5, 0), "test"),
])
def test_an_empty_split_is_told_with_its_name(words, fractions, split):
    message = message_of(ValueError, split_words, words, fractions=fractions)
    assert f"the {split} split" in message and f"{len(words)} words" in message and "larger fraction" in message


@pytest.mark.parametrize("fractions", [(.8, .1), (.8, .1, .1, 0), (.8, .1, .2), (1.2, -.1, -.1), (80, 10, 10),
                                       (float("nan"), .5, .5), (float("inf"), 0, 0)])
def test_fractions_that_are_no_shares_are_told(fractions):
    message = message_of(ValueError, split_words, FEW, fractions=fractions)
    assert repr(fractions) in message and "sum to 1" in message and "(.8, .1, .1)" in message


# ----- tensors --------------------------------------------------------------------------------------------------------

def double_loop(words, stoi, block_size):
    """What the lecture (2, 9:03) does, one character after the other."""
    contexts, targets = [], []
    for word in words:
        window = (0,) * block_size
        for index in [*(stoi[ch] for ch in word), 0]:
            contexts.append(window)
            targets.append(index)
            window = (*window[1:], index)
    return torch.tensor(contexts), torch.tensor(targets)


def assert_same_dataset(words, stoi, block_size):
    X, Y = build_dataset(words, stoi, block_size)
    X_loop, Y_loop = double_loop(words, stoi, block_size)
    assert X.dtype == Y.dtype == torch.int64
    assert X.shape == (n_examples(words), block_size) and Y.shape == (n_examples(words),)
    assert torch.equal(X, X_loop) and torch.equal(Y, Y_loop)


@pytest.mark.parametrize("block_size", [1, 3, 8, 20])
def test_the_dataset_is_the_double_loops_on_the_whole_list(lecture_words, block_size):
    stoi, _ = build_vocabulary(lecture_words)
    assert_same_dataset(lecture_words, stoi, block_size)


@pytest.mark.parametrize("block_size", [1, 2, 3, 8, 20])
@pytest.mark.parametrize("words", [FEW, ["a"], ["emma"], ["a", "b", "c"], ["ab"] * 3, ["a", "supercalifragilistic"],
                                   ["new york", "zoë"]], ids=lambda words: ",".join(words)[:16])
def test_the_dataset_is_the_double_loops(words, block_size):
    stoi, _ = build_vocabulary(words)
    assert_same_dataset(words, stoi, block_size)


def test_a_dataset_takes_the_indices_of_the_vocabulary_it_is_given():
    X, Y = build_dataset(["ab"], {"a": 5, "b": 7, ".": 0, "c": 1}, 2)
    assert X.tolist() == [[0, 0], [0, 5], [5, 7]] and Y.tolist() == [5, 7, 0]


def test_the_dataset_of_a_tuple_of_words_is_that_of_a_list():
    stoi, _ = build_vocabulary(tuple(FEW))
    assert torch.equal(build_dataset(tuple(FEW), stoi, 3)[0], build_dataset(FEW, stoi, 3)[0])


@pytest.mark.parametrize("block_size", [0, -1, 2.0, "3", None, True])
def test_a_block_size_that_is_no_whole_number_from_1_is_told(block_size):
    message = message_of(ValueError, build_dataset, FEW, build_vocabulary(FEW)[0], block_size)
    assert f"block_size={block_size!r}" in message and "1 or more" in message


def test_a_character_outside_the_vocabulary_is_told_with_its_word():
    stoi, _ = build_vocabulary(["emma", "ava"])
    message = message_of(ValueError, build_dataset, ["ava", "emmy", "zoe"], stoi, 3)
    assert "'y'" in message and "'emmy'" in message and "word 2 of 3" in message
    assert "Build the vocabulary from all the words" in message


def test_a_dot_inside_a_word_is_refused_by_the_dataset_too():
    message = message_of(ValueError, build_dataset, ["ava", "a.v"], build_vocabulary(["ava"])[0], 3)
    assert "'a.v'" in message and "word 2 of 2" in message


def test_a_vocabulary_without_a_dot_is_told():
    message = message_of(ValueError, build_dataset, ["ab"], {"a": 0, "b": 1}, 3)
    assert "'.'" in message and "build_vocabulary(words)" in message


FUNCTIONS = {"build_vocabulary": build_vocabulary, "split_words": split_words,
             "build_dataset": lambda words: build_dataset(words, {".": 0, "a": 1}, 3)}


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_an_empty_list_is_told(function):
    message = message_of(ValueError, function, [])
    assert "words is empty" in message and "at least one word" in message


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
@pytest.mark.parametrize("words", ["emma", b"emma"])
def test_one_word_instead_of_a_list_is_told(function, words):
    message = message_of(ValueError, function, words)
    assert repr(words) in message and "list of words" in message


def test_in_a_notebook_a_word_with_a_dot_is_refused_where_the_list_is_named(write, monkeypatch):
    path = write("emma\nj.r.\n")
    monkeypatch.delattr("builtins.__IPYTHON__", raising=False)
    assert load_words(path) == ["emma", "j.r."]
    monkeypatch.setattr("builtins.__IPYTHON__", True, raising=False)
    message = message_of(ValueError, load_words, path)
    assert "'j.r.' (word 2 of 2)" in message and "marks the start and the end" in message


# ----- measurements ---------------------------------------------------------------------------------------------------

def test_the_measurements_are_found_from_any_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert {"one_layer_step", "batchnorm_log", "by_hand", "wavenet_log"} <= bench_results().keys()


# ----- importing ------------------------------------------------------------------------------------------------------

def test_importing_mmutils_loads_neither_matplotlib_nor_pooch_and_use_style_works():
    code = ("import sys, mmutils\n"
            "print([name for name in ('matplotlib', 'pooch', 'requests') if name in sys.modules])\n"
            "mmutils.use_style()\n"
            "print('matplotlib' in sys.modules, all(hasattr(mmutils, name) for name in mmutils.__all__))\n")
    root = Path(mmutils.__file__).resolve().parent.parent
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root,
                          env=os.environ | {"MPLBACKEND": "Agg"})
    assert (done.stdout, done.stderr, done.returncode) == ("[]\nTrue True\n", "", 0)


def test_an_unknown_public_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="load_word'"):
        _ = mmutils.load_word


def test_reading_a_file_of_ones_own_warns_of_nothing(write):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_words(write("emma\n"))


def test_the_stand_in_is_as_long_as_the_lectures_list_and_made_of_the_same_letters():
    words = load_words(mmutils.data.DATA / "sampled_names.txt")
    assert len(words) == 32_033
    assert all(2 <= len(word) <= 15 for word in words)
    assert sorted(set("".join(words))) == list("abcdefghijklmnopqrstuvwxyz")
    assert not is_lecture_list(words)
    assert 5.9 < sum(map(len, words)) / len(words) < 6.3
