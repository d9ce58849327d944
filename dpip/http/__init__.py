"""What the client and the worker share of HTTP, over treq."""
