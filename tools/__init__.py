"""Tools for developing asyncflow: not part of the distribution."""
