"""What holds for every endpoint: routing, strict JSON, problems, pages, idempotency, long polling."""
