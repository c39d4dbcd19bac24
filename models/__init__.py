"""What is assumed: data, bases, energies, likelihoods and priors, in pure JAX."""
