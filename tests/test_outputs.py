"""The comparison of outputs, tested by itself: what it must let pass, and what it must not."""

import pytest

from tests.outputs import Output, difference

SAME = [
    ("loss 2.1045", "loss 2.1051"), ("loss 2.10", "loss 2.12"), ("loss 2.10", "loss 2.14"),          # 2% of 2.1
    ("0.0004", "0.0006"), ("std 1.3e-02", "std 1.4e-02"), ("8.1%", "8.3%"), ("0.02", "0.00"), ("-0.01", "0.00"),
    ("  9.99 x", " 10.01 x"), ("tensor([0.6064, 0.3033])", "tensor([0.6063, 0.3033])"), ("-2.50", "-2.48"),
    ("−2.50", "-2.48"), ("-0.00", "0.00"), ("12,345.6 a", "12,346.1 a"), ("a\nb 1.0", "a\nb 1.1"), ("x", "x"),
]
OTHER = [
    ("loss 2.1045", "loss 2.2045"), ("0.020", "-0.020"), ("0.001", "0.010"), ("1.3e-02", "1.3e-03"),
    ("loss 2.10", "los 2.10"), ("32,033 words", "32,034 words"), ("27", "28"), ("27", "27.0"), ("2.10", "nan"),
    ("2.10\n2.20", "2.10"), ("2.10", "2.10\n2.20"), ("a\nb", "a b"), ("a 1.5 b 2", "a 1.5 c 2"), ("1.0 2.0", "1.0"),
    ("2.10", "inf"), ("True", "False"), ("1.5 2.5", "2.5 1.5"), ("", "1.0"), ("100%", "99%"), ("4.0", "40."),
    ("<Figure size 900x300 with 1 Axes>", "<Figure size 900x300 with 2 Axes>"), ("0x7f", "0x8f"), ("-3", "3"),
    ("1,000", "1.000"), ("step 100: 2.5", "step 200: 2.5"),
]


@pytest.mark.parametrize("one, other", SAME)
def test_lets_pass_what_processors_change(one, other):
    assert difference(one, other) is None
    assert difference(other, one) is None
    assert Output(one) == Output(other)
    assert not Output(one).__ne__(Output(other))


@pytest.mark.parametrize("one, other", OTHER)
def test_tells_what_is_different(one, other):
    told = difference(one, other)
    assert told
    assert Output(one) != Output(other)
    assert not Output(one).__eq__(Output(other))


def test_names_the_first_number_that_differs():
    assert difference("a 1.00\nb 2.00 c 3.00", "a 1.01\nb 2.50 c 9.00") == "the number 2.00 has become 2.50"
