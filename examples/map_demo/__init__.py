"""Paths on a map: sampled, differentiated, and the map learned from one of them."""
