"""What several test files share."""

import random
import warnings

import matplotlib
import pytest
import torch
from matplotlib import pyplot as plt

from mmutils import is_lecture_list, load_words

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def lecture_words():
    """The lecture's 32,033 names; where they are not at hand, the test is skipped with load_words' own words."""
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        patch.setenv("MMUTILS_TEST", "1")  # the root conftest.py has tried the download
        warnings.simplefilter("error", UserWarning)
        try:
            words = load_words()
        except (FileNotFoundError, UserWarning) as absent:
            pytest.skip(str(absent))
    assert is_lecture_list(words)
    return words


@pytest.fixture(scope="session")
def own_words():
    """2,000 invented names over a to z, so that tests need no list: what follows depends on the two letters before."""
    g = random.Random(1)
    words = []
    while len(words) < 2000:
        word = ""
        while len(word) < 2 or (len(word) < 12 and g.random() < 0.75):
            vowel = word[-1:] not in "aeiou" or (word == "" and g.random() < 0.5)
            if not vowel and word[-2:-1] not in "aeiou" and g.random() < 0.6:
                vowel = True
            letters = "aeiou" if vowel else "bcdfghjklmnpqrstvwxyz"
            word += letters[int(len(letters) * g.random() ** 1.5)]
        words.append(word)
    return words


@pytest.fixture
def verdict(capsys):
    """Run a check; give what it returns and what it prints. No warnings on the way."""
    def verdict(check, answer, *rest):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            result = check(answer, *rest)
        printed = capsys.readouterr()
        assert printed.err == "" and printed.out.endswith("\n") and printed.out.count("\n") == 1
        return result, printed.out
    return verdict


@pytest.fixture
def wrong(verdict):
    """Run a check on a wrong answer: it must say no, with these words."""
    def wrong(words_to_find, check, answer, *rest):
        result, told = verdict(check, answer, *rest)
        assert result is False, told
        assert f"{check.__name__[:3].upper()}: not yet. " in told
        for word in [words_to_find] if isinstance(words_to_find, str) else words_to_find:
            assert word.lower() in told.lower()
    return wrong


@pytest.fixture
def right(verdict):
    """Run a check on a right answer: it must say yes."""
    def right(check, answer, *rest):
        result, told = verdict(check, answer, *rest)
        assert result is True, told
        assert told.startswith(f"{check.__name__[:3].upper()}: right. ")
        return told
    return right


@pytest.fixture
def clean_figures():
    """No warning, no other test's look or figures; whatever a test draws can be drawn in earnest."""
    plt.close("all")
    torch.set_warn_always(True)  # else torch warns once a process, and perhaps in another test
    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", DeprecationWarning)  # Python shows a reader none of these
        yield
        for number in plt.get_fignums():
            plt.figure(number).canvas.draw()
    torch.set_warn_always(False)
    plt.close("all")
