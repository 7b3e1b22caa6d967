"""Solving on a Ray cluster: executor, actors, connection, and the program of an actor. Ray is imported when needed."""
