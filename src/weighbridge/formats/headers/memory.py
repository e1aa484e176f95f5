"""How much memory a running model needs for one more token, from what its configuration says.

Source: the key-value cache of grouped-query attention (Ainslie et al. 2023, arXiv 2305.13245, section 2): every layer keeps
one key and one value vector for each of its key-value heads, here as 16-bit numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_BYTES_PER_VALUE = 2
_LIMIT = 1 << 40
_OTHER_CACHES = ("kv_lora_rank", "ssm_cfg", "state_size", "mamba_d_state", "layers_block_type", "linear_num_key_heads")
"""Keys of models whose cache is not that of plain attention (latent attention, state spaces, hybrids): no answer for them."""


def cache_bytes_per_token(kv_heads: Sequence[int], key_length: int, value_length: int) -> int | None:
    """Bytes of the 16-bit cache of one token. `kv_heads` has one number a layer; None where a number makes no sense."""
    if not kv_heads or min(*kv_heads, 0) < 0 or min(key_length, value_length) <= 0:
        return None
    size = sum(kv_heads) * (key_length + value_length) * _BYTES_PER_VALUE
    return size if 0 < size < _LIMIT else None


def cache_of_config(config: Mapping[str, Any]) -> int | None:
    """The same, from the `config.json` of a transformers model (or its `text_config`); None where it does not say enough."""
    inner = config.get("text_config")
    if isinstance(inner, dict) and "num_hidden_layers" in inner:
        config = inner
    if any(config.get(key) for key in _OTHER_CACHES) or config.get("is_decoder") is False:
        return None
    layers, heads = _count(config, "num_hidden_layers", "n_layer"), _count(config, "num_attention_heads", "n_head")
    width = _count(config, "hidden_size", "n_embd")
    kv_heads = _count(config, "num_key_value_heads") or (1 if config.get("multi_query") is True else heads)
    head_dim = _count(config, "head_dim") or (width // heads if width and heads else None)
    if not (layers and kv_heads and head_dim) or layers > 10_000:
        return None
    return cache_bytes_per_token((kv_heads,) * layers, head_dim, head_dim)


def _count(config: Mapping[str, Any], *names: str) -> int | None:
    for name in names:
        value = config.get(name)
        if type(value) is int and 0 < value < _LIMIT:
            return value
    return None
