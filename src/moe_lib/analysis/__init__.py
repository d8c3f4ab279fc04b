"""Analyses of our own runs: their selection, noise and tuning, and the paper's claims tested on them."""
