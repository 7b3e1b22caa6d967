"""Choosing some of many entries."""
