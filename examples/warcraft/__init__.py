"""Learns to find paths on Warcraft maps."""
