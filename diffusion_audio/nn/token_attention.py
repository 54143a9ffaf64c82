"""Attention over tokens, where each query has keys of its own: causal, biased.

Sequences of text are short, so all scores are held at once; over feature maps, and
where all queries share one mask, `diffusion_audio.nn.attention` needs less memory.
"""

import jax
import jax.numpy as jnp

from diffusion_audio.aliases import Array


def token_attention(
    query: Array,
    key: Array,
    value: Array,
    allowed: Array,
    *,
    bias: Array | None = None,
    scale: float | None = None,
) -> Array:
    """Dot-product attention over heads, scores and softmax in float32.

    A key that is not allowed has no influence at all; a query that is allowed none
    gets zeros.

    Args:
        query: [B, L, H, D], L queries in H heads.
        key: [B, K, H, D].
        value: [B, K, H, D].
        allowed: bool [B or 1, L, K], True where the query may look.
        bias: float32 [H, L, K], added to the scaled scores; or None.
        scale: factor of the scores; None for ``1 / sqrt(D)``.

    Returns:
        [B, L, H, D] in the type of ``value``.
    """
    scores = jnp.einsum(
        "blhd,bkhd->bhlk", query, key, preferred_element_type=jnp.float32
    )
    scores = scores * (query.shape[-1] ** -0.5 if scale is None else scale)
    if bias is not None:
        scores = scores + bias[None]
    some = allowed.any(axis=-1, keepdims=True)
    # Rows without a key are opened, so that their softmax and its gradient exist.
    scores = jnp.where((allowed | ~some)[:, None], scores, -jnp.inf)
    weights = jax.nn.softmax(scores, axis=-1)
    out = jnp.einsum("bhlk,bkhd->blhd", weights.astype(value.dtype), value)
    return jnp.where(some[..., None], out, jnp.zeros_like(out))


def causal(mask: Array) -> Array:
    """Which keys each place may look at: real ones, none later than itself.

    Args:
        mask: bool [B, L], True for real tokens.

    Returns:
        bool [B, L, L], by query and key.
    """
    length = mask.shape[1]
    return mask[:, None, :] & jnp.tri(length, dtype=bool)[None]
