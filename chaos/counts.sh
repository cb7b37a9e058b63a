# How long the randomised runs of `make chaos` are, where the environment does not say otherwise.
set -a
: "${CHAOS_SEED:=$(date +%s)}" # chaos/: which faults
: "${CHAOS_FAULTS:=1000}" "${CHAOS_SECONDS:=7200}" # ... how many, and when it is too late for them
: "${CHAOS_EVENTS:=10000}" # ... among how many one is poisoned
: "${CHAOS_RESTARTS:=50}" "${CHAOS_PARKED:=100000}" # restarts of a consumer; parked and redriven
: "${CHAOS_LOST:=20000}" # lost at once
: "${CHAOS_ORDERS:=1000}" "${CHAOS_WAITERS:=2000}" # cancelled at random; waiting for a status
: "${CHAOS_AWAY_SECONDS:=60}" # no broker
: "${CHAOS_LATE_SECONDS:=300}" # one side stands still
: "${CHAOS_LOSS_SECONDS:=30}" "${CHAOS_LOSS_ORDERS:=100}" # a loss goes on; orders a second meanwhile
: "${CHAOS_ROUNDS:=200}" "${CHAOS_KEYS:=1500}" # one Idempotency-Key at once; many through crashes
: "${CHAOS_SEATS:=500}" "${CHAOS_SEAT_ROUNDS:=30}" "${CHAOS_BOOKINGS:=1000}" # races for tables
: "${CHAOS_AGENTS:=50}" "${CHAOS_TICKETS:=200}" "${CHAOS_TICKET_SECONDS:=60}" # tickets
: "${CHAOS_TICKETS:=1000}" "${CHAOS_IDLE_TICKETS:=200}" "${CHAOS_CACHE_SECONDS:=20}"
: "${CHAOS_RENTALS:=300}" "${CHAOS_OFFERS:=200}" "${CHAOS_READS:=10000}" # rentals
: "${SCHEMATHESIS_EXAMPLES:=2000}" # requests made up for each operation
set +a
