"""Numbers about sounds, from arrays, and how each number was made."""
