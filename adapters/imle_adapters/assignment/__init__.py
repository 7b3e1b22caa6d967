"""Assignments of rows to columns."""
