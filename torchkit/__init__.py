"""Networks, memories and estimators: know nothing of learning, files or environments."""
