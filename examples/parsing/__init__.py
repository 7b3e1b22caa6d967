"""Sentences as trees: which word each word depends on."""
