"""What the headers of safetensors, GGUF and text files have in common: strict JSON, layouts, tables."""
