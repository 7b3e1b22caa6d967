"""What perturbs theta: distributions, their tables and kernels. For estimators, losses and the layer."""
