"""Where the losses of recipes go; made by `benchmarks.loss_bands`."""

CLASSIFIER = {
    "recipe": "0befa0865315",
    "loss": (
        (25, 1.94, 5.31),
        (50, 0.33, 4.04),
        (75, 0.0771, 5.41),
        (100, 0.0465, 3.41),
        (125, 0.0548, 1.41),
        (150, 0.0223, 0.472),
    ),
}

DIFFUSION = {
    "recipe": "7db9b839b7ba",
    "loss": (
        (25, 0.538, 1.18),
        (50, 0.455, 1.12),
        (75, 0.451, 1.09),
        (100, 0.447, 0.948),
    ),
}
