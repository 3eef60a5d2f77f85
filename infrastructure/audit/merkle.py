"""The Merkle tree hash of RFC 6962 §2.1 over entries that are given one after another."""

import hashlib

_LEAF, _NODE = b"\x00", b"\x01"


class MerkleTree:
    """Keeps no entries: as many hashes as the tree is high."""

    def __init__(self) -> None:
        self.size = 0
        self._whole: list[tuple[int, bytes]] = []  # perfect trees from left to right, each smaller than the one before

    def add(self, entry: bytes) -> None:
        """The next entry."""
        self.size += 1
        width, node = 1, hashlib.sha256(_LEAF + entry).digest()
        while self._whole and self._whole[-1][0] == width:
            width, node = 2 * width, _above(self._whole.pop()[1], node)
        self._whole.append((width, node))

    @property
    def root(self) -> bytes:
        """Of the tree of all entries so far; of none it is the digest of nothing."""
        if not self._whole:
            return hashlib.sha256().digest()
        *left, (_, node) = self._whole
        for _, beside in reversed(left):
            node = _above(beside, node)
        return node


def _above(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(_NODE + left + right).digest()
