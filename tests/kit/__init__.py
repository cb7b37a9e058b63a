"""What tests of several folders share: servers, a small world, clients of the services."""
