"""Laws of the Merkle tree, with pymerkle as an independent oracle."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from pymerkle import InmemoryTree

from weighbridge.registry import merkle

ENTRIES = st.lists(st.binary(max_size=40), min_size=1, max_size=70)


def _oracle(entries: list[bytes]) -> InmemoryTree:
    tree = InmemoryTree(algorithm="sha256")
    for entry in entries:
        tree.append_entry(entry)
    return tree


@given(ENTRIES)
@settings(deadline=None)
def test_roots_of_every_prefix_agree_with_pymerkle(entries):
    tree = _oracle(entries)
    hashes = [merkle.leaf_hash(entry) for entry in entries]
    frontier: merkle.Frontier = ()
    for size, leaf in enumerate(hashes):
        frontier = merkle.extend(frontier, size, leaf)
        assert merkle.root_of_frontier(frontier) == tree.get_root(size + 1)
        assert merkle.frontier_of(hashes[: size + 1]) == frontier


@given(ENTRIES, st.data())
@settings(deadline=None)
def test_inclusion_proofs_verify_and_follow_the_path_of_pymerkle(entries, data):
    hashes = [merkle.leaf_hash(entry) for entry in entries]
    index = data.draw(st.integers(0, len(entries) - 1))
    proof = merkle.inclusion_proof(index, hashes)
    root = merkle.root_of(hashes)
    assert merkle.verify_inclusion(index, len(hashes), hashes[index], proof, root)
    theirs = _oracle(entries).prove_inclusion(index + 1, len(entries)).serialize()["path"]
    assert [part.hex() for part in proof] == theirs[1:]
    for other in range(len(hashes)):
        if hashes[other] != hashes[index]:
            assert not merkle.verify_inclusion(other, len(hashes), hashes[index], proof, root)


@given(ENTRIES, st.data())
@settings(deadline=None)
def test_consistency_proofs_verify_and_nothing_else_does(entries, data):
    hashes = [merkle.leaf_hash(entry) for entry in entries]
    old = data.draw(st.integers(1, len(entries)))
    proof = merkle.consistency_proof(old, hashes)
    old_root, root = merkle.root_of(hashes[:old]), merkle.root_of(hashes)
    assert merkle.verify_consistency(old, len(hashes), old_root, root, proof)
    place = data.draw(st.integers(0, len(proof)))
    stranger = merkle.leaf_hash(b"stranger")
    assert not merkle.verify_consistency(old, len(hashes), old_root, root, (*proof[:place], stranger, *proof[place:]))
    assert not merkle.verify_consistency(old, len(hashes), stranger, root, proof)
    assert not merkle.verify_consistency(old, len(hashes), old_root, stranger, proof)
    if proof:
        assert not merkle.verify_consistency(old, len(hashes), old_root, root, proof[:-1])


@given(ENTRIES, st.data())
@settings(deadline=None)
def test_changing_any_entry_changes_the_root(entries, data):
    place = data.draw(st.integers(0, len(entries) - 1))
    changed = [*entries]
    changed[place] = changed[place] + b"!"
    assert merkle.root_of([*map(merkle.leaf_hash, entries)]) != merkle.root_of([*map(merkle.leaf_hash, changed)])


@given(
    st.integers(-3, 2**70),
    st.integers(-3, 2**70),
    st.integers(-3, 2**70),
    st.lists(st.binary(max_size=40), max_size=80),
)
def test_hostile_sizes_and_proofs_end_in_false(first, second, third, proof):
    root, other = merkle.leaf_hash(b"root"), merkle.leaf_hash(b"other")
    assert not merkle.verify_inclusion(first, second, other, proof, root)
    assert not merkle.verify_consistency(first, second, other, root, proof)
    assert not merkle.verify_subtree_consistency((first, second), third, other, root, proof)
    assert not merkle.verify_subtree_inclusion(first, (second, third), other, proof, root)
