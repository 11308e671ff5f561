import jax.numpy as jnp
from flax import nnx

trained = nnx.MultiHeadAttention(num_heads=1, in_features=8, decode=False, rngs=nnx.Rngs(0))
decoding = nnx.view(trained, decode=True, batch_size=1, max_length=16)
print("cache made for batch_size and max_length:", decoding.cached_key is not None)
decoding(jnp.ones((1, 1, 8)))  # ValueError: Autoregressive cache not initialized
