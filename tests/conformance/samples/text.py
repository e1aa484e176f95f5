"""The texts beside a model's weights. Half a text is a text, half a JSON document is not one."""

import json

from tests.conformance.sample import Sample

CONFIG = {"architectures": ["LlamaForCausalLM"], "hidden_size": 64, "model_type": "llama", "num_hidden_layers": 2}

SAMPLES = (
    Sample(name="config", path="config.json", data=json.dumps(CONFIG).encode()),
    Sample(
        name="card", path="README.md", data="---\nlicense: mit\n---\n# Tiny\n\nGröße\n".encode(), is_whole_only=False
    ),
    Sample(name="vocabulary", path="vocab.txt", data=b"[PAD]\n[UNK]\nthe\n##s\n", is_whole_only=False),
    Sample(name="yaml", path="recipe.yaml", data=b"merge_method: slerp\nmodels: [a, b]\n", is_whole_only=False),
)
