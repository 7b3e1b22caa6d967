"""Learns the hidden costs of roads from observed routes."""
