"""What is found in data before anything is trained on them."""
