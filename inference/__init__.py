"""How it is conditioned on data: couplings, statistics and posteriors, one method a file."""
