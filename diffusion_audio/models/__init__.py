"""Networks, one a file: a frozen config, an nnx module and ``build_x(config)``."""
