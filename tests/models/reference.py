"""The networks' parts written out in NumPy, float64: what the models must equal.

Slow and plain, one function a part, each straight from its paper's figure. Images
are [B, H, W, C], sequences [B, L, C], parameters the nested dicts of our networks.
"""

import itertools

import numpy as np
from scipy.special import erf


def silu(x):
    return x / (1 + np.exp(-x))


def dense(x, p):
    return x @ np.float64(p["kernel"]) + p.get("bias", 0)


def conv2d(x, p, stride=(1, 1), pad=None):
    """A convolution; ``pad`` zeros before and after, for both axes alike."""
    kernel = np.float64(p["kernel"])
    if pad is None:
        sides = [(size // 2, size // 2) for size in kernel.shape[:2]]
    else:
        sides = [pad, pad]
    x = np.pad(np.float64(x), [(0, 0), *sides, (0, 0)])
    seen = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[:2], (1, 2))
    seen = seen[:, :: stride[0], :: stride[1]]  # [B, H', W', C, kh, kw]
    return np.einsum("bhwcij,ijcd->bhwd", seen, kernel) + p["bias"]


def group_norm(x, p, groups, epsilon):
    shape = x.shape
    x = x.reshape(shape[0], -1, groups, shape[-1] // groups)
    centred = x - x.mean((1, 3), keepdims=True)
    variance = np.square(centred).mean((1, 3), keepdims=True)
    y = (centred / np.sqrt(variance + epsilon)).reshape(shape)
    return y * p["scale"] + p["bias"]


def layer_norm(x, p):
    centred = x - x.mean(-1, keepdims=True)
    variance = np.square(centred).mean(-1, keepdims=True)
    return centred / np.sqrt(variance + 1e-5) * p["scale"] + p["bias"]


def attention(x, source, p, heads, mask=None):
    """Head by head and example by example; no key at all gives zeros."""
    q, k, v = dense(x, p["to_q"]), dense(source, p["to_k"]), dense(source, p["to_v"])
    width = q.shape[-1] // heads
    out = np.zeros_like(q)
    for b in range(len(x)):
        keep = np.full(k.shape[1], True) if mask is None else np.asarray(mask[b])
        for h in range(heads):
            part = slice(h * width, (h + 1) * width)
            scores = q[b, :, part] @ k[b, keep][:, part].T / np.sqrt(width)
            if keep.any():
                weights = np.exp(scores - scores.max(-1, keepdims=True))
                weights /= weights.sum(-1, keepdims=True)
                out[b, :, part] = weights @ v[b, keep][:, part]
    return dense(out, p["to_out"])


def resnet(x, p, groups, epsilon, time=None, scale_shift=False):
    y = conv2d(silu(group_norm(x, p["norm1"], groups, epsilon)), p["conv1"])
    if time is not None:
        told = dense(silu(time), p["time_emb_proj"])[:, None, None]
        if scale_shift:
            scale, shift = np.split(told, 2, -1)
            y = group_norm(y, p["norm2"], groups, epsilon) * (1 + scale) + shift
        else:
            y = group_norm(y + told, p["norm2"], groups, epsilon)
    else:
        y = group_norm(y, p["norm2"], groups, epsilon)
    y = conv2d(silu(y), p["conv2"])
    return y + (conv2d(x, p["conv_shortcut"]) if "conv_shortcut" in p else x)


def image_transformer(x, p, heads, groups, context=None, mask=None):
    """Over the places of an image; GroupNorm's epsilon is 1e-6 here."""
    shape = x.shape

    def project(y, p):
        return dense(y, p | {"kernel": p["kernel"].reshape(shape[-1], shape[-1])})

    y = group_norm(x, p["norm"], groups, 1e-6).reshape(shape[0], -1, shape[-1])
    y = project(y, p["proj_in"])
    for _, block in sorted(p["transformer_blocks"].items()):
        n = layer_norm(y, block["norm1"])
        y = y + attention(n, n, block["attn1"], heads)
        n = layer_norm(y, block["norm2"])
        source = n if context is None else context
        y = y + attention(n, source, block["attn2"], heads, mask)
        n = dense(layer_norm(y, block["norm3"]), block["ff"]["proj"])
        hidden, gate = np.split(n, 2, -1)
        gate = gate * (1 + erf(gate / np.sqrt(2))) / 2
        y = y + dense(hidden * gate, block["ff"]["out"])
    return x + project(y, p["proj_out"]).reshape(shape)


def doubled(x, p, like=None):
    """Nearest neighbours, cut to the size of another, then a convolution."""
    x = x.repeat(2, 1).repeat(2, 2)
    return conv2d(x if like is None else x[:, : like.shape[1], : like.shape[2]], p)


def unet(p, cfg, x, t, streams, vector=None):
    """``streams``: for each stack None or (tokens, mask)."""
    half = cfg.channels[0] // 2
    angles = np.float64(t)[:, None] * 10_000 ** (-np.arange(half) / half)
    time = p["time_embedding"]
    features = np.concatenate([np.cos(angles), np.sin(angles)], -1)
    time = dense(silu(dense(features, time["linear_1"])), time["linear_2"])
    if vector is not None:
        time = np.concatenate([time, dense(vector, p["class_embedding"])], -1)
    last = len(cfg.channels) - 1

    def block(x, level, site, index):
        x = resnet(
            x, level["resnets"][str(site)], cfg.groups, 1e-5, time, cfg.scale_shift
        )
        return attend(x, level, site, index)

    def attend(x, level, site, index):
        for i, stream in enumerate(streams):
            if "attentions" in level:
                stack = level["attentions"][str(site * len(streams) + i)]
                context = stream or (None, None)
                x = image_transformer(x, stack, cfg.heads[index], cfg.groups, *context)
        return x

    x = conv2d(x, p["conv_in"])
    skips = [x]
    for i in range(last + 1):
        level = p["down_blocks"][str(i)]
        for site in range(cfg.blocks):
            x = block(x, level, site, i)
            skips.append(x)
        if i < last:
            x = conv2d(x, level["downsampler"]["conv"], (2, 2), (1, 1))
            skips.append(x)
    level = p["mid_block"]
    x = block(x, level, 0, last)
    x = resnet(x, level["resnets"]["1"], cfg.groups, 1e-5, time, cfg.scale_shift)
    for i in range(last, -1, -1):
        level = p["up_blocks"][str(last - i)]
        for site in range(cfg.blocks + 1):
            x = block(np.concatenate([x, skips.pop()], -1), level, site, i)
        if i:
            x = doubled(x, level["upsampler"]["conv"], skips[-1])
    x = silu(group_norm(x, p["conv_norm_out"], cfg.groups, 1e-5))
    return conv2d(x, p["conv_out"])


def _vae_level(x, level, groups):
    """Residual blocks, attention after the first."""
    for i, block in sorted(level["resnets"].items()):
        x = resnet(x, block, groups, 1e-6)
        if i == "0" and "attentions" in level:
            p = level["attentions"]["0"]
            y = group_norm(x, p["group_norm"], groups, 1e-6)
            y = y.reshape(len(x), -1, x.shape[-1])
            x = x + attention(y, y, p["attn"], 1).reshape(x.shape)
    return x


def vae_encode(p, cfg, x):
    """Mean and unbounded log variance; for patches of one."""
    e = p["encoder"]
    x = conv2d(x, e["conv_in"])
    for _, level in sorted(e["down_blocks"].items()):
        x = _vae_level(x, level, cfg.groups)
        if "downsampler" in level:
            x = conv2d(x, level["downsampler"]["conv"], (2, 2), (0, 1))
    x = _vae_level(x, e["mid_block"], cfg.groups)
    x = conv2d(silu(group_norm(x, e["conv_norm_out"], cfg.groups, 1e-6)), e["conv_out"])
    return np.split(conv2d(x, p["quant_conv"]), 2, -1)


def vae_decode(p, cfg, z):
    d = p["decoder"]
    x = conv2d(conv2d(z, p["post_quant_conv"]), d["conv_in"])
    x = _vae_level(x, d["mid_block"], cfg.groups)
    for _, level in sorted(d["up_blocks"].items()):
        x = _vae_level(x, level, cfg.groups)
        if "upsampler" in level:
            x = doubled(x, level["upsampler"]["conv"])
    x = silu(group_norm(x, d["conv_norm_out"], cfg.groups, 1e-6))
    return conv2d(x, d["conv_out"])


def text(p, cfg, tokens):
    """Contexts and vector of token ids."""
    mask = tokens != 0
    x = np.float64(p["token_embedding"]["embedding"])[tokens]
    x = x + p["position_embedding"]["embedding"][: tokens.shape[1]]
    for _, block in sorted(p["blocks"].items()):
        n = layer_norm(x, block["norm1"])
        x = x + attention(n, n, block["attn"], cfg.heads, mask)
        y = dense(layer_norm(x, block["norm2"]), block["fc1"])
        y = y * (1 + np.tanh(np.sqrt(2 / np.pi) * (y + 0.044715 * y**3))) / 2
        x = x + dense(y, block["fc2"])
    x = layer_norm(x, p["norm_out"])
    contexts = [dense(x, project) for _, project in sorted(p["contexts"].items())]
    mean = np.stack([row[keep].mean(0) for row, keep in zip(x, mask, strict=True)])
    unit = mean / np.sqrt(np.square(mean).mean(-1, keepdims=True) + 1e-6)
    return contexts, dense(unit, p["vector"])


def conv1d(x, p, dilation=1):
    """As many samples out as in."""
    kernel = np.float64(p["kernel"])
    reach = dilation * (len(kernel) // 2)
    padded = np.pad(x, [(0, 0), (reach, reach), (0, 0)])
    length = x.shape[1]
    return p["bias"] + sum(
        padded[:, i * dilation : i * dilation + length] @ tap
        for i, tap in enumerate(kernel)
    )


def transposed_conv1d(x, p, rate, cut):
    """Every input adds its kernel to the output; PyTorch's padding taken off."""
    kernel = np.float64(p["kernel"])
    batch, length, _ = x.shape
    out = np.zeros((batch, (length - 1) * rate + len(kernel), kernel.shape[-1]))
    for n in range(length):
        out[:, n * rate : n * rate + len(kernel)] += np.einsum(
            "bc,kcd->bkd", x[:, n], kernel
        )
    pad, odd = divmod(len(kernel) - rate, 2)
    out = out[:, pad : out.shape[1] - pad]
    return (out[:, odd:] if cut == "start" else out) + p["bias"]


def hifigan(p, cfg, mel):
    """The generator without weight norm; leaky ReLU or Snake, no iSTFT."""

    def act(x, p, slope):
        if cfg.activation == "leaky_relu":
            return np.where(x > 0, x, slope * x)
        a = np.exp(np.float64(p["alpha"]))
        return x + np.sin(a * x) ** 2 / a

    x = conv1d(np.float64(mel) - cfg.input_shift, p["conv_pre"])
    for i, rate in enumerate(cfg.rates):
        if cfg.activation == "leaky_relu":
            x = act(x, None, 0.1)
        x = transposed_conv1d(x, p["upsamplers"][str(i)], rate, cfg.cut)
        total = 0
        for j, dilations in enumerate(cfg.dilations):
            block, y, number = p["blocks"][str(i)][str(j)], x, 0
            snakes = block.get("activations", {})
            for k, dilation in enumerate(dilations):
                z = act(y, snakes.get(str(number)), 0.1)
                z = conv1d(z, block["dilated"][str(k)], dilation)
                number += 1
                if cfg.resblock == "1":
                    z = act(z, snakes.get(str(number)), 0.1)
                    z = conv1d(z, block["plain"][str(k)])
                    number += 1
                y = y + z
            total = total + y
        x = total / len(cfg.dilations)
    x = act(x, p.get("activation_post"), 0.01)
    wave = np.tanh(conv1d(x, p["conv_post"]))[..., 0]
    return wave[:, : mel.shape[1] * cfg.hop_length]


def mrd(p, cfg, wave):
    """Every map of every resolution, of parameters without weight norm."""
    maps = []
    for i, window in enumerate(cfg.windows):
        hop = window // 4
        sides = [(0, 0), ((window - hop) // 2,) * 2]
        padded = np.pad(np.float64(wave), sides, mode="reflect")
        frames = np.lib.stride_tricks.sliding_window_view(padded, window, 1)[:, ::hop]
        hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
        spectrum = np.fft.rfft(frames * hann)
        x = np.stack([spectrum.real, spectrum.imag], -1)  # [B, T, F, 2]
        bins = [int(edge * (window // 2 + 1)) for edge in cfg.edges]
        found, ends = [], []
        for band, (low, high) in enumerate(itertools.pairwise(bins)):
            y = x[:, :, low:high]
            for layer, stride in enumerate((1, 2, 2, 2, 1)):
                convolution = p["parts"][str(i)]["bands"][str(band)][str(layer)]
                y = conv2d(y, convolution, (1, stride))
                y = np.where(y > 0, y, 0.1 * y)
                found.append(y)
            ends.append(y)
        last = conv2d(np.concatenate(ends, 2), p["parts"][str(i)]["conv_post"])
        maps.append([*found, last])
    return maps
