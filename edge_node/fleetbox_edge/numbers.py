"""Sets of a stream's numbers, kept as ranges: what is there, what is missing in between."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

Range = tuple[int, int]  # [first, end)


class Numbers:
    """Hold whole numbers as ranges that neither touch nor overlap; cheap where they come in order."""

    def __init__(self, *ranges: Range) -> None:
        self._ranges: list[Range] = []
        for first, end in ranges:
            self.add(first, end)

    def __bool__(self) -> bool:
        return bool(self._ranges)

    def __iter__(self) -> Iterator[Range]:
        return iter(self._ranges)

    def __contains__(self, number: int) -> bool:
        at = bisect_left(self._ranges, (number + 1,)) - 1
        return at >= 0 and self._ranges[at][0] <= number < self._ranges[at][1]

    @property
    def count(self) -> int:
        """Return how many numbers there are."""
        return sum(end - first for first, end in self._ranges)

    @property
    def first(self) -> int:
        """Return the first number, 0 for none."""
        return self._ranges[0][0] if self._ranges else 0

    @property
    def end(self) -> int:
        """Return the number behind the last, 0 for none."""
        return self._ranges[-1][1] if self._ranges else 0

    def add(self, first: int, end: int) -> None:
        """Add [first, end)."""
        if first >= end:
            return
        ranges = self._ranges
        if ranges and ranges[-1][0] <= first <= ranges[-1][1]:
            ranges[-1] = (ranges[-1][0], max(end, ranges[-1][1]))
            return
        low = bisect_left(ranges, (first,))
        if low and ranges[low - 1][1] >= first:
            low -= 1
        high = low
        while high < len(ranges) and ranges[high][0] <= end:
            first, end = min(first, ranges[high][0]), max(end, ranges[high][1])
            high += 1
        ranges[low:high] = [(first, end)]

    def without(self, other: Numbers) -> Numbers:
        """Return the numbers that the other set lacks."""
        left = Numbers()
        taken = iter([*other, (1 << 63, 1 << 63)])
        gone = next(taken)
        for first, end in self._ranges:
            while first < end:
                if gone[1] <= first:
                    gone = next(taken)
                elif gone[0] <= first:
                    first = min(end, gone[1])
                else:
                    left.add(first, min(end, gone[0]))
                    first = min(end, gone[0])
        return left

    def holes(self) -> Numbers:
        """Return the numbers between the first and the last that are not there."""
        pairs = zip(self._ranges, self._ranges[1:], strict=False)
        return Numbers(*((before[1], after[0]) for before, after in pairs))
