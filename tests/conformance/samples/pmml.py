"""A regression tree as PMML."""

from tests.conformance.sample import Sample

TREE = """<?xml version="1.0" encoding="UTF-8"?>
<!-- a tree -->
<PMML xmlns="http://www.dmg.org/PMML-4_4" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" version="4.4"
 xsi:schemaLocation="http://www.dmg.org/PMML-4_4 http://www.dmg.org/v4-4/pmml-4-4.xsd">
<Header copyright="http://example.org" description="a tree"><Application name="R" version="4"/><Timestamp>2026-01-02</Timestamp></Header>
<DataDictionary numberOfFields="2"><DataField name="x" optype="continuous" dataType="double"/>
<DataField name="y" optype="continuous" dataType="double"><Extension name="units" value="kg"/></DataField></DataDictionary>
<TransformationDictionary><DerivedField name="z" optype="continuous" dataType="double"><Apply function="ln"><FieldRef field="x"/></Apply>
</DerivedField></TransformationDictionary>
<TreeModel modelName="t" functionName="regression"><MiningSchema><MiningField name="x"/><MiningField name="y" usageType="target"/></MiningSchema>
<Node id="1"><True/><Node id="2" score="1"><SimplePredicate field="z" operator="lessThan" value="0.5"/></Node>
<Node id="3" score="2"><SimplePredicate field="z" operator="greaterOrEqual" value="0.5"/></Node></Node></TreeModel></PMML>"""

SAMPLES = (Sample(name="a regression tree", path="tree.pmml", data=TREE.encode()),)
