"""Faults that a hurried change could make, and the tests that must notice them."""
