"""An OpenVINO graph of four layers."""

from tests.conformance.sample import Sample

GRAPH = """<?xml version="1.0"?>
<net name="m" version="11">
	<layers>
		<layer id="0" name="x" type="Parameter" version="opset1">
			<data shape="1,4" element_type="f32" />
			<output><port id="0" precision="FP32" names="x"><dim>1</dim><dim>4</dim></port></output>
		</layer>
		<layer id="1" name="c" type="Const" version="opset1">
			<data element_type="f32" shape="1, 4" offset="0" size="16" />
			<output><port id="0" precision="FP32"><dim>1</dim><dim>4</dim></port></output>
		</layer>
		<layer id="2" name="a" type="Add" version="opset1"><data auto_broadcast="numpy" /></layer>
		<layer id="3" name="r" type="Result" version="opset1" />
	</layers>
	<edges><edge from-layer="0" from-port="0" to-layer="2" to-port="0" /></edges>
	<rt_info />
</net>"""

SAMPLES = (
    Sample(name="an addition", path="openvino_model.xml", data=GRAPH.encode()),
    Sample(
        name="an addition in UTF-16",
        path="openvino_model.xml",
        data=b"\xff\xfe" + GRAPH.replace("\t", "").replace('<?xml version="1.0"?>\n', "").encode("utf-16-le"),
    ),
)
