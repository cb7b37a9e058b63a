"""Reads that need not ask the source each time.

`read_through` answers what was current within the last second, whatever happens to the cache;
`redis_store` keeps its entries and never costs a request more than its deadline.
`stale_if_error` keeps answers of external systems, and gives an old one only while a system is
away.
"""
