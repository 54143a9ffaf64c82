"""Makes golden/htsat.npz by transformers: python -m tests.models.make_htsat_golden."""

from pathlib import Path

import numpy as np
import torch
import transformers

from diffusion_audio.pretrained.htsat import clap_audio_config, export_clap_audio
from tests.models.htsat_tower import CFG, LONGER, MEL, PARAMS


def main() -> None:
    """Writes the embeddings of the tower's input by transformers."""
    config = transformers.ClapAudioConfig(
        patch_embeds_hidden_size=CFG.width,
        hidden_size=CFG.width * 2 ** (len(CFG.depths) - 1),
        depths=list(CFG.depths),
        num_attention_heads=list(CFG.heads),
        window_size=CFG.window,
        num_mel_bins=CFG.n_mels,
        spec_size=CFG.side,
        patch_size=CFG.patch,
        patch_stride=[CFG.patch] * 2,
        enable_fusion=CFG.fusion,
        fusion_type="aff_2d",
        aff_block_r=CFG.reduction,
        projection_dim=CFG.embedding,
    )
    assert clap_audio_config(config.to_dict(), "it") == CFG
    model = transformers.ClapAudioModelWithProjection(config).eval()
    arrays = export_clap_audio(CFG, PARAMS)
    model.load_state_dict({n: torch.from_numpy(a) for n, a in arrays.items()})
    with torch.no_grad():
        out = model(
            torch.from_numpy(np.ascontiguousarray(MEL.transpose(0, 3, 1, 2))),
            is_longer=torch.from_numpy(LONGER)[:, None],
        )
    embedding = torch.nn.functional.normalize(out.audio_embeds, dim=-1).numpy()
    path = Path(__file__).parent / "golden" / "htsat.npz"
    path.parent.mkdir(exist_ok=True)
    np.savez(path, embedding=embedding)


if __name__ == "__main__":
    main()
