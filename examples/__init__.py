"""Programs to run and to learn from, one folder each; none knows another, all know `common`."""
