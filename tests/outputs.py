"""Outputs of a notebook compared with the committed ones, so that the comparison is strict, and true on any processor.

The text between numbers must be the same, a whole number too. A decimal may differ by 2% or by two units of its last
printed digit, whichever is more: sums in another order change the last digits of a float, and long runs amplify that.
"""

import re
from decimal import Decimal

SHARE, UNITS = Decimal("0.02"), 2
NUMBER = re.compile(r"(?<![\w.])[-+−]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?")


def pieces(text):
    """A text → (what stands between its numbers, its numbers as they are printed). Padding of columns is left out."""
    between = [re.sub(r"^[ ]+|[ ]+$|(?<=\n)[ ]+$", " ", part) for part in NUMBER.split(text)]
    return between, NUMBER.findall(text)


def value_and_unit(printed):
    """A number as it is printed → (its value, the size of its last digit; None for a whole number)."""
    value = Decimal(printed.replace(",", "").replace("−", "-"))
    return value, None if not re.search(r"[.eE]", printed) else Decimal(1).scaleb(value.as_tuple().exponent)


def numbers_agree(one, other):
    """Whether two numbers, as they are printed, are the same but for what processors change."""
    (a, unit), (b, other_unit) = value_and_unit(one), value_and_unit(other)
    if unit is None or other_unit is None:
        return a == b and unit == other_unit
    if a * b < 0:
        return False
    return abs(a - b) <= max(SHARE * abs(a), UNITS * max(unit, other_unit))


def difference(one, other):
    """What is different in two outputs, in words, or None."""
    if one == other:
        return None
    (text, numbers), (other_text, other_numbers) = pieces(one), pieces(other)
    for i in range(min(len(text), len(other_text))):
        if text[i] != other_text[i]:
            return f"the text {text[i]!r} has become {other_text[i]!r}"
        if i < min(len(numbers), len(other_numbers)) and not numbers_agree(numbers[i], other_numbers[i]):
            return f"the number {numbers[i]} has become {other_numbers[i]}"
    return None if len(text) == len(other_text) else f"{len(numbers)} numbers have become {len(other_numbers)}"


class Output(str):
    """A text that is equal to every other one that differs from it by no more than processors do."""

    __hash__ = None

    def __eq__(self, other):
        return difference(str(self), str(other)) is None

    def __ne__(self, other):
        return not self == other
