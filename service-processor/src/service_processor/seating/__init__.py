"""Which tables there are and who holds them when: what the domains floor and bookings stand on.

Invariant: no two allocations of a table overlap. An exclusion constraint is the proof, whatever
the code does. Whoever takes, gives back or deletes locks the restaurant's row first, and looks
in a later statement: what they see then stays so until they commit.
"""
