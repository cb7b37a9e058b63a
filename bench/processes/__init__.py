"""The processes under measurement. Each is a script that speaks `control_protocol`."""
