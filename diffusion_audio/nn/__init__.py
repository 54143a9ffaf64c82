"""Building blocks of the networks, and the bridge that makes them functions."""
