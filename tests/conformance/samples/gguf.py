"""GGUF files in every version and both byte orders."""

from tests.conformance.sample import Sample
from weighbridge.testing.models import StoredTensor, gguf_bytes, tiny_gguf

_TEMPLATE = "{% for m in messages %}{% if m.role == 'user' %}{{ m.content | trim }}{% endif %}{% endfor %}"
_PART = Sample(
    name="a part of a split model with templates by name",
    path="model-00001-of-00002.gguf",
    data=gguf_bytes(
        {
            "split.no": 0,
            "split.count": 2,
            "split.tensors.count": 2,
            "tokenizer.chat_templates": ("rag",),
            "tokenizer.chat_template.rag": _TEMPLATE,
        },
        (StoredTensor(name="a", dtype=0, shape=(8,), data=bytes(range(32))),),
    ),
)

SAMPLES = (
    _PART,
    *(
        Sample(
            name=f"version {version}, {'big' if is_big else 'little'} endian",
            path="model.gguf",
            data=tiny_gguf(version=version, is_big=is_big),
        )
        for version, is_big in [(3, False), (3, True), (2, False), (1, False)]
    ),
)
