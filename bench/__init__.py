"""Benchmarks: each figure is taken beside what it compares with, in turn, in the same run."""
