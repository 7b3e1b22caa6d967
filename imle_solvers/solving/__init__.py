"""From tensors to solved tensors, the one place where torch and numpy meet. For the layer."""
