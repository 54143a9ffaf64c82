"""The networks of the originals' bundles in PyTorch, by the names of their arrays.

Written out from the code of haoheliu/AudioLDM and AudioLDM2, without ours and without
diffusers: what a layer is, its name says, and its sizes are those of its arrays. The
text encoders are transformers' classes, as there.
"""

import math

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

F = torch.nn.functional
TEXT_HEAD = 64  # channels of a head in RoBERTa and GPT-2, at every published width


class Names:
    """Arrays whose names begin so, and the layers that they are of."""

    def __init__(self, arrays, key=""):
        self.arrays = {
            name.removeprefix(key): array
            for name, array in arrays.items()
            if name.startswith(key)
        }

    def __contains__(self, name):
        return name in self.arrays

    def __getitem__(self, name):
        return self.arrays[name]

    def under(self, key):
        return Names(self.arrays, f"{key}.")

    def each(self, key=""):
        """The layers ``key.0``, ``key.1`` and so on."""
        names = self.under(key) if key else self
        number = 0
        while (found := names.under(str(number))).arrays:
            yield found
            number += 1

    def linear(self, name, x):
        return F.linear(x, self[f"{name}.weight"], self.arrays.get(f"{name}.bias"))

    def conv(self, name, x, stride=1):
        """Of images, filled up so that the size stays but for the stride."""
        layer = self.under(name) if name else self
        kernel = layer["weight"]
        padding = kernel.shape[-1] // 2
        return F.conv2d(x, kernel, layer["bias"], stride=stride, padding=padding)

    def group_norm(self, name, x, eps):
        return F.group_norm(x, 32, self[f"{name}.weight"], self[f"{name}.bias"], eps)

    def layer_norm(self, name, x):
        weight, bias = self[f"{name}.weight"], self[f"{name}.bias"]
        return F.layer_norm(x, weight.shape, weight, bias)


def unet(arrays, head_channels, x, t, contexts=(), vector=None):
    """openaimodel.UNetModel.

    Args:
        arrays: under ``model.diffusion_model``, or their averages by the same names.
        head_channels: of each attention head.
        x: latents [B, C, H, W].
        t: times [B].
        contexts: pairs [B, L, D] and [B, L], in the order of the conditioners.
        vector: [B, D], which goes in beside the time.
    """
    names = Names(arrays)
    width = names["time_embed.0.weight"].shape[1]
    half = width // 2
    angles = t[:, None] * torch.exp(-math.log(10_000) * torch.arange(half) / half)
    time = torch.cat([torch.cos(angles), torch.sin(angles)], -1)
    time = names.linear("time_embed.0", time)
    time = names.linear("time_embed.2", F.silu(time))
    if "film_emb.weight" in names:
        time = torch.cat([time, names.linear("film_emb", vector)], -1)
    told = [(None, None), *contexts]  # the first stack attends to the latents alone

    def block(layers, x):
        stacks = iter(told)
        for layer in layers.each():
            if "in_layers.0.weight" in layer:
                x = _residual(layer, x, time)
            elif "proj_in.weight" in layer:
                context, mask = next(stacks, (None, None))
                x = _transformer(layer, x, context, mask, head_channels)
            elif "op.weight" in layer:
                x = layer.conv("op", x, stride=2)
            elif "conv.weight" in layer:
                x = layer.conv("conv", F.interpolate(x, scale_factor=2))
            else:
                x = layer.conv("", x)
        return x

    kept = []
    for layers in names.each("input_blocks"):
        x = block(layers, x)
        kept.append(x)
    x = block(names.under("middle_block"), x)
    for layers in names.each("output_blocks"):
        x = block(layers, torch.cat([x, kept.pop()], 1))
    return names.conv("out.2", F.silu(names.group_norm("out.0", x, 1e-5)))


def _residual(names, x, time):
    y = names.conv("in_layers.2", F.silu(names.group_norm("in_layers.0", x, 1e-5)))
    y = y + names.linear("emb_layers.1", F.silu(time))[..., None, None]
    y = names.conv("out_layers.3", F.silu(names.group_norm("out_layers.0", y, 1e-5)))
    if "skip_connection.weight" in names:
        x = names.conv("skip_connection", x)
    return x + y


def _transformer(names, x, context, mask, head_channels):
    """SpatialTransformer."""
    rows = x.shape[2]
    y = names.conv("proj_in", names.group_norm("norm", x, 1e-6))
    y = y.flatten(2).mT
    for block in names.each("transformer_blocks"):
        z = block.layer_norm("norm1", y)
        y = y + _attention(block.under("attn1"), z, z, None, head_channels)
        z = block.layer_norm("norm2", y)
        seen = z if context is None else context
        y = y + _attention(block.under("attn2"), z, seen, mask, head_channels)
        z, gate = block.linear("ff.net.0.proj", block.layer_norm("norm3", y)).chunk(
            2, -1
        )
        y = y + block.linear("ff.net.2", z * F.gelu(gate))
    return x + names.conv("proj_out", y.mT.unflatten(2, (rows, -1)))


def _attention(names, x, context, mask, head_channels):
    def heads(name, x):
        return names.linear(name, x).unflatten(-1, (-1, head_channels)).transpose(1, 2)

    q, k, v = heads("to_q", x), heads("to_k", context), heads("to_v", context)
    scores = q @ k.mT * head_channels**-0.5
    if mask is not None:
        least = -torch.finfo(scores.dtype).max
        scores = scores.masked_fill(mask[:, None, None] != 1, least)
    made = (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)
    return names.linear("to_out.0", made)


