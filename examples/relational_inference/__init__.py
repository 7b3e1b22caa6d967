"""Neural relational inference: which particles interact, from how they move."""
