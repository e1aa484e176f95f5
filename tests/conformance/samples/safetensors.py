"""safetensors files, written by the format's own library."""

from tests.conformance.sample import Sample


def _saved(names: dict[str, str], metadata: dict[str, str] | None = None) -> bytes:
    import numpy as np
    from safetensors.numpy import save

    return save({name: np.arange(1, 7, dtype=kind).reshape(2, 3) for name, kind in names.items()}, metadata)


SAMPLES = (
    Sample(
        name="two tensors",
        path="model.safetensors",
        data=_saved({"lm_head.weight": "float32", "lm_head.bias": "int64"}, {"format": "pt"}),
    ),
    Sample(name="no metadata", path="adapter/adapter_model.safetensors", data=_saved({"lora_A": "float16"})),
)
