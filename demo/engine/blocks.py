"""KV blocks with a prefix cache, as vLLM's V1 block pool keeps them.

A block that no request holds stays findable by its hash until its turn to be reused comes (least recently
released first), so `used` counts held blocks only: an idle engine with a warm cache shows zero usage.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence


class BlockPool:
    """A fixed number of blocks, shared by reference count. Block 0 is never handed out, as in vLLM."""

    def __init__(self, blocks: int, block_size: int, *, caching: bool) -> None:
        if blocks < 2 or block_size < 1:  # noqa: PLR2004 - the null block and one usable one
            raise ValueError(f"a pool needs at least 2 blocks of at least 1 token, not {blocks} of {block_size}")
        self.block_size = block_size
        self.usable = blocks - 1
        self._caching = caching
        self._references = [0] * blocks
        self._hash_of: list[int | None] = [None] * blocks
        self._block_of: dict[int, int] = {}
        self._free: OrderedDict[int, None] = OrderedDict.fromkeys(range(1, blocks))

    @property
    def free(self) -> int:
        """Blocks that no request holds."""
        return len(self._free)

    @property
    def used(self) -> int:
        """Blocks that at least one request holds."""
        return self.usable - len(self._free)

    @property
    def usage(self) -> float:
        """Held blocks over usable blocks, 0-1."""
        return self.used / self.usable

    def match(self, hashes: Sequence[int]) -> list[int]:
        """Return the cached blocks of the longest known prefix of `hashes`; they are not held yet."""
        found: list[int] = []
        for value in hashes:
            block = self._block_of.get(value)
            if block is None:
                break
            found.append(block)
        return found

    def take(self, cached: Sequence[int], fresh: int) -> list[int] | None:
        """Hold `cached` blocks and `fresh` new ones; None, and nothing held, when they are not there."""
        revived = sum(1 for block in cached if self._references[block] == 0)
        if fresh + revived > len(self._free):
            return None
        for block in cached:
            if self._references[block] == 0:
                del self._free[block]
            self._references[block] += 1
        return [*cached, *(self._reuse_oldest() for _ in range(fresh))]

    def release(self, blocks: Iterable[int]) -> None:
        """Let go of a request's blocks, given in order; the tail becomes reusable before the prefix."""
        for block in reversed(list(blocks)):
            self._references[block] -= 1
            if self._references[block] == 0:
                self._free[block] = None

    def publish(self, block: int, value: int) -> None:
        """Make a full block findable by the hash of all tokens up to its end."""
        if self._caching and value not in self._block_of:
            self._block_of[value] = block
            self._hash_of[block] = value

    def _reuse_oldest(self) -> int:
        block, _ = self._free.popitem(last=False)
        forgotten = self._hash_of[block]
        if forgotten is not None:
            del self._block_of[forgotten]
            self._hash_of[block] = None
        self._references[block] = 1
        return block


def chain_hashes(tokens: Sequence[int], block_size: int, known: list[int]) -> None:
    """Extend `known` with the hash of every further full block of `tokens`; each covers all tokens before it."""
    while (len(known) + 1) * block_size <= len(tokens):
        start = len(known) * block_size
        previous = known[-1] if known else 0
        # Hashes of tuples of integers do not depend on PYTHONHASHSEED, so runs are repeatable.
        known.append(hash((previous, tuple(tokens[start : start + block_size]))))
