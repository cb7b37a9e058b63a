"""HTTP as no client library sends it, and what is shown for every API alike."""
