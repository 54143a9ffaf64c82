"""Results as people read and hear them: plots and self-contained pages."""
