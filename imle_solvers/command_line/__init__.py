"""What `python -m imle_solvers` does."""
