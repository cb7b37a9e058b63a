"""Reads that need not ask the source each time, and how old an answer may be."""
