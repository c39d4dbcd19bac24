"""Likelihoods: how probable the snapshots are under an energy."""
