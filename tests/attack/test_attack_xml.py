"""Attacks on models in XML: parsers that read other files, programs in extensions, classes named as functions, libraries."""

import pytest

from tests.conformance.sample import opened
from tests.conformance.samples.openvino import GRAPH
from tests.conformance.samples.pmml import TREE
from weighbridge.formats import openvino, pmml
from weighbridge.formats.reading.contract import Match
from weighbridge.vocabulary import Outcome, Severity

UNITS = {"openvino": openvino.FORMAT, "pmml": pmml.FORMAT}
BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>\n'
OUTSIDE = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>\n'
REMOTE = '<!DOCTYPE PMML SYSTEM "http://127.0.0.1/x.dtd">\n'


def read(unit, data, path):
    with opened(data, path) as source:
        assert UNITS[unit].sniff(source) is Match.CERTAIN
        return UNITS[unit].read(source).findings


def failed(findings):
    return {f.check for f in findings if f.outcome is Outcome.FAIL and f.severity.rank >= Severity.HIGH.rank}


def unknown(findings):
    return {f.check for f in findings if f.outcome is Outcome.UNKNOWN}


def graph(old, new):
    assert old in GRAPH
    return GRAPH.replace(old, new, 1).encode()


def tree(old, new):
    assert old in TREE
    return TREE.replace(old, new, 1).encode()


@pytest.mark.parametrize("doctype", [BOMB, OUTSIDE, REMOTE, "<!DOCTYPE PMML>"])
def test_document_types_are_refused(doctype):
    assert "pmml.xml" in failed(read("pmml", tree("<!-- a tree -->", doctype), "m.pmml"))
    assert "openvino.xml" in failed(read("openvino", graph("<net", f"{doctype}<net"), "m.xml"))
    wide = tree("<!-- a tree -->", doctype).decode().replace("UTF-8", "UTF-16").encode("utf-16")
    assert "pmml.xml" in failed(read("pmml", wide, "m.pmml"))


@pytest.mark.parametrize(
    ("new", "check"),
    [
        ('<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="x"/><MiningSchema>', "pmml.xml"),
        ('<x:stylesheet xmlns:x="http://www.w3.org/1999/XSL/Transform"/><MiningSchema>', "pmml.xml"),
        ('<?xml-stylesheet href="x.xsl"?><MiningSchema>', "pmml.xml"),
        (
            "<Extension><script>x</script>java.lang.Runtime.getRuntime().exec('x')</Extension><MiningSchema>",
            "pmml.extension",
        ),
        ('<Extension name="x-script" value="function f() { return 1 }"/><MiningSchema>', "pmml.extension"),
        ('<Extension extender="text/javascript">var a</Extension><MiningSchema>', "pmml.extension"),
        ('<Extension name="u" value="ldap://127.0.0.1/a"/><MiningSchema>', "pmml.address"),
        ('<Extension name="${jndi:ldap://127.0.0.1/a}"/><MiningSchema>', "pmml.address"),
    ],
)
def test_what_a_pmml_document_may_not_hold(new, check):
    found = read("pmml", tree("<MiningSchema>", new), "m.pmml")
    assert {check, "code.on-load"} <= failed(found)


@pytest.mark.parametrize("name", ["java.lang.Runtime.exec", "com.example.Evil", "org.jpmml.evaluator.functions.X$Y"])
def test_a_class_as_a_function_is_refused(name):
    assert {"pmml.function", "code.on-load"} <= failed(
        read("pmml", tree('function="ln"', f'function="{name}"'), "m.pmml")
    )


def test_other_functions_and_elements_are_not_judged():
    assert "pmml.function" in unknown(read("pmml", tree('function="ln"', 'function="frobnicate"'), "m.pmml"))
    assert "pmml.element" in unknown(read("pmml", tree("<MiningSchema>", "<JavaModel/><MiningSchema>"), "m.pmml"))
    assert "code.on-load" in unknown(read("pmml", tree("<MiningSchema>", "<JavaModel/><MiningSchema>"), "m.pmml"))
    defined = '<DefineFunction name="f" optype="continuous"><ParameterField name="a"/><FieldRef field="a"/></DefineFunction><DerivedField'
    text = TREE.replace("<DerivedField", defined, 1).replace('function="ln"', 'function="f"').encode()
    assert not failed(read("pmml", text, "m.pmml")) | unknown(read("pmml", text, "m.pmml"))


@pytest.mark.parametrize("value", ["libevil.so", "/tmp/x.so.1", "evil.DLL", "../x.dylib"])
def test_a_library_in_a_graph_is_refused(value):
    found = read("openvino", graph('auto_broadcast="numpy"', f'implementation="{value}"'), "m.xml")
    assert {"openvino.library", "code.on-load"} <= failed(found)


def test_an_operator_of_an_extension_is_not_judged():
    for old, new in (('type="Add" version="opset1"', 'type="Add" version="extension"'), ('type="Add"', 'type="Evil"')):
        assert {"openvino.operator", "code.on-load"} <= unknown(read("openvino", graph(old, new), "m.xml"))
    assert unknown(read("openvino", graph('version="11"', 'version="7"'), "m.xml"))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('offset="0"', 'offset="-4"'),
        ('offset="0"', 'offset="9223372036854775807"'),
        ('offset="0"', 'offset="99999999999999999999999"'),
        ('size="16"', 'size="-1"'),
        ('size="16"', 'size="17"'),
        ('shape="1, 4"', 'shape="1, -4"'),
        ('shape="1, 4"', 'shape="4611686018427387904, 4"'),
        ('offset="0" ', ""),
    ],
)
def test_constants_that_lie_in_no_file_are_refused(old, new):
    assert "openvino.weights" in failed(read("openvino", graph(old, new), "m.xml"))


@pytest.mark.parametrize("text", ["<svg><net/></svg>", "net", "<html>", "", "<", "<!--", "<nets/>", "{<net>}"])
def test_other_files_are_left_alone(text):
    with opened(text.encode(), "x.xml") as source:
        assert openvino.FORMAT.sniff(source) is Match.NO
        assert pmml.FORMAT.sniff(source) is Match.NO


def test_what_stands_before_the_root_hides_nothing():
    for before in ("\ufeff", "\n \t", f"<!--{'-' * 0}{'x' * 70000}-->", "<?a b?><!-- <svg> -->"):
        data = (before + TREE.partition("?>\n")[2]).encode()
        with opened(data, "x.pmml") as source:
            assert pmml.FORMAT.sniff(source) is Match.CERTAIN


def test_depth_and_number_are_bounded():
    deep = tree("<MiningSchema>", "<Node>" * 5000)
    assert "pmml.parse" in failed(read("pmml", deep, "m.pmml"))
    many = tree("<MiningSchema>", "<True/>" * 500_000)
    assert "pmml.parse" in unknown(read("pmml", many, "m.pmml"))
    assert "pmml.parse" in failed(read("pmml", tree("</Node></TreeModel>", ""), "m.pmml"))


@pytest.mark.parametrize(("size", "is_sound"), [("0", True), ("1", True), ("2", False), ("16", False)])
def test_an_empty_constant_has_at_most_the_byte_that_openvino_keeps_for_it(size: str, is_sound: bool) -> None:
    data = graph('shape="1, 4" offset="0" size="16"', f'shape="0" offset="0" size="{size}"')
    assert ("openvino.weights" not in failed(read("openvino", data, "m.xml"))) is is_sound
