"""Inference: how an energy is conditioned on snapshots."""
