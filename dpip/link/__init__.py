"""The link between the controller and the processes that join it."""
