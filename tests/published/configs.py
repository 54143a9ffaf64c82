"""The config files of the published systems, in small.

Keys and options are those of the published files; only sizes differ. What says nothing
of the network (versions, paths, dropout) is left out where its default is the same.
"""

UNET_WIDTHS = (8, 16, 32)
PLAIN_FIRST = {
    "down_block_types": ["DownBlock2D"] + ["CrossAttnDownBlock2D"] * 2,
    "up_block_types": ["CrossAttnUpBlock2D"] * 2 + ["UpBlock2D"],
}
PLAIN_LAST = {
    "down_block_types": ["CrossAttnDownBlock2D"] * 2 + ["DownBlock2D"],
    "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 2,
}
_UNET = {
    "_diffusers_version": "0.15.0.dev0",
    "act_fn": "silu",
    "attention_head_dim": 8,
    "block_out_channels": list(UNET_WIDTHS),
    "downsample_padding": 1,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "layers_per_block": 1,
    "mid_block_scale_factor": 1,
    "norm_eps": 1e-05,
    "norm_num_groups": 4,
}
_AUDIOLDM_UNET = {
    "class_embed_type": None,
    "class_embeddings_concat": False,
    "conv_in_kernel": 3,
    "conv_out_kernel": 3,
    "in_channels": 4,
    "mid_block_type": "UNetMidBlock2DCrossAttn",
    "num_class_embeds": None,
    "only_cross_attention": False,
    "out_channels": 4,
    "projection_class_embeddings_input_dim": None,
    "resnet_time_scale_shift": "default",
    "sample_size": 16,
    "time_cond_proj_dim": None,
    "time_embedding_type": "positional",
    "timestep_post_act": None,
    "upcast_attention": False,
    "use_linear_projection": False,
    **PLAIN_FIRST,
}
AUDIOLDM_UNET = {
    "_class_name": "UNet2DConditionModel",
    **_UNET,
    **_AUDIOLDM_UNET,
    "center_input_sample": False,
    "class_embed_type": "simple_projection",
    "class_embeddings_concat": True,
    "cross_attention_dim": list(UNET_WIDTHS),
    "dual_cross_attention": False,
    "projection_class_embeddings_input_dim": 16,
}
AUDIOLDM2_UNET = {
    "_class_name": "AudioLDM2UNet2DConditionModel",
    **_UNET,
    **_AUDIOLDM_UNET,
    "_diffusers_version": "0.21.0.dev0",
    "cross_attention_dim": [[None, 16, 24]] * 3,
    "num_attention_heads": None,
    "time_embedding_act_fn": None,
    "time_embedding_dim": None,
    "transformer_layers_per_block": 1,
}
AUDIOLDM2_LARGE_UNET = AUDIOLDM2_UNET | {
    "cross_attention_dim": [[None, 16, 24, None]] * 3,
    "transformer_layers_per_block": 2,
}
AUDIOLDM2_SPEECH_UNET = AUDIOLDM2_UNET | {
    "cross_attention_dim": [[None, 16]] * 3,
}
AUFFUSION_UNET = {
    "_class_name": "UNet2DConditionModel",
    **_UNET,
    "_diffusers_version": "0.18.2",
    "center_input_sample": False,
    "cross_attention_dim": 20,
    "decay": 0.9999,
    "in_channels": 4,
    "inv_gamma": 1.0,
    "min_decay": 0.0,
    "optimization_step": 100000,
    "out_channels": 4,
    "power": 0.6666666666666666,
    "sample_size": 64,
    "update_after_step": 0,
    "use_ema_warmup": False,
    **PLAIN_LAST,
}
_VAE = {
    "_class_name": "AutoencoderKL",
    "_diffusers_version": "0.15.0.dev0",
    "act_fn": "silu",
    "block_out_channels": [8, 16, 16],
    "down_block_types": ["DownEncoderBlock2D"] * 3,
    "latent_channels": 4,
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "up_block_types": ["UpDecoderBlock2D"] * 3,
}
AUDIOLDM_VAE = _VAE | {
    "in_channels": 1,
    "out_channels": 1,
    "sample_size": 64,
    "scaling_factor": 0.9227914214134216,
}
AUDIOLDM2_VAE = AUDIOLDM_VAE | {
    "_diffusers_version": "0.21.0.dev0",
    "force_upcast": True,
    "scaling_factor": 0.4110932946205139,
}
AUFFUSION_VAE = _VAE | {  # Stable Diffusion's: its scale is the default, and not said
    "_diffusers_version": "0.6.0",
    "in_channels": 3,
    "out_channels": 3,
    "sample_size": 64,
}
SPEECH_T5_VOCODER = {
    "architectures": ["SpeechT5HifiGan"],
    "initializer_range": 0.01,
    "leaky_relu_slope": 0.1,
    "model_in_dim": 16,
    "model_type": "hifigan",
    "normalize_before": False,
    "resblock_dilation_sizes": [[1, 3, 5]] * 3,
    "resblock_kernel_sizes": [3, 7, 11],
    "sampling_rate": 16000,
    "torch_dtype": "float32",
    "transformers_version": "4.28.0.dev0",
    "upsample_initial_channel": 32,
    "upsample_kernel_sizes": [16, 16, 8, 4, 4],
    "upsample_rates": [5, 4, 2, 2, 2],
}
AUFFUSION_VOCODER = {
    "resblock": "1",
    "num_gpus": 0,
    "batch_size": 16,
    "learning_rate": 0.0002,
    "adam_b1": 0.8,
    "adam_b2": 0.99,
    "lr_decay": 0.999,
    "seed": 1234,
    "upsample_rates": [5, 4, 4, 2],
    "upsample_kernel_sizes": [11, 8, 8, 4],
    "upsample_initial_channel": 32,
    "resblock_kernel_sizes": [3, 7, 11],
    "resblock_dilation_sizes": [[1, 3, 5]] * 3,
    "segment_size": 5120,
    "num_mels": 16,
    "n_fft": 2048,
    "hop_size": 160,
    "win_size": 1024,
    "sampling_rate": 16000,
    "fmin": 0,
    "fmax": None,
    "fmax_for_loss": None,
    "num_workers": 4,
}
AUDIOLDM_SCHEDULER = {
    "_class_name": "DDIMScheduler",
    "_diffusers_version": "0.15.0.dev0",
    "beta_end": 0.0195,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.0015,
    "clip_sample": False,
    "clip_sample_range": 1.0,
    "dynamic_thresholding_ratio": 0.995,
    "num_train_timesteps": 1000,
    "prediction_type": "epsilon",
    "sample_max_value": 1.0,
    "set_alpha_to_one": False,
    "steps_offset": 1,
    "thresholding": False,
    "trained_betas": None,
}
AUFFUSION_SCHEDULER = {
    "_class_name": "PNDMScheduler",
    "_diffusers_version": "0.18.2",
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "clip_sample": False,
    "num_train_timesteps": 1000,
    "prediction_type": "epsilon",
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "timestep_spacing": "leading",
    "trained_betas": None,
}
