"""Experiments: one declarative specification a file, run by one engine."""
