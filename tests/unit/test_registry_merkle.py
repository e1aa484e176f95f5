"""RFC 6962: the published vectors, and the values of the RFC's own small trees."""

from __future__ import annotations

import base64
import json

import pytest

from weighbridge.registry import merkle


def _bytes(vector: dict, name: str) -> bytes:
    return base64.b64decode(vector[name])


def _holds(kind: str, vector: dict) -> bool:
    proof = [base64.b64decode(part) for part in vector["proof"] or ()]
    match kind:
        case "inclusion":
            return merkle.verify_inclusion(
                vector["leafIdx"], vector["treeSize"], _bytes(vector, "leafHash"), proof, _bytes(vector, "root")
            )
        case "consistency":
            return merkle.verify_consistency(
                vector["size1"], vector["size2"], _bytes(vector, "root1"), _bytes(vector, "root2"), proof
            )
        case "subtreeinclusion":
            return merkle.verify_subtree_inclusion(
                vector["leafIdx"],
                (vector["start"], vector["end"]),
                _bytes(vector, "leafHash"),
                proof,
                _bytes(vector, "root"),
            )
        case "subtreeconsistency":
            return merkle.verify_subtree_consistency(
                (vector["start"], vector["end"]),
                vector["size"],
                _bytes(vector, "root1"),
                _bytes(vector, "root2"),
                proof,
            )
    raise AssertionError(kind)


def test_all_518_published_vectors_give_the_stated_result(shared_data):
    folder = shared_data / "merkle" / "testdata"
    wrong, count = [], 0
    for path in sorted(folder.rglob("*.json")):
        vector = json.loads(path.read_text())
        count += 1
        if _holds(path.relative_to(folder).parts[0], vector) == vector["wantErr"]:
            wrong.append(f"{path.relative_to(folder)}: {vector['desc']}")
    assert wrong == []
    assert count == 518


def test_the_hashes_are_those_of_rfc_6962():
    assert merkle.EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert merkle.leaf_hash(b"").hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    # the seven and eight leaf trees of the certificate transparency reference implementation
    leaves = [bytes.fromhex(h) for h in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657")]
    hashes = [merkle.leaf_hash(leaf) for leaf in leaves]
    assert merkle.root_of(hashes[:3]).hex() == "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"
    assert merkle.root_of(hashes).hex() == "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c"


def test_extending_a_frontier_of_another_size_is_an_error():
    frontier = merkle.frontier_of([merkle.leaf_hash(b"a"), merkle.leaf_hash(b"b")])
    with pytest.raises(ValueError, match="2 subtrees, not 1"):
        merkle.extend(frontier, 3, merkle.leaf_hash(b"c"))


@pytest.mark.parametrize(("index", "size"), [(-1, 3), (3, 3), (0, 0)])
def test_a_leaf_that_is_not_there_has_no_proof(index, size):
    with pytest.raises(ValueError, match="no leaf"):
        merkle.inclusion_proof(index, [merkle.leaf_hash(bytes([n])) for n in range(size)])


@pytest.mark.parametrize("old_size", [0, 4])
def test_no_consistency_proof_from_nothing_or_from_the_future(old_size):
    with pytest.raises(ValueError, match="no consistency proof"):
        merkle.consistency_proof(old_size, [merkle.leaf_hash(bytes([n])) for n in range(3)])