def decode(arrays, z):
    """AutoencoderKL's mels [B, 1, T, F] of latents, from ``first_stage_model``."""
    names = Names(arrays)
    z = names.conv("post_quant_conv", z)
    names = names.under("decoder")
    x = names.conv("conv_in", z)
    x = _block(names.under("mid.block_1"), x)
    x = _self_attention(names.under("mid.attn_1"), x)
    x = _block(names.under("mid.block_2"), x)
    for level in reversed(list(names.each("up"))):
        for block in level.each("block"):
            x = _block(block, x)
        if "upsample.conv.weight" in level:
            x = level.conv("upsample.conv", F.interpolate(x, scale_factor=2))
    return names.conv("conv_out", F.silu(names.group_norm("norm_out", x, 1e-6)))


def _block(names, x):
    y = names.conv("conv1", F.silu(names.group_norm("norm1", x, 1e-6)))
    y = names.conv("conv2", F.silu(names.group_norm("norm2", y, 1e-6)))
    return (names.conv("nin_shortcut", x) if "nin_shortcut.weight" in names else x) + y


def _self_attention(names, x):
    """Of one head."""
    y = names.group_norm("norm", x, 1e-6)
    q, k, v = (names.conv(name, y).flatten(2) for name in "qkv")  # [B, C, N]
    weights = (q.mT @ k * q.shape[1] ** -0.5).softmax(-1)
    return x + names.conv("proj_out", (v @ weights.mT).view(x.shape))


def clap(arrays):
    """LAION's text tower, from ``model``: texts' words -> vectors of length 1."""
    names = Names(arrays)
    tower = names.under("text_branch")
    vocabulary, width = tower["embeddings.word_embeddings.weight"].shape
    config = transformers.RobertaConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        num_hidden_layers=len(list(tower.each("encoder.layer"))),
        num_attention_heads=width // TEXT_HEAD,
        intermediate_size=len(tower["encoder.layer.0.intermediate.dense.bias"]),
        max_position_embeddings=len(tower["embeddings.position_embeddings.weight"]),
        type_vocab_size=1,
        layer_norm_eps=1e-5,
    )
    roberta = _filled(transformers.RobertaModel(config), tower)

    def vectors(words):
        seen = words.input_ids, words.attention_mask
        x = names.linear("text_projection.0", roberta(*seen).pooler_output)
        return F.normalize(names.linear("text_projection.2", F.relu(x)), dim=-1)

    return vectors


def t5(arrays):
    """T5's encoder, from ``model``: a text's words -> tokens and mask."""
    names = Names(arrays)
    vocabulary, width = names["shared.weight"].shape
    first = names.under("encoder.block.0.layer")
    buckets, heads = first["0.SelfAttention.relative_attention_bias.weight"].shape
    config = transformers.T5Config(
        vocab_size=vocabulary,
        d_model=width,
        d_kv=len(first["0.SelfAttention.q.weight"]) // heads,
        d_ff=first["1.DenseReluDense.wo.weight"].shape[1],
        num_layers=len(list(names.each("encoder.block"))),
        num_heads=heads,
        relative_attention_num_buckets=buckets,
        feed_forward_proj="gated-gelu",
    )
    encoder = _filled(transformers.T5EncoderModel(config), names)

    def tokens(words):
        return encoder(**words).last_hidden_state, words.attention_mask

    return tokens


def language(arrays, steps):
    """What goes on from CLAP and T5 with GPT-2, from ``cond_stage_models.N``."""
    names = Names(arrays)
    model = names.under("model")
    vocabulary, width = model["wte.weight"].shape
    config = transformers.GPT2Config(
        vocab_size=vocabulary,
        n_positions=len(model["wpe.weight"]),
        n_embd=width,
        n_layer=len(list(model.each("h"))),
        n_head=width // TEXT_HEAD,
        n_inner=model["h.0.mlp.c_fc.weight"].shape[1],
    )
    gpt2 = _filled(transformers.GPT2Model(config), model)

    def tokens(*parts):
        begun, seen = [], []
        for number, (part, mask) in enumerate(parts):
            x = names.linear(f"input_sequence_embed_linear.{number}", part)
            ends = [
                names[f"{end}_of_sequence_tokens.weight"][number].expand(len(x), 1, -1)
                for end in ("start", "end")
            ]
            one = torch.ones(len(x), 1)
            begun += [ends[0], x, ends[1]]
            seen += [one, mask, one]
        x, mask = torch.cat(begun, 1), torch.cat(seen, 1)
        for _ in range(steps):
            states = gpt2(inputs_embeds=x, attention_mask=mask).last_hidden_state
            x = torch.cat([x, states[:, -1:]], 1)
            mask = torch.cat([mask, torch.ones(len(mask), 1)], 1)
        return x[:, -steps:]

    return tokens


def _filled(model, names):
    """A model of transformers with arrays; constants may be left, nothing may lack."""
    found = model.load_state_dict(names.arrays, strict=False)
    assert not found.missing_keys
    assert all("position_ids" in name for name in found.unexpected_keys)
    return model.eval()
