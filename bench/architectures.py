"""Tiny models of every family, as transformers saves them: `python -P bench/architectures.py` writes tests/golden/architectures.

`-P` because bench/inspect.py would hide the standard module. Needs torch and transformers, which the repository does not install. Each file has the configuration's numbers, the class
and the name and shape of every tensor that `save_pretrained` wrote.
"""

import json
import struct
import tempfile
from pathlib import Path

from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM  # noqa: TID253  # a bench, run where it is installed

GOLDEN = Path(__file__).parents[1] / "tests/golden/architectures"
BASE = {
    "vocab_size": 40,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 32,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
WIDE = {**BASE, "head_dim": 8}
ENCODER = {key: value for key, value in BASE.items() if key != "num_key_value_heads"}
LATENT = {
    **BASE,
    "n_routed_experts": 4,
    "n_shared_experts": 1,
    "moe_intermediate_size": 8,
    "first_k_dense_replace": 1,
    "q_lora_rank": 6,
    "kv_lora_rank": 5,
    "qk_nope_head_dim": 4,
    "qk_rope_head_dim": 2,
    "v_head_dim": 3,
    "num_experts_per_tok": 1,
    "n_group": 1,
    "topk_group": 1,
}
MODELS = {
    "llama": BASE,
    "llama-biased": {**BASE, "attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True},
    "mistral": WIDE,
    "mixtral": {**BASE, "num_local_experts": 2},
    "qwen2": BASE,
    "qwen2_moe": {**BASE, "num_experts": 2, "moe_intermediate_size": 8, "shared_expert_intermediate_size": 12},
    "qwen3": WIDE,
    "qwen3_moe": {**WIDE, "num_experts": 2, "moe_intermediate_size": 8},
    "gemma": WIDE,
    "gemma2": WIDE,
    "gemma3_text": WIDE,
    "phi": BASE,
    "phi-normed": {**BASE, "qk_layernorm": True},
    "phi3": BASE,
    "gpt2": {"vocab_size": 40, "n_embd": 16, "n_layer": 2, "n_head": 4, "n_positions": 32},
    "gpt_neox": ENCODER,
    "bert": ENCODER,
    "roberta": {**ENCODER, "type_vocab_size": 1},
    "distilbert": {
        "vocab_size": 40,
        "dim": 16,
        "n_layers": 2,
        "n_heads": 4,
        "hidden_dim": 24,
        "max_position_embeddings": 32,
    },
    "deepseek_v2": LATENT,
    "deepseek_v3": LATENT,
    "deepseek_v3-plain": {**LATENT, "q_lora_rank": None},
    "gpt_oss": {**WIDE, "num_local_experts": 2},
}


def saved(name, numbers):
    """The configuration as it is written, and the tensors of the file."""
    config = AutoConfig.for_model(name.partition("-")[0], **numbers)
    kind = AutoModelForMaskedLM if name in ("bert", "roberta", "distilbert") else AutoModelForCausalLM
    with tempfile.TemporaryDirectory() as folder:
        kind.from_config(config).save_pretrained(folder)
        raw = (Path(folder) / "model.safetensors").read_bytes()
        written = json.loads((Path(folder) / "config.json").read_text())
    header = json.loads(raw[8 : 8 + struct.unpack("<Q", raw[:8])[0]])
    header.pop("__metadata__", None)
    return written, {tensor: header[tensor]["shape"] for tensor in sorted(header)}


def main():
    GOLDEN.mkdir(exist_ok=True)
    for name, numbers in MODELS.items():
        config, tensors = saved(name, numbers)
        lines = ",\n".join(f"  {json.dumps(tensor)}: {json.dumps(shape)}" for tensor, shape in tensors.items())
        text = f'{{"config": {json.dumps(config)},\n "tensors": {{\n{lines}\n}}}}\n'
        (GOLDEN / f"{name}.json").write_text(text)
        print(f"{name:20} {len(tensors):4} tensors")


if __name__ == "__main__":
    main()
