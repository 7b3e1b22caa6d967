"""A variational auto-encoder whose code is discrete."""
