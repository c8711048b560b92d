"""A package, and not just a folder: torch-fidelity installs one of this name, which would go before
a folder where a test's own processes look for the test."""
