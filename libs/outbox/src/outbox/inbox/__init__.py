"""The inbox gives each event its effect once and in order, whatever the broker does.

A consumer receives deliveries and hands them to the inbox. One transaction locks the rows of their
streams, runs the handlers of the events that are next, and stores how far each stream has come;
then the deliveries are acked. An event that comes too early or fails is parked in the same
transaction: it stops its own stream and no other, and is retried in order. An event that kills its
process is counted and, the third time, parked. No event is lost, and none takes effect twice.
"""
