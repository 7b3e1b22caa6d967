"""Learns what it costs to walk through mazes from images and demonstrated paths."""
