"""Systems of parts: conditioners, a denoiser, an autoencoder, a vocoder; and one whole.

Beside these audio encoders, whose embeddings metrics compare.

Each kind of part is a package with a table (`table.Table`) and one entry a file.
"""
