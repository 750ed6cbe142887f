"""Joins numbers into disjoint groups (union-find with path halving; Tarjan 1975)."""

from __future__ import annotations

from collections import defaultdict


class Clusters:
    """The groups of the numbers from 0 to `size` - 1; at first each stands alone.

    Args:
        size: how many numbers.
    """

    def __init__(self, size: int) -> None:
        """Let every number be its own group."""
        self._parents = list(range(size))

    def find(self, item: int) -> int:
        """The least number of the item's group."""
        parents = self._parents
        while parents[item] != item:
            parents[item] = parents[parents[item]]
            item = parents[item]
        return item

    def join(self, first: int, second: int) -> bool:
        """Make two groups one; False if they were one already."""
        low, high = sorted((self.find(first), self.find(second)))
        self._parents[high] = low
        return low != high

    def groups(self) -> list[list[int]]:
        """All groups, each in rising order, ordered by their least numbers."""
        members: dict[int, list[int]] = defaultdict(list)
        for item in range(len(self._parents)):
            members[self.find(item)].append(item)
        return list(members.values())
