"""Merkle trees over ordered leaves, hashed as in RFC 6962 (section 2.1) / RFC 9162.

A leaf hash is SHA-256 over 0x00 and the data, a node hash over 0x01 and both children; a tree of n leaves is
split at the largest power of two below n. Used by the ledger's seals and by the audit log: nobody can alter,
delete, insert or swap a leaf without changing the root.
"""

import hashlib
from collections.abc import Sequence

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of one leaf's data."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def unpack(leaves: bytes) -> list[bytes]:
    """Return the leaf hashes that stand one after another in ``leaves``; raise ValueError for a torn one."""
    if len(leaves) % HASH_BYTES:
        raise ValueError(f"{len(leaves)} bytes are not a whole number of hashes")
    return [leaves[at : at + HASH_BYTES] for at in range(0, len(leaves), HASH_BYTES)]


def root(leaves: Sequence[bytes]) -> bytes:
    """Return the root over leaf hashes, in O(n) time."""
    if not leaves:
        return EMPTY_ROOT
    level = list(leaves)
    while len(level) > 1:
        # Pairing from the left and carrying an odd last node up gives the same tree as the RFC's recursion.
        paired = [node_hash(level[at], level[at + 1]) for at in range(0, len(level) - 1, 2)]
        level = paired + level[len(level) & ~1 :]
    return level[0]


def inclusion_path(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """Return the hashes that prove leaf ``index`` to be in the tree, lowest first (RFC 9162, 2.1.3.1)."""
    if not 0 <= index < len(leaves):
        raise ValueError(f"no leaf {index} among {len(leaves)}")
    path = []
    level, at = list(leaves), index
    while len(level) > 1:
        if at ^ 1 < len(level):
            path.append(level[at ^ 1])
        paired = [node_hash(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        level = paired + level[len(level) & ~1 :]
        at >>= 1
    return path


def verify_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], expected_root: bytes) -> bool:
    """Tell whether ``path`` proves that ``leaf`` is number ``index`` of the ``size`` leaves under the root."""
    if not 0 <= index < size:
        return False
    at, last, value = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            return False
        if at & 1 or at == last:
            value = node_hash(sibling, value)
            while not at & 1 and at:
                at >>= 1
                last >>= 1
        else:
            value = node_hash(value, sibling)
        at >>= 1
        last >>= 1
    return last == 0 and value == expected_root
