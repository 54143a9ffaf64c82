"""A network of diffusers as a folder, read as ours."""

from diffusion_audio.pretrained import config_file, isolated

WEIGHTS = "diffusion_pytorch_model.safetensors"


def read(model, folder):
    """Saves a PyTorch model; its config and its arrays as a user of ours reads them."""
    model.save_pretrained(folder)
    config = config_file.read(folder / "config.json")
    return config, isolated.read(folder / WEIGHTS)
