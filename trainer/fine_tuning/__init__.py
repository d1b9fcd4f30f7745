"""A pretrained encoder, fine-tuned in a process of its own."""
