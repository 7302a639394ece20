"""Feed-forward networks: fast style networks, texture networks."""
