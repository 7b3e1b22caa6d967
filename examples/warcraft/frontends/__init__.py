"""The Warcraft example on other front ends than PyTorch's: a network and a training each for JAX and for Keras."""
