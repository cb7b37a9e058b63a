"""service-processor: does the work that service-orders' events ask for."""

NAME = "service-processor"
VERSION = "0.1.0"
