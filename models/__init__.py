"""Model specifications, their simulators and their NumPyro programs."""
