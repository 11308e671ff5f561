import jax.numpy as jnp
from flax import nnx


def attention():
    """Queries, keys and values are what is handed in."""
    made = nnx.MultiHeadAttention(
        num_heads=1, in_features=1, use_bias=False, decode=True, rngs=nnx.Rngs(0)
    )
    for projection in (made.query, made.key, made.value, made.out):
        kernel = projection.kernel
        kernel.value = jnp.ones_like(kernel.value)
    made.init_cache((1, 8, 1))
    return made


zero = jnp.zeros((1, 1, 1))  # a query that weighs all keys alike
for causal in (False, True):
    layer = attention()
    for token in (1.0, 2.0, 3.0):
        value = jnp.full((1, 1, 1), token)
        output = layer(zero, zero, value, is_causal=causal)
    print("is_causal:", causal, "mean of values seen:", float(output[0, 0, 0]), "expected: 2.0")
