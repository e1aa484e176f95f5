"""Make the checkpoints in `tests/golden/flax` with flax itself: `python tests/golden/make_flax.py`.

Needs flax 0.12 and optax, which the test environment does not have.
"""

from importlib import import_module
from pathlib import Path

jax = import_module("jax")
jnp = import_module("jax.numpy")
np = import_module("numpy")
nn = import_module("flax.linen")
optax = import_module("optax")
serialization = import_module("flax.serialization")
FOLDER = Path(__file__).parent / "flax"
PLAIN = ("bool", "i1", "u2", "i8", "f2", "f8", "c8", "c16")
NARROW = ("float8_e4m3fn", "float8_e5m2", "int4", "uint4")


class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.LayerNorm()(nn.BatchNorm(use_running_average=True)(nn.Conv(4, (3, 3))(x)))
        return nn.Dense(3)(x.reshape(x.shape[0], -1))


def write(name, value):
    (FOLDER / f"{name}.msgpack").write_bytes(serialization.to_bytes(value))


if __name__ == "__main__":
    parameters = Net().init(jax.random.PRNGKey(0), jnp.ones((1, 6, 6, 2)))
    write("bf16", jax.tree_util.tree_map(lambda a: a.astype(jnp.bfloat16), parameters))
    more = {"step": 3, "lr": 0.1, "name": "x", "rng": jax.random.PRNGKey(1), "c": 1 + 2j, "s": np.float32(2)}
    rest = {"none": None, "flag": True, "list": [1, 2, np.zeros(3)]}
    write("train_state", {"params": parameters, "opt": optax.adam(1e-3).init(parameters), **more, **rest})
    arrays = {str(d): np.zeros((2, 2), d) for d in PLAIN} | {d: jnp.zeros(3, d) for d in NARROW}
    write("types", arrays)
    serialization.MAX_CHUNK_SIZE = 64
    write("chunked", parameters)
