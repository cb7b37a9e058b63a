"""What is asked of the machine and the checkout: ports, processes, packages, venv, locks."""
