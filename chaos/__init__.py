"""The library's promises under random faults; see docs/chaos.md."""
