"""Finding the settings by which an estimator learns, on a batch or two, before training."""
