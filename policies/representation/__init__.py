"""Stage 2: embeddings of state and observation, and the Believer."""
