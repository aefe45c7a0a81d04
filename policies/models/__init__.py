"""What a network sees and is made of."""
