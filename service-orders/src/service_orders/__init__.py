"""service-orders: takes requests over HTTP and owns what was asked for."""

NAME = "service-orders"
VERSION = "0.1.0"
