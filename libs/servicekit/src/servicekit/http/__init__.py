"""What holds for every endpoint: routing, strict JSON, problems, pages, idempotency, waiting."""
