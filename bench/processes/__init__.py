"""The processes under measurement, each a script that answers by `bench.processes.answering`."""
