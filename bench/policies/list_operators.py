"""Writes the list of torch's own operators, by namespace: run it in an environment that has torch.

    python -P bench/policies/list_operators.py > src/weighbridge/formats/pickling/data/torch_operators.toml

Operators that read or write files or run code elsewhere stand in torch_script.toml, which is written by hand, and are left out here.
"""

import tomllib
from collections import defaultdict
from pathlib import Path

NAMESPACES = ("aten", "prim", "quantized", "_quantized", "mkldnn", "mkldnn_prepacked", "onednn", "sparse")
HARMFUL = Path(__file__).parents[2] / "src/weighbridge/formats/pickling/data/torch_script.toml"


def main():
    import torch

    harmful = set(tomllib.loads(HARMFUL.read_text("utf-8"))["harmful"])
    names = defaultdict(set)
    for schema in torch._C._jit_get_all_schemas():  # noqa: SLF001  # the only list there is
        space, _, name = schema.name.partition("::")
        if space in NAMESPACES and f"{space}.{name}" not in harmful:
            names[space].add(name)
    print(
        f"# Written by bench/policies/list_operators.py from torch {torch.__version__}: every operator that its compiler registers."
    )
    print("version = 1\n\n[operators]")
    for space in NAMESPACES:
        print(f"{space} = [")
        line = " "
        for name in sorted(names[space]):
            if len(line) + len(name) > 130:
                print(line)
                line = " "
            line += f' "{name}",'
        print(line)
        print("]")


if __name__ == "__main__":
    main()
