from __future__ import annotations

import os
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from weighbridge.errors import HostileInputError
from weighbridge.registry.names import refuse_hostile_names

NAMES = st.text(
    st.sampled_from(
        "aAbB01./\\ -_:\n\0\u00e9\u00c9\u00df\u017f\u0131\u043e\u041e\u03bf\u039f\u200b\u202e\udc80\u2215\ufb01\uff4d"
    ),
    max_size=12,
)


def accepts(paths: list[str]) -> bool:
    try:
        refuse_hostile_names(paths)
    except HostileInputError as refusal:
        return not refusal.message.isprintable()  # an accepted name is printable, so this fails where it matters
    return True


@given(st.one_of(NAMES, st.text(max_size=40)))
def test_an_accepted_name_stays_below_its_folder(path: str) -> None:
    if accepts([path]):
        assert os.path.normpath(os.path.join("/model", path)).startswith("/model/")
        assert unicodedata.normalize("NFC", path) == path
        assert path.isprintable()
        assert path.encode().decode() == path


@given(st.lists(NAMES, max_size=6))
def test_the_order_of_names_does_not_matter(paths: list[str]) -> None:
    assert accepts(paths) == accepts(paths[::-1]) == accepts(sorted(paths))


@given(st.lists(NAMES, min_size=1, max_size=6))
def test_accepted_names_are_as_many_on_a_file_system_without_case(paths: list[str]) -> None:
    if accepts(paths):
        folded = {unicodedata.normalize("NFKC", path).casefold() for path in paths}
        assert len(folded) == len(paths)


@given(st.lists(NAMES, max_size=6), NAMES)
def test_one_more_name_never_makes_a_refused_model_acceptable(paths: list[str], more: str) -> None:
    if accepts([*paths, more]):
        assert accepts(paths)
