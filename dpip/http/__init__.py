"""HTTP from this side: what the client and workers share over treq."""
