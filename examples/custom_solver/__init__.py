"""A solver of one's own as a layer."""
