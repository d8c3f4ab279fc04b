"""What is computed from our own runs: which of them count, their noise, their tuning, and what they say."""
