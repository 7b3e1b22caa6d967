"""Learns to explain what it predicts of texts by the words that it chooses."""
