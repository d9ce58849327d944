"""The filters, against references that share no code with them."""
