"""Archives of torch.export, as torch 2.13 lays them out."""

import json

from tests.conformance.sample import Sample
from weighbridge.testing.pickles import Entry, write_zip


def archive(target: str = "torch.ops.aten.linear.default", *, more: tuple[Entry, ...] = ()) -> bytes:
    """A graph with one operator and one weight."""
    listed = {"config": {"weight": {"path_name": "weight_0", "is_param": True, "use_pickle": False}}}
    graph = {"graph_module": {"graph": {"nodes": [{"target": target}]}}}
    return write_zip(
        [
            Entry(name="net/data/weights/weight_0", data=bytes(range(16))),
            Entry(name="net/data/weights/model_weights_config.json", data=json.dumps(listed).encode()),
            Entry(name="net/models/model.json", data=json.dumps(graph).encode()),
            Entry(name="net/archive_format", data=b"pt2"),
            Entry(name="net/archive_version", data=b"0"),
            *more,
        ]
    )


SAMPLES = (Sample(name="one weight", path="model.pt2", data=archive()),)
