"""Clients and helpers of each domain, for one service or for a whole running system."""
