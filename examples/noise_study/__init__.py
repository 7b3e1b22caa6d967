"""Noise and gradient estimators, measured where everything can be enumerated: the 5-subsets of 10."""
