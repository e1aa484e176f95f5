"""The orders of versions: total, and for releases the one of the `packaging` library."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from packaging.version import InvalidVersion, Version

from weighbridge.inspection.loader_versions import version_key

NUMBER = st.integers(0, 30).map(str)
SUFFIXES = st.sampled_from(
    (
        "",
        "a1",
        "b2",
        "rc1",
        "-rc2",
        ".dev3",
        "a1.dev2",
        ".post1",
        "-1",
        ".post2.dev1",
        "rc1.post2",
        "+cu128",
        "rc",
        "c0",
    )
)
RELEASES = st.builds(
    lambda epoch, parts, suffix: epoch + ".".join(parts) + suffix,
    st.sampled_from(("", "", "v", "1!")),
    st.lists(NUMBER, min_size=1, max_size=4),
    SUFFIXES,
)
ANY = st.one_of(RELEASES, st.text("0123456789.abcrdevpost-_!+v", max_size=14), st.text(max_size=14))


def compared(text: str) -> Version:
    """As the library orders it, without what stands behind `+`."""
    return Version(text.partition("+")[0])


@given(RELEASES, RELEASES)
def test_releases_are_ordered_as_packaging_does(one: str, other: str) -> None:
    first, second = version_key(one, "pep440"), version_key(other, "pep440")
    assert first is not None
    assert second is not None
    assert (first < second) == (compared(one) < compared(other))
    assert (first == second) == (compared(one) == compared(other))


@given(ANY)
def test_what_is_a_release_is_one_for_packaging_as_well(text: str) -> None:
    if version_key(text, "pep440") is None:
        return
    try:
        Version(text)
    except InvalidVersion:
        raise AssertionError(text) from None


@given(st.lists(RELEASES, min_size=3, max_size=3))
def test_the_order_of_releases_is_total(texts: list[str]) -> None:
    one, other, third = (version_key(text, "pep440") or () for text in texts)
    assert [one < other, one == other, one > other].count(True) == 1
    assert not (one <= other <= third) or one <= third


@given(st.integers(0, 999_999_999), st.integers(0, 999_999_999), st.sampled_from(("", "b")))
def test_builds_are_ordered_by_number(one: int, other: int, mark: str) -> None:
    first, second = version_key(f"{mark}{one}", "build"), version_key(f"b{other}", "build")
    assert first is not None
    assert second is not None
    assert (first < second, first == second) == (one < other, one == other)


@given(ANY, st.sampled_from(("pep440", "build")))
def test_any_text_has_a_key_or_none(text: str, order: str) -> None:
    key = version_key(text, order)
    assert key is None or version_key(text.upper(), order) in (key, None)
