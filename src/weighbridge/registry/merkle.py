"""Merkle tree hashing and proofs of RFC 6962 section 2.1, with the subtree proofs of draft-ietf-plants-merkle-tree-certs.

Hashes are 32 raw bytes of sha256. A tree of `size` leaves is kept as its frontier: the roots of the complete subtrees that
it falls into, largest first, one for each bit that is set in `size`. A frontier is enough to add a leaf and to compute the
root in O(log size); proofs are computed from the leaf hashes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()
"""The root of a tree without leaves."""

Frontier = tuple[bytes, ...]


def leaf_hash(data: bytes) -> bytes:
    """The hash of one entry: sha256 of 0x00 and the entry."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of two subtrees: sha256 of 0x01, the left and the right hash."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def extend(frontier: Frontier, size: int, leaf: bytes) -> Frontier:
    """The frontier of a tree of `size` leaves after adding the leaf with hash `leaf`.

    Raises:
        ValueError: the frontier does not belong to a tree of that size.
    """
    if len(frontier) != size.bit_count():
        raise ValueError(f"a tree of {size} leaves has {size.bit_count()} subtrees, not {len(frontier)}")
    kept = list(frontier)
    while size & 1:
        leaf = node_hash(kept.pop(), leaf)
        size >>= 1
    return (*kept, leaf)


def root_of_frontier(frontier: Frontier) -> bytes:
    """The root of the tree that has this frontier."""
    if not frontier:
        return EMPTY_ROOT
    root = frontier[-1]
    for left in reversed(frontier[:-1]):
        root = node_hash(left, root)
    return root


def frontier_of(leaf_hashes: Sequence[bytes]) -> Frontier:
    """The frontier of the tree over these leaf hashes."""
    frontier: Frontier = ()
    for size, leaf in enumerate(leaf_hashes):
        frontier = extend(frontier, size, leaf)
    return frontier


def root_of(leaf_hashes: Sequence[bytes]) -> bytes:
    """The root of the tree over these leaf hashes."""
    return root_of_frontier(frontier_of(leaf_hashes))


def inclusion_proof(index: int, leaf_hashes: Sequence[bytes]) -> tuple[bytes, ...]:
    """The audit path of the leaf at `index` (from 0) in the tree over these leaf hashes, nearest sibling first.

    Raises:
        ValueError: there is no such leaf.
    """
    first, end = 0, len(leaf_hashes)
    if not 0 <= index < end:
        raise ValueError(f"no leaf {index} in a tree of {end}")
    proof: list[bytes] = []
    while end - first > 1:
        middle = first + _split(end - first)
        if index < middle:
            proof.append(root_of(leaf_hashes[middle:end]))
            end = middle
        else:
            proof.append(root_of(leaf_hashes[first:middle]))
            first = middle
    return tuple(reversed(proof))


def consistency_proof(old_size: int, leaf_hashes: Sequence[bytes]) -> tuple[bytes, ...]:
    """What shows that the tree of the first `old_size` leaves is the beginning of the tree over these leaf hashes.

    Raises:
        ValueError: `old_size` is not between 1 and the number of leaves.
    """
    first, end = 0, len(leaf_hashes)
    if not 1 <= old_size <= end:
        raise ValueError(f"no consistency proof from {old_size} to {end} leaves")
    proof: list[bytes] = []
    while end != old_size:
        middle = first + _split(end - first)
        if old_size <= middle:
            proof.append(root_of(leaf_hashes[middle:end]))
            end = middle
        else:
            proof.append(root_of(leaf_hashes[first:middle]))
            first = middle
    if first > 0:
        proof.append(root_of(leaf_hashes[first:end]))
    return tuple(reversed(proof))


def verify_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether `proof` shows that the leaf with hash `leaf` stands at `index` in the tree of `size` leaves with this root."""
    if not 0 <= index < size or len(leaf) != HASH_BYTES:
        return False
    node, last, current = index, size - 1, leaf
    for sibling in proof:
        if last == 0 or len(sibling) != HASH_BYTES:
            return False
        if node & 1 or node == last:
            current = node_hash(sibling, current)
            while not node & 1:
                node, last = node >> 1, last >> 1
        else:
            current = node_hash(current, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and current == root


def verify_consistency(size1: int, size2: int, root1: bytes, root2: bytes, proof: Sequence[bytes]) -> bool:
    """Whether `proof` shows that the tree (size1, root1) is the beginning of the tree (size2, root2).

    From an empty tree nothing can be shown: the answer is False.
    """
    return size1 > 0 and verify_subtree_consistency((0, size1), size2, root1, root2, proof)


def verify_subtree_inclusion(
    index: int, subtree: tuple[int, int], leaf: bytes, proof: Sequence[bytes], root: bytes
) -> bool:
    """Whether `proof` shows that `leaf` stands at `index` of the log, inside the subtree [start, end) with this root."""
    start, end = subtree
    return _is_subtree(start, end) and verify_inclusion(index - start, end - start, leaf, proof, root)


def verify_subtree_consistency(
    subtree: tuple[int, int], size: int, subtree_root: bytes, root: bytes, proof: Sequence[bytes]
) -> bool:
    """Whether `proof` shows that the leaves [start, end) of the tree (size, root) have the root `subtree_root`.

    An empty subtree has the empty root and an empty proof in every tree.
    """
    start, end = subtree
    if start == end:
        return 0 <= start <= size and not proof and subtree_root == EMPTY_ROOT
    if not _is_subtree(start, end) or end > size or any(len(sibling) != HASH_BYTES for sibling in proof):
        return False
    first, node, last = start, end - 1, size - 1
    while first != node and (node == last or node & 1):
        first, node, last = first >> 1, node >> 1, last >> 1
    if first == node:
        known, rest = subtree_root, list(proof)
    elif proof:
        known, rest = proof[0], list(proof[1:])
    else:
        return False
    return _climb((first, node, last), known, rest) == (subtree_root, root)


def _climb(place: tuple[int, int, int], known: bytes, proof: list[bytes]) -> tuple[bytes, bytes] | None:
    """The roots of subtree and tree that `proof` leads to, or None where it is longer or shorter than the tree is high."""
    first, node, last = place
    inner = outer = known
    for sibling in proof:
        if last == 0:
            return None
        if node & 1 or node == last:
            if first < node:
                inner = node_hash(sibling, inner)
            outer = node_hash(sibling, outer)
            while not node & 1:
                first, node, last = first >> 1, node >> 1, last >> 1
        else:
            outer = node_hash(outer, sibling)
        first, node, last = first >> 1, node >> 1, last >> 1
    return (inner, outer) if last == 0 else None


def _is_subtree(start: int, end: int) -> bool:
    """Whether [start, end) is a subtree of some tree: `start` is a multiple of the least power of two that holds it."""
    return 0 <= start < end and start % (1 << (end - start - 1).bit_length()) == 0


def _split(size: int) -> int:
    """The largest power of two below `size`: how many leaves the left subtree has."""
    return 1 << ((size - 1).bit_length() - 1)
