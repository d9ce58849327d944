"""What a process takes from its machine and from the libraries below it."""
